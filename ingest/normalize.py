"""The normalize stage: raw bytes become ECS events, or dead letters that say why not.

Stateless and pure: an event is a function of its raw record alone, so the same log always gives
the same events. Nothing is dropped in silence: what no mapping knows is an event all the same,
and what cannot be an event is a dead letter with its bytes and one of `CODES`.

Headers of a raw record: `source`, `tenant` and `received` as tocsin.contracts.raw_record writes
them; `origin-id`, the identity of the line at its source (32 hexadecimal digits), which becomes
event.id so that a line that was read twice is one event; `timezone`, the IANA zone of times that
name none (default UTC); `format`, the names of the formats to try first (`ingest.expected`), where
lines that are in none of them are noted as `format_unexpected`; `peer`, the address of who sent it,
which becomes `tocsin.peer`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from ingest.expected import Expected
from ingest.mapping.library import builtin
from ingest.mapping.origin import Origin
from ingest.mapping.runtime import MAX_ROUTES
from ingest.normalizer import (
    MAX_EVENT,
    MAX_EVENTS,
    Delivery,
    Normalizer,
)
from ingest.unmapped import PARSER_VERSION
from tocsin.contracts import Topics
from tocsin.deadletters import dead_letters
from tocsin.errors import BadInput
from tocsin.ids import digest
from tocsin.log.base import MAX_RECORD, Outgoing
from tocsin.route import ROUTE, route_of
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingest.door import Door
    from ingest.mapping.library import Library
    from ingest.shortcuts import Shortcut
    from tocsin.contracts import Document, RawEvent
    from tocsin.log.base import Headers, Record
    from tocsin.state import State

__all__ = [
    "CODES",
    "MAX_EVENT",
    "MAX_EVENTS",
    "Delivery",
    "NormalizeStage",
    "Normalizer",
    "normalize",
]

#: Why a raw record becomes a dead letter; each is a metric label.
CODES = {
    "empty": "nothing but blanks",
    "not_text": "too many control or undecodable characters: binary, or another encoding",
    "json_invalid": "begins like JSON but is not",
    "json_not_object": "JSON, but neither an object nor a list of objects",
    "too_deep": "JSON nested too deeply",
    "too_large": "one event larger than MAX_EVENT, or than a record may be",
    "too_many": "more than MAX_EVENTS events in one raw record",
    "timezone_unknown": "the source's time zone is no IANA name",
    "received_unreadable": "the raw record's time of receipt is outside the years 1 to 9999",
    "sealed": "bytes that privacy rules have sealed, and whose key is gone",
}

#: What a dead letter names as its parser: which one failed is not known, its generation is.
PARSERS = f"normalize/{PARSER_VERSION}"

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)

#: Most digits of the header `received`.
_MAX_RECEIVED = 18


def normalize(
    raw: RawEvent, *, origin_id: str = "", zone: str = "UTC", library: Library | None = None
) -> Document:
    """The ECS event of a raw record; of one that holds several, the first.

    Raises BadInput with one of CODES.
    """
    delivery = Delivery(
        raw.data, raw.source, raw.tenant, raw.received, raw.position, origin_id, zone
    )
    made = Normalizer(library).events(delivery)
    if not made:
        raise BadInput("json_not_object", "an empty list holds no event")
    return made[0][0]


class NormalizeStage:
    """tocsin.stage.Stage: `raw` → `events` and `dead-letters`."""

    name = "normalize"
    topic = Topics.RAW
    stateful = False

    def __init__(self, library: Library | None = None, door: Door | None = None) -> None:
        """`door` is what enrichment and privacy do to each event, None where there is nothing."""
        library = library or builtin()
        normalizer = Normalizer(library, encoded=door is None)
        self._expected = Expected(library, encoded=door is None)
        self._made, self._short = normalizer.made, normalizer.short
        self._origins = Origins()
        #: Route → the headers of events that have it.
        self._headers: dict[bytes, Headers] = {}
        self._door = door
        self._refused: type[Exception] = BadInput if door is None else Exception

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """Normalize records of one partition; neither `state` nor `now` is looked at.

        Raises StoreUnavailable where the keys that privacy needs cannot be had.
        """
        batch = Batch()
        outputs = batch.outputs
        short = self._short
        for record in records if short is None else self._quickly(short, records, batch):
            try:
                outgoing = self._outgoing(record, batch)
            except self._refused as error:
                outputs += self._letters(record, error, batch)
                continue
            if outgoing:
                batch.sent += 1
                outputs += outgoing
            else:
                batch.filtered["no_records"] += 1
        if self._door is not None:
            self._door.flush()
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """Nothing ever becomes due here."""
        return ()

    def _quickly(
        self, short: Shortcut, records: Sequence[Record], batch: Batch
    ) -> Iterator[Record]:
        """Do what goes the short way, in order; the records that do not."""
        origins, append, routed = self._origins, batch.outputs.append, self._headers
        seen: Headers | None = None
        sent = 0
        for record in records:
            _, _, offset, key, value, headers, _ = record
            if headers != seen:
                try:
                    origin, id = origins.of(record)
                except BadInput:
                    yield record
                    continue
                seen = headers if origins.last is origin else None
            if origin.formats:
                yield record
                continue
            try:
                made = short(value, origin, offset, id)
            except BadInput:
                made = None
            if made is None:
                yield record
                continue
            encoded, at, route, host = made
            if len(encoded) > MAX_RECORD:
                yield record
                continue
            if key is None and isinstance(host, str):
                key = host.encode()
            header = routed.get(route)
            if header is None:
                header = self._header(route)
            sent += 1
            # A call of the class costs twice as much.
            append(_new(Outgoing, (_EVENTS, encoded, key, header, at, None)))
        batch.sent += sent

    def _header(self, route: bytes) -> Headers:
        """The headers of events with a route: the same tuple, which no one has to go through."""
        if len(self._headers) >= MAX_ROUTES:
            self._headers.clear()
        header = self._headers[route] = ((ROUTE, route),)
        return header

    def _letters(self, record: Record, error: Exception, batch: Batch) -> list[Outgoing]:
        if self._door is not None:
            record, code, reason = self._door.letter(record, error)
        else:
            code, reason = getattr(error, "reason_code", "internal"), str(error)
        batch.dead[code] += 1
        # Of the time of receipt: the letter is a function of the record alone.
        return dead_letters(self.name, record, code, reason, record.timestamp, PARSERS)

    def _outgoing(self, record: Record, batch: Batch) -> list[Outgoing]:
        """The events of a raw record; all of them or BadInput."""
        outgoing = []
        door = self._door
        if door is not None:
            record = door.opened(record)
        origin, origin_id = self._origins.of(record)
        events = None
        if origin.formats:
            events = self._expected.made(record.value, origin, record.offset, origin_id)
            if events is None:
                batch.noted["format_unexpected"] += 1
        if events is None:
            events = self._made(record.value, origin, record.offset, origin_id)
        for made, at, route, host in events:
            if door is not None and isinstance(made, dict):
                door.admit(made, origin.source)
                route = route_of(made)
                host = made["host"].get("name") if "host" in made else None
            value = made if made.__class__ is bytes else orjson.dumps(made)
            if len(value) > MAX_RECORD:
                raise BadInput(
                    "too_large",
                    f"the event has {len(value)} bytes; a record has at most {MAX_RECORD}",
                )
            key = record.key
            if key is None and isinstance(host, str):
                key = host.encode()
            if door is not None:
                key = door.record_key(key, origin.source)
            # The match stage sorts events by the route, and decodes few of them.
            outgoing.append(Outgoing(Topics.EVENTS, value, key, ((ROUTE, route),), at))
        return outgoing


_new = tuple.__new__
_EVENTS = Topics.EVENTS


class Origins:
    """The Origin of each record; of one like the last, the same again.

    Only those are remembered whose headers say everything, the time of receipt included.
    """

    def __init__(self) -> None:
        self._place: tuple[str, int] = ("", -1)
        self._headers: Headers | None = None
        #: The origin of the record before, if its headers alone say it.
        self.last: Origin | None = None

    def of(self, record: Record) -> tuple[Origin, str]:
        """The record's origin and the identity of its line at the source ("" without one).

        Raises BadInput `received_unreadable` or `timezone_unknown`.
        """
        headers = record.headers
        origin_id = ""
        if headers and headers[-1][0] == "origin-id":
            origin_id = _identity(headers[-1][1])
            headers = headers[:-1]
        if (
            self.last is not None
            and headers == self._headers
            and self._place == (record.topic, record.partition)
        ):
            return self.last, origin_id
        known = dict(headers)
        if "origin-id" in known:
            origin_id = _identity(known["origin-id"])
        received = known.get("received", b"")
        if len(received) > _MAX_RECEIVED:
            raise BadInput("received_unreadable", "the header `received` is no time")
        self.last = None
        origin = Origin(
            record.topic,
            record.partition,
            known.get("source", b"").decode("utf-8", "replace") or record.topic,
            known.get("tenant", b"").decode("utf-8", "replace") or "default",
            int(received) if received.isdigit() else record.timestamp,
            known.get("timezone", b"UTC").decode("utf-8", "replace"),
            formats=known.get("format", b"").decode("utf-8", "replace"),
            peer=known.get("peer", b"").decode("utf-8", "replace"),
        )
        if received.isdigit() and "origin-id" not in known:
            self._headers, self._place = headers, (record.topic, record.partition)
            self.last = origin
        return origin, origin_id


def _identity(header: bytes) -> str:
    """The header `origin-id` as an id."""
    given = header.decode("ascii", "replace")
    return given if not given or _ID.fullmatch(given) is not None else digest("event", given)
