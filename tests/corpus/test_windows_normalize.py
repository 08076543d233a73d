"""Real Windows events, normalised, hit the rules they are known to hit and keep every field.

The published hits were made on the events' own names; here the raw lines go the whole way through
the normalizer first. A sample of every third event; TOCSIN_CORPUS=full takes all.
"""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from detect.sigma import RuleSet, load_rules
from ingest.normalize import Delivery, Normalizer
from tests.corpus.test_sigma_corpus import BEYOND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STRIDE = 1 if os.environ.get("TOCSIN_CORPUS") == "full" else 3

#: 2026-01-05T10:00:00Z, when the lines are received.
RECEIVED = 1_767_607_200_000


@pytest.fixture(scope="module")
def published(shared: Path) -> RuleSet:
    archive = shared / "data" / "sigma" / "sigmahq-rules.tar.gz"
    return load_rules([archive], builtin=False, allow_errors=True)


def events(shared: Path, corpus: str) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Number, raw object and event of a sample of the lines."""
    normalizer = Normalizer()
    with gzip.open(shared / "data" / "sigma" / f"{corpus}.jsonl.gz", "rb") as lines:
        for number, line in enumerate(lines):
            if number % STRIDE == 0:
                record = orjson.loads(line)
                raw = record.get("event", record) if "file" in record else record
                made = normalizer.events(
                    Delivery(
                        orjson.dumps(raw),
                        "windows",
                        "acme",
                        RECEIVED,
                        ("raw", 0, number),
                        "",
                        "UTC",
                    )
                )
                assert len(made) == 1
                yield number, raw, made[0][0]


@pytest.mark.parametrize("corpus", list(BEYOND))
def test_hits_agree_with_the_published_ones(published: RuleSet, shared: Path, corpus: str) -> None:
    text = (shared / "data" / "sigma" / f"{corpus}.hits.tsv").read_text()
    known = {(int(n), rule) for n, rule in (line.split("\t") for line in text.splitlines())}
    hits = set()
    seen = set()
    for number, _, event in events(shared, corpus):
        seen.add(number)
        hits |= {(number, match.rule.rule.id) for match in published.match(event)}
    assert {hit for hit in known if hit[0] in seen} - hits == set()
    assert hits - known == {hit for hit in BEYOND[corpus] if hit[0] in seen}
    assert len(seen) > 50


@pytest.mark.parametrize("corpus", list(BEYOND))
def test_an_event_keeps_what_windows_said(shared: Path, corpus: str) -> None:
    for _, raw, event in events(shared, corpus):
        logged = raw["Event"]
        winlog = event["winlog"]
        assert event["tocsin"]["parser"]["name"].startswith("windows.")
        assert winlog["channel"] == logged["System"]["Channel"]
        assert winlog["computer_name"] == logged["System"]["Computer"] == event["host"]["name"]
        assert winlog["provider_name"] == logged["System"]["Provider"]["#attributes"]["Name"]
        assert event["event"]["code"] == winlog["event_id"]
        data = logged.get("EventData") or {}
        named = {name: held(data[name]) for name in data if name not in ("#attributes", "Data")}
        kept = winlog.get("event_data", {})
        assert {name: kept[name] for name in named} == named


def held(value: Any) -> Any:
    """A value as an index holds it: a number wider than a `long` is text."""
    return str(value) if isinstance(value, int) and value >= 2**63 else value


#: What is header, not data, in the flat shape of the telemetry.
HEADER = frozenset(
    {
        *("SourceName", "ProviderGuid", "Level", "Keywords", "Channel", "Hostname"),
        *("TimeCreated", "@timestamp", "EventID", "Task", "Provider_Name", "UserData"),
    }
)


def test_flat_telemetry_keeps_its_data(shared: Path) -> None:
    parsers = set()
    for _, raw, event in events(shared, "otrf-windows-20k"):
        winlog = event["winlog"]
        parsers.add(event["tocsin"]["parser"]["name"])
        assert event["event"]["code"] == str(raw["EventID"])
        assert winlog["channel"] == raw["Channel"]
        assert winlog["computer_name"] == raw["Hostname"] == event["host"]["name"]
        data = {name: value for name, value in raw.items() if name not in HEADER}
        kept = winlog.get("event_data", {})
        assert {name: kept[name] for name in data} == data
    assert parsers == {f"windows.{name}" for name in ("event", "powershell", "security", "sysmon")}
