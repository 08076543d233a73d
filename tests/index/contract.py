"""What every store does: one suite, run on the embedded one and (live) on Elasticsearch.

A backend's test class derives from StoreContract and gives the fixture `store` (started, empty)
and, where writing becomes visible later, `settled`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.index.documents import (
    START,
    alert_documents,
    audit_record,
    event_document,
    lease,
    letter,
    run_event,
)
from tocsin.alert_document import alert_document
from tocsin.audit import append
from tocsin.contracts import AuditEntry, LeaseState
from tocsin.errors import StoreError
from tocsin.index.store import KINDS, MAX_ID, MAX_LIMIT, Store, StoreDocument

if TYPE_CHECKING:
    from tocsin.contracts import Contract


def plain(contract: Contract) -> dict[str, Any]:
    return contract.model_dump(mode="json", exclude_none=True)


class StoreContract:
    async def settled(self, store: Store) -> None:
        """Wait until what was written can be read."""

    async def test_an_empty_store_has_nothing(self, store: Store) -> None:
        for kind in KINDS:
            assert await store.count(kind) == 0
            assert await store.list(kind, limit=5) == []
            assert await store.get(kind, "none") is None

    async def test_what_was_written_is_read(self, store: Store) -> None:
        assert await store.write([event_document(n) for n in range(5)]) == []
        await self.settled(store)
        assert await store.count("events") == 5
        assert await store.get("events", "event-3") == event_document(3).body
        newest = await store.list("events", limit=2)
        assert [body["event"]["id"] for body in newest] == ["event-4", "event-3"]
        oldest = await store.list("events", limit=2, newest_first=False)
        assert [body["event"]["id"] for body in oldest] == ["event-0", "event-1"]

    async def test_writing_again_changes_nothing(self, store: Store) -> None:
        documents = [event_document(n) for n in range(5)]
        assert await store.write([*documents, *documents]) == []
        assert await store.write(documents[2:]) == []
        changed = event_document(1, message="another text")
        assert await store.write([changed]) == []
        await self.settled(store)
        assert await store.count("events") == 5
        assert await store.get("events", "event-1") == event_document(1).body

    @pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (3, 3, 1)])
    async def test_the_highest_revision_wins(self, store: Store, order: tuple[int, ...]) -> None:
        for revision in order:
            assert await store.write(alert_documents(revision)) == []
        await self.settled(store)
        (state,) = await store.list("alerts", limit=5)
        assert state["tocsin"]["alert"]["revision"] == 3
        assert await store.count("alert_records") == len(set(order))

    async def test_the_highest_revision_of_one_write_wins(self, store: Store) -> None:
        documents = [d for revision in (2, 3, 1) for d in alert_documents(revision)]
        assert await store.write(documents) == []
        await self.settled(store)
        (state,) = await store.list("alerts", limit=5)
        assert state["tocsin"]["alert"]["revision"] == 3
        assert await store.count("alert_records") == 3
        assert await store.count("events") == 0

    async def test_leases_follow_their_changes(self, store: Store) -> None:
        for changed, state in ((7, LeaseState.RELEASED), (5, LeaseState.ACTIVE)):
            body = plain(lease(changed, state))
            assert (
                await store.write([StoreDocument("leases", "lease-1", changed, START, body)]) == []
            )
        await self.settled(store)
        assert await store.get("leases", "lease-1") == plain(lease(7, LeaseState.RELEASED))

    async def test_contracts_come_back_exactly(self, store: Store) -> None:
        entry = AuditEntry.decode(audit_record())
        event = run_event(3, "failed", failure={"kind": "timeout", "message": "no answer"})
        documents = [
            StoreDocument("audit", entry.hash, None, entry.at, plain(entry)),
            StoreDocument("runs", event.id, None, event.at, plain(event)),
            StoreDocument("dead_letters", "letter-1", None, START, plain(letter(1))),
        ]
        assert await store.write(documents) == []
        await self.settled(store)
        assert AuditEntry.model_validate(await store.get("audit", entry.hash)) == entry
        assert await store.list("runs", limit=1) == [plain(event)]
        assert await store.list("dead_letters", limit=1) == [plain(letter(1))]

    async def test_links_of_a_chain_come_by_their_number(self, store: Store) -> None:
        """Whatever their times say, and both of two that claim one number."""
        first, head = append(None, "act-0", "effect.ok", {"n": 0}, START + 2)
        second, _ = append(head, "act-0", "effect.ok", {"n": 1}, START + 1)
        forged, _ = append(head, "act-0", "effect.ok", {"n": 7}, START + 3)
        other, _ = append(None, "decide-0", "run.started", {"n": 0}, START)
        entries = [forged, second, other, first]
        await store.write([StoreDocument("audit", e.hash, None, e.at, plain(e)) for e in entries])
        await self.settled(store)
        found = [AuditEntry.model_validate(each) for each in await store.links("act-0", 0)]
        assert found[0] == first
        assert {e.hash for e in found[1:]} == {second.hash, forged.hash}
        assert len(await store.links("act-0", 1)) == 2
        assert await store.links("act-0", 2) == []

    async def test_run_events_of_one_instant_keep_their_order(self, store: Store) -> None:
        events = [run_event(seq).model_copy(update={"at": START}) for seq in range(4)]
        await store.write([StoreDocument("runs", e.id, None, START, plain(e)) for e in events])
        await self.settled(store)
        found = await store.list("runs", limit=10, newest_first=False)
        assert [body["seq"] for body in found] == [0, 1, 2, 3]

    async def test_lists_are_narrowed_by_fields(self, store: Store) -> None:
        await store.write([event_document(1), event_document(2, source={"ip": "198.51.100.9"})])
        await store.write(alert_documents(1))
        event = run_event(0)
        await store.write([StoreDocument("runs", event.id, None, event.at, plain(event))])
        await self.settled(store)

        async def found(kind: str, **where: str) -> int:
            fields = {name.replace("__", "."): text for name, text in where.items()}
            return len(await store.list(kind, limit=9, where=fields))

        assert await found("events", source__ip="198.51.100.9") == 1
        assert await found("events", source__ip="198.51.100.9", event__id="event-1") == 0
        assert await found("events", related__user="root") == 2
        assert await found("events", source__port="4022") == 1
        assert await found("events", nothing__here="1") == 0
        assert await found("alerts", tocsin__alert__status="open") == 1
        assert await found("alerts", tocsin__success_after_failures="false") == 1
        assert await found("runs", run_id="run-1") == 1

    @pytest.mark.parametrize("field", ["", "a..b", 'a"b', "a b", "x') OR 1=1 --", "*", "a.*"])
    async def test_a_field_must_be_a_name(self, store: Store, field: str) -> None:
        with pytest.raises(StoreError, match="no field name"):
            await store.list("events", limit=1, where={field: "x"})

    @pytest.mark.parametrize("limit", [0, -1, MAX_LIMIT + 1])
    async def test_limits_are_bounded(self, store: Store, limit: int) -> None:
        with pytest.raises(StoreError, match="limit"):
            await store.list("events", limit=limit)

    async def test_an_unknown_kind_is_told(self, store: Store) -> None:
        for reading in (store.count("alarms"), store.get("alarms", "x"), store.list("a", limit=1)):
            with pytest.raises(StoreError, match="there are events, alerts"):
                await reading

    async def test_hopeless_documents_are_refused_and_the_others_stored(self, store: Store) -> None:
        good = event_document(1)
        bad = [
            StoreDocument("events", "", None, 0, {}),
            StoreDocument("events", "x" * (MAX_ID + 1), None, 0, {}),
            StoreDocument("events", "versioned", 1, 0, {}),
            StoreDocument("alerts", "no-version", None, 0, alert_document_body()),
            StoreDocument("alerts", "negative", -1, 0, alert_document_body()),
        ]
        refused = await store.write([*bad, good])
        assert [each.code for each in refused] == ["invalid_id"] * 2 + ["invalid_version"] * 3
        await self.settled(store)
        assert await store.count("events") == 1
        assert await store.count("alerts") == 0

    async def test_writing_nothing_is_fine(self, store: Store) -> None:
        assert await store.write([]) == []

    async def test_setup_twice_is_fine(self, store: Store) -> None:
        assert await store.setup() == await store.setup() != []

    async def test_closing_twice_is_fine(self, store: Store) -> None:
        await store.close()
        await store.close()
        with pytest.raises(StoreError, match=r"not open; call start"):
            await store.count("events")


def alert_document_body() -> dict[str, Any]:
    from tests.index.documents import alert

    return alert_document(alert())
