"""Raw records for tests, and checks that every event must pass."""

from __future__ import annotations

import re
from typing import Any

import orjson

from ingest.normalize import NormalizeStage
from tocsin.clock import parse_iso
from tocsin.contracts import ECS_VERSION, DeadLetter, Topics
from tocsin.log.base import Headers, Record
from tocsin.state import KeyedState

#: 2024-05-02T12:00:00Z
RECEIVED = 1_714_651_200_000


def record(
    data: bytes | str,
    *,
    offset: int = 7,
    key: bytes | None = None,
    source: str = "test",
    received: int = RECEIVED,
    headers: Headers = (),
) -> Record:
    """A raw record as a source writes it."""
    value = data.encode() if isinstance(data, str) else data
    own = (
        ("source", source.encode()),
        ("tenant", b"default"),
        ("received", str(received).encode()),
    )
    return Record("raw", 0, offset, key, value, (*own, *headers), received)


def outcome(raw: Record) -> tuple[list[dict[str, Any]], list[DeadLetter]]:
    """The events and dead letters of one raw record, accounted for exactly once."""
    batch = NormalizeStage().process([raw], KeyedState(), 0)
    assert batch.accounted == 1
    events = [orjson.loads(out.value) for out in batch.outputs if out.topic == Topics.EVENTS]
    letters = [
        DeadLetter.decode(out.value) for out in batch.outputs if out.topic == Topics.DEAD_LETTERS
    ]
    assert len(events) + len(letters) == len(batch.outputs)
    assert bool(events) == (batch.sent == 1)
    assert bool(letters) == (batch.dead.total() == 1)
    for document in events:
        check(document)
    return events, letters


def event(data: bytes | str, **more: Any) -> dict[str, Any]:
    """The one event of a line."""
    events, letters = outcome(record(data, **more))
    assert not letters, letters[0].reason
    (document,) = events
    return document


def dead(data: bytes | str, **more: Any) -> DeadLetter:
    """The one dead letter of a line."""
    events, letters = outcome(record(data, **more))
    assert not events
    (letter,) = letters
    return letter


def flat(node: Any, path: str | None = None) -> dict[str, Any]:
    """Dotted path → value."""
    if not isinstance(node, dict):
        return {path or "": node}
    return {
        name: value
        for key, child in node.items()
        for name, value in flat(child, key if path is None else f"{path}.{key}").items()
    }


_LISTS = ("event.category", "event.type", "related.ip", "related.user", "related.hosts")
_NUMBERS = ("source.port", "destination.port", "process.pid", "http.response.status_code")
_TEXTS = (
    *("event.action", "event.dataset", "event.original", "event.outcome", "event.id", "message"),
    *("user.name", "host.name", "source.address", "source.ip", "url.original", "url.path"),
    *("process.name", "process.command_line", "log.syslog.procid", "user_agent.original"),
)


def check(document: dict[str, Any]) -> None:
    """What every event promises: the common fields, and ECS types."""
    assert document["ecs"] == {"version": ECS_VERSION}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["@timestamp"])
    parse_iso(document["@timestamp"])
    fields = flat(document)
    for name in ("event.id", "event.created", "event.original", "event.kind", "event.dataset"):
        assert isinstance(fields[name], str)
    assert fields["event.id"]
    own = document["tocsin"]
    assert own["origin"].startswith("raw/")
    assert own["parser"].keys() == {"name", "version"}
    assert {"source", "tenant"} <= own.keys()
    for name in _LISTS:
        value = fields.get(name, [])
        assert isinstance(value, list)
        assert all(isinstance(item, str) and item for item in value)
    for name in _NUMBERS:
        value = fields.get(name, 0)
        assert type(value) is int
    for name in _TEXTS:
        assert isinstance(fields.get(name, ""), str)
    assert fields.get("event.outcome", "success") in {"success", "failure", "unknown"}
