"""Real logs through the normalize stage: nothing lost, nothing raised, counts as grep counts."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ingest.normalize import CODES, NormalizeStage
from tocsin.contracts import DeadLetter, Topics
from tocsin.log.base import Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.stage import Batch

FILES = (
    "elastic-examples-auth.log.gz",
    "loghub-OpenSSH-2k.log",
    "loghub-Linux-2k.log",
    "loghub-Apache-2k.log",
    "invictus-cloudtrail-attack.jsonl.gz",
    "panther-events.jsonl.gz",
)

_RECEIVED = 1_767_225_600_000


def lines_of(shared: Path, name: str) -> list[bytes]:
    path = shared / "data" / "logs" / name
    data = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    lines = data.splitlines()
    if name.startswith("panther"):
        lines = [orjson.dumps(orjson.loads(line)["raw"]) for line in lines]
    return lines


def run(lines: list[bytes], source: str = "corpus") -> Batch:
    headers = (("source", source.encode()), ("received", str(_RECEIVED).encode()))
    records = [
        Record("raw", 0, offset, None, line, headers, _RECEIVED)
        for offset, line in enumerate(lines)
    ]
    return NormalizeStage().process(records, KeyedState(), 0)


def events_of(batch: Batch) -> list[dict[str, Any]]:
    return [orjson.loads(o.value) for o in batch.outputs if o.topic == Topics.EVENTS]


@pytest.mark.parametrize("name", FILES)
def test_every_line_becomes_an_event_or_a_dead_letter(shared: Path, name: str) -> None:
    lines = lines_of(shared, name)
    batch = run(lines, name)
    assert batch.accounted == len(lines) > 1_900
    events = events_of(batch)
    letters = [DeadLetter.decode(o.value) for o in batch.outputs if o.topic == Topics.DEAD_LETTERS]
    assert len(events) == batch.sent
    assert len(letters) == batch.dead.total()
    assert batch.dead.keys() <= CODES.keys()
    assert all(letter.reason for letter in letters)
    assert not batch.filtered
    if not name.startswith("panther"):
        assert not letters
    origins = {event["tocsin"]["origin"] for event in events} | {
        letter.origin for letter in letters
    }
    assert origins == {f"raw/0/{offset}" for offset in range(len(lines))}


@pytest.mark.parametrize("name", FILES[:4])
def test_known_formats_are_recognised(shared: Path, name: str) -> None:
    events = events_of(run(lines_of(shared, name), name))
    assert Counter(event["event"]["dataset"] for event in events)["text"] == 0
    unsaid = [
        event["message"]
        for event in events
        if event.get("process", {}).get("name") == "sshd" and "action" not in event["event"]
    ]
    sshd = sum(event.get("process", {}).get("name") == "sshd" for event in events)
    assert len(unsaid) <= 0.02 * sshd


def test_ssh_logins_are_what_grep_counts(shared: Path) -> None:
    lines = lines_of(shared, "elastic-examples-auth.log.gz")
    logins = Counter(
        event["event"]["outcome"]
        for event in events_of(run(lines))
        if event["event"].get("action") == "ssh_login"
    )
    said = re.compile(
        rb"sshd\[\d+\]: (?:message repeated \d+ times: \[ )?(Failed|Accepted) \S+ for "
    )
    grep = Counter(match[1] for line in lines if (match := said.search(line)) is not None)
    assert logins == {"failure": grep[b"Failed"], "success": grep[b"Accepted"]}
    assert logins["failure"] > 500
    assert logins["success"] > 200


def test_failed_logins_name_who_and_where_from(shared: Path) -> None:
    for name in ("elastic-examples-auth.log.gz", "loghub-OpenSSH-2k.log"):
        for event in events_of(run(lines_of(shared, name))):
            if event["event"].get("action") != "ssh_login":
                continue
            text = event["event"]["original"]
            assert event["source"]["ip"] in text
            assert event["source"]["port"] > 0
            assert event["event"]["category"] == ["authentication"]
            named = re.search(r"for (?:invalid user )?(.*) from ", text)
            assert named is not None
            assert event.get("user", {}).get("name", "") == named[1]


def test_cloudtrail_keeps_the_record_and_its_time(shared: Path) -> None:
    lines = lines_of(shared, "invictus-cloudtrail-attack.jsonl.gz")
    events = events_of(run(lines))
    for line, event in zip(lines, events, strict=True):
        record = orjson.loads(line)
        assert event["event"]["dataset"] == "aws.cloudtrail"
        assert event["aws"]["cloudtrail"] == record
        assert event["event"]["action"] == record["eventName"]
        assert event["event"]["provider"] == record["eventSource"]
        assert event["@timestamp"][:19] == record["eventTime"][:19]
        assert (event["event"]["outcome"] == "failure") == bool(
            record.get("errorCode") or record.get("errorMessage")
        )
    distinct = {orjson.loads(line)["eventID"] for line in lines}
    assert len({event["event"]["id"] for event in events}) == len(distinct)
