"""`make bench`: measure everything, print a table, and keep the figures with machine and commit.

`python -m bench NAME…` measures only those. Figures say nothing without their machine: compare
only rows of one file, which come from one run.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

#: What is measured, by module: each has `run() -> list of rows`.
BENCHES = (
    "log",
    "ingest",
    "knowledge",
    "sigma",
    "windows",
    "match",
    "behavior",
    "behavior_models",
    "expressions",
    "playbooks",
    "log_kafka",
    "ingest_memory",
    "ingest_kafka",
    "latency",
)

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    commit = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), capture_output=True, text=True, check=False
    )
    return {
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def main(names: list[str]) -> None:
    """Run the named benches, or all, and write one file of results."""
    if unknown := set(names) - set(BENCHES):
        sys.exit(f"no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a starting broker is no news
    report: dict[str, Any] = {"machine": machine()}
    for name in names or BENCHES:
        print(f"\n{name}", flush=True)
        report[name] = importlib.import_module(f"bench.{name}").run()
        for row in report[name]:
            print("  " + "  ".join(f"{key}={value}" for key, value in row.items()), flush=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{report['machine']['time'].replace(':', '')}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(f"\nwritten to {path}")


main(sys.argv[1:])
