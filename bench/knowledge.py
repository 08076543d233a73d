"""What enrichment, privacy and indicators cost per event: `python -m bench.knowledge`.

Microseconds of CPU, median of five rounds, beside what the event costs without them. Addresses,
names and user agents are distinct unless said otherwise, so that caches are not flattered; the
share of repeats that real traffic has makes them cheaper.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from bench.knowledge_data import database, document, indicators
from detect.indicators.guards import Allowed
from detect.indicators.matching import hits
from detect.indicators.stage import match
from detect.indicators.table import Table
from ingest.enrich import Enricher
from ingest.privacy import Policy
from tocsin.clock import SystemClock
from tocsin.contracts import Topics
from tocsin.enrichment_config import EnrichmentSettings, PrivacySettings
from tocsin.log.base import Record
from tocsin.subject_keys import SubjectKeys

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
EVENTS = 5_000


def micros(work: Callable[[dict[str, Any]], object], distinct: int) -> float:
    """CPU microseconds per event of `work` on documents with that many different values."""
    rounds = []
    for number in range(ROUNDS):
        documents = [document(number * EVENTS + n % distinct) for n in range(EVENTS)]
        start = time.process_time()
        for each in documents:
            work(each)
        rounds.append((time.process_time() - start) / EVENTS * 1e6)
    return statistics.median(rounds)


def told(what: str, work: Callable[[dict[str, Any]], object]) -> None:
    sys.stdout.write(
        f"{what:44} {micros(work, EVENTS):7.2f} µs distinct {micros(work, 100):7.2f} µs repeated\n"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        _run(Path(name))


def _run(directory: Path) -> None:
    told("nothing (the loop)", lambda _: None)
    told("orjson.dumps, for comparison", orjson.dumps)
    for what, settings in _enrichment(directory):
        enricher = Enricher.configured(settings)
        assert enricher is not None
        told(what, enricher.apply)
    keys = SubjectKeys(directory / "subjects.sqlite", SystemClock())
    for action in ("none", "drop", "hash", "encrypt"):
        policy = Policy(_privacy(action), b"a salt for measuring only", keys)
        told(f"privacy, 3 fields, {action}", _with(policy))
        policy.flush()
    _indicators()


def _with(policy: Policy) -> Callable[[dict[str, Any]], object]:
    return lambda each: policy.apply(each, "vpn")


def _enrichment(directory: Path) -> list[tuple[str, EnrichmentSettings]]:
    (directory / "db.mmdb").write_bytes(database())
    (directory / "assets.csv").write_text(
        "name,addresses,criticality\n"
        + "".join(f"host-{n},10.{n // 256}.{n % 256}.0/24,high\n" for n in range(2_000)),
        "utf-8",
    )
    (directory / "people.csv").write_text(
        "name,full_name\n" + "".join(f"user-{n},User {n}\n" for n in range(20_000)), "utf-8"
    )
    return [
        ("geoip", EnrichmentSettings(geoip=(directory / "db.mmdb",))),
        ("assets", EnrichmentSettings(inventory=directory / "assets.csv")),
        ("identities", EnrichmentSettings(identities=directory / "people.csv")),
        ("registered domains", EnrichmentSettings(registered_domains=True)),
        ("user agents", EnrichmentSettings(user_agents=True)),
    ]


def _privacy(action: str) -> PrivacySettings:
    rule = {"fields": ["user.name", "user.email", "source.ip"], "action": action}
    sources, rules = (["other"], []) if action == "none" else (["vpn"], [rule])
    return PrivacySettings.model_validate({"policies": [{"sources": sources, "rules": rules}]})


def _indicators() -> None:
    _table(0)
    _table(1_000_000)


def _table(count: int) -> None:
    before, start = _resident(), time.process_time()
    rows = indicators(count)
    read, start = time.process_time() - start, time.process_time()
    table, allowed = Table([rows]), Allowed()
    index = time.process_time() - start
    sys.stdout.write(
        f"{count} indicators: {table.size() / 1e6:.0f} MB by its own account, "
        f"{_resident() - before:.0f} MB resident; {read:.1f} s to make, {index:.1f} s to index\n"
    )
    told(f"  look-ups of an event, {count}", lambda each: hits(each, table, allowed, 0))
    records = [Record(Topics.EVENTS, 0, n, None, orjson.dumps(document(n))) for n in range(EVENTS)]
    start = time.process_time()
    match(records, table, allowed)
    spent = (time.process_time() - start) / EVENTS * 1e6
    sys.stdout.write(f"  the stage, decoding included                 {spent:7.2f} µs\n")


def _resident() -> float:
    """Megabytes that this process holds."""
    status = Path("/proc/self/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
