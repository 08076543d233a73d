"""The index stage: records of a topic become documents of the store.

What cannot be read or is refused becomes a dead letter; a refused dead letter is counted, logged
and goes no further, or it would go round for ever. Log lines name places, never contents.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from tocsin.clock import iso, parse_iso
from tocsin.contracts import AuditEntry, DeadLetter, Document, Lease, RunEvent, Topics
from tocsin.deadletters import dead_letters
from tocsin.errors import BadInput
from tocsin.index.store import (
    ALERT_RECORDS,
    ALERTS,
    AUDIT,
    DEAD_LETTERS,
    EVENTS,
    LEASES,
    RUNS,
    StoreDocument,
)
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.clock import Clock
    from tocsin.index.store import Refusal, Store
    from tocsin.log.base import Record

logger = logging.getLogger(__name__)

#: Code of a record that is not what its topic holds.
UNREADABLE = "unreadable"
#: Code of a record whose document the store will never take.
REFUSED = "store_refused"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a record is not in the store."""

    code: str
    reason: str


class IndexSink:
    """Writes one of the topics events, alerts, runs, audit and dead-letters to the store."""

    def __init__(self, topic: str, store: Store, clock: Clock) -> None:
        """Raises ValueError for a topic that is not indexed."""
        if topic not in _READERS:
            raise ValueError(f"topic '{topic}' is not indexed; {', '.join(_READERS)} are")
        self._topic = topic
        self._read = _READERS[topic]
        self._store = store
        self._clock = clock

    @property
    def name(self) -> str:
        """`index-` and the topic: also the consumer group."""
        return f"index-{self._topic}"

    @property
    def topic(self) -> str:
        """The topic that is read."""
        return self._topic

    async def write(self, records: Sequence[Record]) -> Batch:
        """Store the documents of some records; see tocsin.runtime.Sink."""
        now = self._clock.now()
        ingested = iso(now)
        documents: list[StoreDocument] = []
        owners: dict[tuple[str, str, int | None], list[int]] = {}
        faults: dict[int, Fault] = {}
        for number, record in enumerate(records):
            try:
                made = self._read(record.value, ingested)
            except BadInput as error:
                faults[number] = Fault(UNREADABLE, str(error))
                continue
            for document in made:
                documents.append(document)
                owners.setdefault(_key(document), []).append(number)
        for refused in await self._store.write(documents):
            reason = f"{refused.kind} {refused.id}: {refused.code}: {refused.reason}"
            for number in owners[_key(refused)]:
                faults.setdefault(number, Fault(REFUSED, reason))
        return self._booked(records, faults, now)

    def _booked(self, records: Sequence[Record], faults: dict[int, Fault], now: int) -> Batch:
        batch = Batch(sent=len(records) - len(faults))
        for number, fault in sorted(faults.items()):
            record = records[number]
            if self._topic == Topics.DEAD_LETTERS:
                batch.filtered[fault.code] += 1
                logger.error(
                    "%s: the dead letter at %s is not in the store (%s); it stays in the log "
                    "until its retention, read it there with `tocsin dead-letters`",
                    self.name,
                    record.position,
                    fault.code,
                )
                continue
            batch.dead[fault.code] += 1
            batch.outputs.extend(dead_letters(self.name, record, fault.code, fault.reason, now))
        return batch


def _key(document: StoreDocument | Refusal) -> tuple[str, str, int | None]:
    return document.kind, document.id, document.version


def _events(value: bytes, ingested: str) -> list[StoreDocument]:
    try:
        body: Document = orjson.loads(value)
        event = body["event"]
        event["ingested"] = ingested
        return [
            StoreDocument(EVENTS, _text(event["id"]), None, parse_iso(body["@timestamp"]), body)
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable("an event with event.id and @timestamp", error) from None


def _alerts(value: bytes, ingested: str) -> list[StoreDocument]:
    try:
        body: Document = orjson.loads(value)
        body["event"]["ingested"] = ingested
        alert = body["tocsin"]["alert"]
        id, revision = _text(alert["id"]), _count(alert["revision"])
        parse_iso(alert["window_start"])
        at = parse_iso(body["@timestamp"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable("an alert document with tocsin.alert", error) from None
    return [
        StoreDocument(ALERTS, id, revision, at, body),
        StoreDocument(ALERT_RECORDS, f"{id}-{revision}", None, at, body),
    ]


def _runs(value: bytes, ingested: str) -> list[StoreDocument]:
    try:
        event = RunEvent.decode(value)
        documents = [StoreDocument(RUNS, event.id, None, event.at, _plain(event))]
        if event.kind == "lease":
            lease = Lease.model_validate(event.data["lease"])
            documents.append(
                StoreDocument(LEASES, lease.id, lease.changed, event.at, _plain(lease))
            )
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable("a run event", error) from None
    return documents


def _audit(value: bytes, ingested: str) -> list[StoreDocument]:
    try:
        entry = AuditEntry.decode(value)
    except (ValueError, TypeError) as error:
        raise _unreadable("an audit entry", error) from None
    # The hash tells entries apart: one that was put in place of another is kept beside it.
    return [StoreDocument(AUDIT, entry.hash, None, entry.at, _plain(entry))]


def _dead_letters(value: bytes, ingested: str) -> list[StoreDocument]:
    try:
        letter = DeadLetter.decode(value)
    except (ValueError, TypeError) as error:
        raise _unreadable("a dead letter", error) from None
    return [StoreDocument(DEAD_LETTERS, letter.id, None, letter.at, _plain(letter))]


#: How the records of a topic are read.
_READERS: dict[str, Callable[[bytes, str], list[StoreDocument]]] = {
    Topics.EVENTS: _events,
    Topics.ALERTS: _alerts,
    Topics.RUNS: _runs,
    Topics.AUDIT: _audit,
    Topics.DEAD_LETTERS: _dead_letters,
}


def _plain(contract: RunEvent | Lease | AuditEntry | DeadLetter) -> dict[str, Any]:
    return contract.model_dump(mode="json", exclude_none=True)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("an id is a text")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("a revision is a whole number")
    return value


def _unreadable(wanted: str, error: Exception) -> BadInput:
    return BadInput(UNREADABLE, f"this is not {wanted}: {type(error).__name__}: {error}")
