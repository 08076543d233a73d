"""The index stage: what each topic's records become, and what becomes of those that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.index.documents import (
    START,
    alert,
    audit_record,
    event,
    lease,
    lease_event,
    letter,
    record,
    run_event,
)
from tocsin.alert_document import alert_document
from tocsin.clock import ManualClock, iso
from tocsin.contracts import AuditEntry, DeadLetter, Topics
from tocsin.errors import StoreUnavailable
from tocsin.index.sink import IndexSink
from tocsin.index.sqlite import SqliteStore
from tocsin.index.store import Refusal, StoreDocument

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOW = START + 60_000
INDEXED = (Topics.EVENTS, Topics.ALERTS, Topics.RUNS, Topics.AUDIT, Topics.DEAD_LETTERS)


class MemoryStore:
    """Takes everything but the ids it is told to refuse; can be away."""

    def __init__(self, refuse: Sequence[str] = (), *, away: bool = False) -> None:
        self.written: list[StoreDocument] = []
        self.away = away
        self._refuse = refuse

    async def write(self, documents: Sequence[StoreDocument]) -> list[Refusal]:
        if self.away:
            raise StoreUnavailable("away")
        self.written += [each for each in documents if each.id not in self._refuse]
        return [
            Refusal(each.kind, each.id, each.version, "mapping", "object became text")
            for each in documents
            if each.id in self._refuse
        ]


def sink(topic: str, store: MemoryStore) -> IndexSink:
    return IndexSink(topic, store, ManualClock(NOW))  # type: ignore[arg-type]


def letters(outputs: Sequence[Any]) -> list[DeadLetter]:
    assert all(outgoing.topic == Topics.DEAD_LETTERS for outgoing in outputs)
    return [DeadLetter.decode(outgoing.value) for outgoing in outputs]


def test_a_sink_is_named_after_its_topic() -> None:
    assert {sink(topic, MemoryStore()).name for topic in INDEXED} == {
        "index-events", "index-alerts", "index-runs", "index-audit", "index-dead-letters",
    }  # fmt: skip
    with pytest.raises(ValueError, match="'raw' is not indexed"):
        sink(Topics.RAW, MemoryStore())


async def test_events_are_stored_with_the_time_of_writing() -> None:
    store = MemoryStore()
    records = [record(Topics.EVENTS, event(n), n) for n in range(3)]
    batch = await sink(Topics.EVENTS, store).write(records)
    assert (batch.sent, batch.accounted, batch.outputs) == (3, 3, [])
    assert [d.id for d in store.written] == ["event-0", "event-1", "event-2"]
    assert store.written[1].at == START + 1
    expected = event(1)
    expected["event"]["ingested"] = iso(NOW)
    assert store.written[1].body == expected


async def test_an_alert_is_state_and_record() -> None:
    store = MemoryStore()
    batch = await sink(Topics.ALERTS, store).write(
        [record(Topics.ALERTS, alert_document(alert(4)))]
    )
    assert batch.sent == 1
    state, kept = store.written
    assert (state.kind, state.id, state.version) == ("alerts", "alert-a", 4)
    assert (kept.kind, kept.id, kept.version) == ("alert_records", "alert-a-4", None)
    assert state.body["event"]["ingested"] == iso(NOW)
    assert state.at == START + 4


async def test_a_lease_event_is_a_run_event_and_a_lease() -> None:
    store = MemoryStore()
    events = [run_event(0), lease_event(1, changed=77)]
    records = [record(Topics.RUNS, each.encode(), n) for n, each in enumerate(events)]
    batch = await sink(Topics.RUNS, store).write(records)
    assert batch.sent == 2
    assert [(d.kind, d.id, d.version) for d in store.written] == [
        ("runs", "run-1-0", None), ("runs", "run-1-1", None), ("leases", "lease-1", 77),
    ]  # fmt: skip
    assert store.written[2].body == lease(77).model_dump(mode="json", exclude_none=True)


async def test_audit_entries_that_share_a_number_are_both_kept() -> None:
    store = MemoryStore()
    entry = AuditEntry.decode(audit_record())
    other = entry.model_copy(update={"hash": "f" * 64})
    records = [record(Topics.AUDIT, each.encode()) for each in (entry, other, entry)]
    await sink(Topics.AUDIT, store).write(records)
    assert len({document.id for document in store.written}) == 2


async def test_an_unreadable_record_is_a_dead_letter_and_the_others_go_on() -> None:
    store = MemoryStore()
    values: list[bytes | dict[str, Any]] = [
        event(0), b"\xff\xfe", b"[]", b'"text"', b"{}", {"event": {"id": 7}, "@timestamp": iso(0)},
        {"event": {"id": "x"}, "@timestamp": "yesterday"}, {"event": "x", "@timestamp": iso(0)},
        event(8),
    ]  # fmt: skip
    records = [record(Topics.EVENTS, value, n) for n, value in enumerate(values)]
    batch = await sink(Topics.EVENTS, store).write(records)
    assert (batch.sent, batch.dead["unreadable"], batch.accounted) == (2, 7, 9)
    found = letters(batch.outputs)
    assert [each.origin for each in found] == [f"events/0/{n}" for n in range(1, 8)]
    assert found[0].original == b"\xff\xfe"
    assert found[0].stage == "index-events"
    assert "event.id and @timestamp" in found[0].reason


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body["tocsin"].pop("alert"),
        lambda body: body["tocsin"]["alert"].update(revision="4"),
        lambda body: body["tocsin"]["alert"].update(revision=True),
        lambda body: body["tocsin"]["alert"].update(window_start=None),
        lambda body: body.update(event=[]),
    ],
)
async def test_an_alert_that_is_none_is_a_dead_letter(spoil: Any) -> None:
    body = alert_document(alert(4))
    spoil(body)
    store = MemoryStore()
    batch = await sink(Topics.ALERTS, store).write([record(Topics.ALERTS, body)])
    assert (batch.sent, batch.dead["unreadable"], store.written) == (0, 1, [])


async def test_a_lease_event_without_its_lease_is_a_dead_letter() -> None:
    store = MemoryStore()
    broken = run_event(1, "lease", change="opened")
    batch = await sink(Topics.RUNS, store).write([record(Topics.RUNS, broken.encode())])
    assert (batch.dead["unreadable"], store.written) == (1, [])


async def test_a_refused_document_is_a_dead_letter_once() -> None:
    store = MemoryStore(refuse=["alert-a", "alert-a-4"])
    records = [
        record(Topics.ALERTS, alert_document(alert(4)), 0),
        record(Topics.ALERTS, alert_document(alert(1, name="b")), 1),
    ]
    batch = await sink(Topics.ALERTS, store).write(records)
    assert (batch.sent, batch.dead["store_refused"], batch.accounted) == (1, 1, 2)
    (letter_,) = letters(batch.outputs)
    assert letter_.reason == "alerts alert-a: mapping: object became text"
    assert letter_.original == records[0].value


async def test_each_of_two_equal_refused_records_is_a_dead_letter() -> None:
    store = MemoryStore(refuse=["event-1"])
    records = [record(Topics.EVENTS, event(1), 0), record(Topics.EVENTS, event(1), 1)]
    batch = await sink(Topics.EVENTS, store).write(records)
    assert (batch.sent, batch.dead["store_refused"]) == (0, 2)


async def test_dead_letters_never_breed(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore(refuse=["letter-1"])
    values = [letter(0).encode(), letter(1).encode(), b"secret rubbish"]
    records = [record(Topics.DEAD_LETTERS, value, n) for n, value in enumerate(values)]
    batch = await sink(Topics.DEAD_LETTERS, store).write(records)
    assert (batch.sent, batch.outputs, batch.accounted) == (1, [], 3)
    assert batch.filtered == {"store_refused": 1, "unreadable": 1}
    assert "dead-letters/0/1" in caplog.text
    assert "secret rubbish" not in caplog.text


async def test_an_absent_store_holds_the_records_back() -> None:
    store = MemoryStore(away=True)
    with pytest.raises(StoreUnavailable):
        await sink(Topics.EVENTS, store).write([record(Topics.EVENTS, event(1))])


async def test_redelivery_leaves_the_store_as_it_is(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    store = SqliteStore(tmp_path / "s", clock=clock)
    await store.start()
    records = [record(Topics.ALERTS, alert_document(alert(n)), n) for n in range(1, 4)]
    await IndexSink(Topics.ALERTS, store, clock).write(records)
    before = [await store.list(kind, limit=9) for kind in ("alerts", "alert_records")]
    clock.advance(5_000)
    for start in range(3):
        batch = await IndexSink(Topics.ALERTS, store, clock).write(records[start:])
        assert batch.sent == 3 - start
    assert [await store.list(kind, limit=9) for kind in ("alerts", "alert_records")] == before
    await store.close()


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["event", "id", "@timestamp", "tocsin", "alert"]), inner)
    ),
    max_leaves=8,
)


@given(topic=st.sampled_from(INDEXED), values=st.lists(st.binary(max_size=20) | json, max_size=5))
async def test_whatever_comes_is_accounted_for(topic: str, values: list[Any]) -> None:
    store = MemoryStore()
    records = [
        record(topic, value if isinstance(value, bytes) else orjson.dumps(value), n)
        for n, value in enumerate(values)
    ]
    batch = await sink(topic, store).write(records)
    assert batch.accounted == len(records)
    assert len(batch.outputs) == batch.dead.total()
