"""The failure cases as a table: `python -m tests.faults.matrix [--kafka] [NUMBER…]`.

For each case and what it tries: distinct effects, duplicates, what was lost, and how it ended.
Exits with 1 if anything was lost or done twice, or a case failed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from dev.servers import kafka
from tests.faults.cases.table import CASES, tried
from tests.faults.cases.tally import Row
from tests.faults.cases.world import SQLITE, Backend


def main() -> int:
    """Play the cases and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.matrix", description=__doc__)
    parser.add_argument("--kafka", action="store_true", help="on a real broker, too")
    parser.add_argument("numbers", nargs="*", type=int, help="all by default")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # workers are killed here, and say so
    say("| case | what | backend | distinct | duplicates | lost | outcome |")
    say("|---|---|---|---|---|---|---|")
    good = True
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backends = [SQLITE]
        if options.kafka:
            server = stack.enter_context(kafka(directory / "kafka"))
            backends.append(Backend.of(server))
        for number in options.numbers or CASES:
            for backend in backends:
                for row in _rows(number, backend, directory / f"{number}-{backend.name}"):
                    cells = (number, row.what, backend.name, row.distinct, row.duplicates,
                             row.lost, row.outcome)  # fmt: skip
                    say(f"| {' | '.join(map(str, cells))} |")
                    good = good and not row.duplicates and not row.lost
    return 0 if good else 1


def _rows(number: int, backend: Backend, directory: Path) -> list[Row]:
    try:
        return asyncio.run(tried(number, backend, directory))
    except Exception as error:
        words = str(error).splitlines()[0] if str(error) else ""
        return [Row("", 0, 0, 1, f"FAILED: {type(error).__name__} {words}")]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
