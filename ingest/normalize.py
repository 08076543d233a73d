"""The normalize stage: raw bytes become ECS events, or dead letters that say why not.

Stateless and pure: an event is a function of its raw record alone, so the same log always gives
the same events. Nothing is dropped in silence: what no format knows is an event with its text,
and what cannot be an event is a dead letter with its bytes and one of `CODES`.

Headers of a raw record: `source`, `tenant` and `received` as tocsin.contracts.raw_record writes
them; `origin-id`, the identity of the line at its source (32 hexadecimal digits), which becomes
event.id so that a line that was read twice is one event; `timezone`, the IANA zone of times that
name none (default UTC).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from ingest.document import relate
from ingest.envelopes import members, unwrap
from ingest.formats import ecs, generic, syslog, windows
from ingest.framing import Maker, json_within, marked, unmarked
from ingest.jsontext import read_json
from ingest.mapping.library import Library, builtin
from ingest.times import iso8601, rfc3339, time_zone
from tocsin.contracts import ECS_VERSION, Topics
from tocsin.deadletters import dead_letters
from tocsin.errors import BadInput
from tocsin.ids import digest, event_id, provider_event_id
from tocsin.log.base import MAX_RECORD, Outgoing
from tocsin.route import ROUTE, route_of
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.door import Door
    from ingest.mapping.library import Mapped
    from ingest.mapping.line import Header, Line
    from tocsin.contracts import Document, RawEvent
    from tocsin.log.base import Record
    from tocsin.state import State

    #: A document, its time (ms), the parser's name, and what a mapping said of it.
    Parsed = tuple[Document, int, str, Mapped | None]

try:
    from ingest.generic import map_fields
except ImportError:
    map_fields = None

#: Version of all parsers together, in `tocsin.parser.version`: raise it when events change.
PARSER_VERSION = "1"

#: What a dead letter names as its parser: which one failed is not known, its generation is.
PARSERS = f"normalize/{PARSER_VERSION}"

#: Largest source text of one event, bytes: an event is about four times its text, and must
#: stay below MAX_RECORD whatever its characters become in JSON.
MAX_EVENT = 1024 * 1024

#: Most events that one raw record may become (a CloudTrail file holds a few thousand records).
MAX_EVENTS = 20_000

#: Why a raw record becomes a dead letter; each is a metric label.
CODES = {
    "empty": "nothing but blanks",
    "not_text": "too many control or undecodable characters: binary, or another encoding",
    "json_invalid": "begins like JSON but is not",
    "json_not_object": "JSON, but neither an object nor a list of objects",
    "too_deep": "JSON nested too deeply",
    "too_large": "one event larger than MAX_EVENT, or than a record may be",
    "too_many": "more than MAX_EVENTS events in one raw record",
    "time_unreadable": "a known format whose time is missing or does not exist",
    "timezone_unknown": "the source's time zone is no IANA name",
    "received_unreadable": "the raw record's time of receipt is outside the years 1 to 9999",
}

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SANE_ID = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_BLANK = " \t\r\n\0\ufeff"
#: `{`, or a list of objects: text in brackets (`[error] …`) is no broken JSON.
_JSON_START = re.compile(rb'\{|\[\s*(?:\{\s*["}]|\]|\[)')
_UTF8_BOM = b"\xef\xbb\xbf"
_JSON_BLANK = b" \t\r\n\0"
#: First bytes of JSON, of blanks before it and of a byte order mark.
_MAYBE_JSON = frozenset({b"{", b"[", b"\xef", *(bytes([code]) for code in _JSON_BLANK)})


class Delivery:
    """A raw record as the formats need it: bytes, where they come from and when."""

    __slots__ = ("created", "data", "origin_id", "position", "received", "source", "tenant", "zone")

    def __init__(
        self,
        data: bytes,
        source: str,
        tenant: str,
        received: int,
        position: tuple[str, int, int],
        origin_id: str,
        zone: str,
    ) -> None:
        self.data = data
        self.source = source
        self.tenant = tenant
        self.received = received
        self.position = position
        self.origin_id = origin_id
        self.zone = zone
        try:
            self.created = rfc3339(received)
        except ValueError as error:
            raise BadInput("received_unreadable", f"time of receipt: {error}") from None
        if zone != "UTC":
            _check_zone(zone, source)

    def identity(self) -> str:
        """The id of the line at its source, else of its place in the log."""
        return self.origin_id or event_id(*self.position)


def _check_zone(zone: str, source: str) -> None:
    try:
        time_zone(zone)
    except ValueError as error:
        raise BadInput(
            "timezone_unknown", f"{error}; correct `timezone` of source {source[:64]} and replay"
        ) from None


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


class Normalizer:
    """Raw records to events, by the mappings of a library, else generically.

    `mappings=False` leaves out the mappings and the parsers of single formats.
    """

    def __init__(self, library: Library | None = None, *, mappings: bool = True) -> None:
        self.library = (library or builtin()) if mappings else Library(())
        self._mappings = mappings
        #: Told of every mapping that ran; for `--explain`.
        self.watch: Callable[[Line, Mapped], None] | None = None

    def events(self, raw: Delivery) -> list[tuple[Document, int]]:
        """Every event of a raw record with its time (ms); none for an empty list of records.

        Raises BadInput with one of CODES.
        """
        data = raw.data
        if data[:1] in _MAYBE_JSON:
            data = data.removeprefix(_UTF8_BOM).strip(_JSON_BLANK)
            if _JSON_START.match(data) is not None:
                return self._json_events(raw, data)
        if len(raw.data) > MAX_EVENT:
            raise BadInput("too_large", f"{len(raw.data)} bytes; an event has at most {MAX_EVENT}")
        text = raw.data.decode("utf-8", "replace").strip(_BLANK)
        if not text:
            raise BadInput("empty", "nothing but blanks")
        return [_finish(self._text(text, raw), raw, text)]

    # Text

    def _text(self, text: str, raw: Delivery) -> Parsed:
        head = syslog.header(text, raw.received, raw.zone)
        if head is not None:
            header, payload = head
            found = self._payload(payload, header, raw) if payload else None
            if found is not None:
                return found
        found = self._payload(text, None, raw)
        if found is None and head is None:
            tagged = syslog.tagged(text)
            if tagged is not None:
                found = self._payload(tagged[1], tagged[0], raw)
        if found is not None:
            return found
        generic.check_text(text)
        return self._generic_text(text, head, raw)

    def _payload(
        self, text: str, header: Header | None, raw: Delivery, depth: int = 0
    ) -> Parsed | None:
        """The event of a text by the best mapping, None if no mapping knows it."""
        make = Maker(header, raw.source, raw.received, raw.zone)
        inner = json_within(text)
        if inner is not None and (found := self._object(inner[0], text, header, raw, depth)):
            return found
        for line in marked(text, make):
            if (mapped := self.library.map_fields(line)) is not None:
                return self._done(mapped)
        line = make("text", {"message": text}, text)
        fallback = self.library.map_text(line)
        if fallback is not None and fallback.ran.fits:
            return self._done(fallback)
        for line in unmarked(text, make, self.library):
            if (mapped := self.library.map_fields(line)) is not None:
                return self._done(mapped)
        return None if fallback is None else self._done(fallback)

    def _done(self, mapped: Mapped) -> Parsed:
        if self.watch is not None:
            self.watch(mapped.line, mapped)
        document = mapped.document
        header = mapped.line.header
        if header is not None:
            if header.own is not None:
                document["tocsin"] = dict(header.own)
            described = syslog.whole_header(header)
            if described:
                log = document.setdefault("log", {})
                log["syslog"] = described | log.get("syslog", {})
        return document, mapped.at, mapped.program.id, mapped

    def _generic_text(self, text: str, head: tuple[Header, str] | None, raw: Delivery) -> Parsed:
        header, payload = head if head is not None else (None, text)
        if map_fields is not None:
            make = Maker(header, raw.source, raw.received, raw.zone)
            inner = json_within(payload) if payload else None
            lines = [make("json", inner[0], payload)] if inner else marked(payload, make)
            for line in lines:
                return self._generic(line)
            for line in unmarked(payload, make, self.library):
                if line.format == "kv":
                    return self._generic(line)
            return self._generic(make("text", {"message": payload}, payload))
        return (*generic.parse_text(text, raw.received, raw.zone), None)

    def _generic(self, line: Line) -> Parsed:
        assert map_fields is not None
        document = map_fields(
            line.format, line.fields, line.text, line.header, line.received, line.zone
        )
        header = line.header
        if header is not None:
            if header.own is not None:
                document["tocsin"] = dict(header.own)
            if described := syslog.whole_header(header):
                document.setdefault("log", {}).setdefault("syslog", described)
        at = iso8601(document["@timestamp"])
        document["@timestamp"] = at[1]
        return document, at[0], f"generic.{line.format}", None

    # JSON

    def _json_events(self, raw: Delivery, data: bytes) -> list[tuple[Document, int]]:
        value = read_json(data)
        records = _records(value)
        if records is None:
            if len(data) > MAX_EVENT:
                raise BadInput("too_large", f"{len(data)} bytes; an event has at most {MAX_EVENT}")
            text = data.decode("utf-8", "replace")
            return [_finish(self._record(value, text, raw), raw, text)]
        if len(records) > MAX_EVENTS:
            raise BadInput("too_many", f"{len(records)} events; a record may hold {MAX_EVENTS}")
        texts = [orjson.dumps(record) for record in records]
        if (largest := max(map(len, texts), default=0)) > MAX_EVENT:
            raise BadInput("too_large", f"an event of {largest} bytes; at most {MAX_EVENT}")
        whole = raw.identity()
        return [
            _finish(
                self._record(record, text.decode(), raw),
                raw,
                text.decode(),
                digest("event", whole, index),
            )
            for index, (record, text) in enumerate(zip(records, texts, strict=True))
        ]

    def _record(self, record: dict[str, Any], text: str, raw: Delivery) -> Parsed:
        """The event of an object; a mapping that fails must not lose it."""
        found = self._object(record, text, None, raw)
        if found is not None:
            return found
        if self._mappings:
            try:
                if ecs.recognises(record):
                    return (*ecs.parse(record, raw.zone), None)
            except BadInput as error:
                document, at, parser, _ = self._generic_object(record, text, raw)
                document["error"] = {"code": error.reason_code, "message": str(error)}
                return document, at, parser, None
        return self._generic_object(record, text, raw)

    def _generic_object(self, record: dict[str, Any], text: str, raw: Delivery) -> Parsed:
        if map_fields is not None:
            make = Maker(None, raw.source, raw.received, raw.zone)
            return self._generic(make("json", record, text))
        return (*generic.parse_json(record, raw.received, raw.zone), None)

    def _object(
        self,
        record: dict[str, Any],
        text: str,
        header: Header | None,
        raw: Delivery,
        depth: int = 0,
    ) -> Parsed | None:
        """The event of an object by the best mapping, within envelopes too."""
        make = Maker(header, raw.source, raw.received, raw.zone)
        fields = windows.frame(record)
        if fields is not None:
            line = make("windows", dict(fields), text)
            if (mapped := self.library.map_fields(line)) is not None:
                return self._done(mapped)
        line = make("json", record, text)
        if (mapped := self.library.map_fields(line)) is not None:
            return self._done(mapped)
        if depth >= MAX_ENVELOPES:
            return None
        inside = unwrap(record, raw.received, raw.zone)
        if inside is None:
            return None
        inner, outer = inside
        if isinstance(inner, dict):
            return self._object(inner, text, outer, raw, depth + 1)
        inner = inner.strip(_BLANK)
        if not inner:
            return None
        head = syslog.header(inner, raw.received, raw.zone)
        if head is not None and head[1]:
            found = self._payload(head[1], head[0], raw, depth + 1)
            if found is not None:
                return found
        return self._payload(inner, outer, raw, depth + 1)


#: Deepest nesting of envelopes.
MAX_ENVELOPES = 3


def events(delivery: Delivery) -> list[tuple[Document, int]]:
    """The events of a raw record by the mappings that come with Tocsin."""
    return Normalizer().events(delivery)


def _records(value: Any) -> list[dict[str, Any]] | None:
    """The members of a list of events, None for an object that is one event itself."""
    if isinstance(value, dict):
        return members(value)
    if isinstance(value, list) and all(isinstance(member, dict) for member in value):
        return value
    raise BadInput("json_not_object", "JSON, but neither an object nor a list of objects")


def _finish(
    parsed: Parsed, raw: Delivery, text: str, identity: str | None = None
) -> tuple[Document, int]:
    """Add what every event has; `identity` is for members of a record that holds several."""
    document, at, parser, mapped = parsed
    event: dict[str, Any] = document["event"]
    if mapped is not None:
        if mapped.identity is not None and _SANE_ID.fullmatch(mapped.identity) is not None:
            identity = provider_event_id(f"{parser}/{raw.tenant}", mapped.identity)
    elif parser == "ecs":
        identity = _provided_id(document) or identity
    event["id"] = identity or raw.identity()
    event["created"] = raw.created
    if parser != "ecs" or "original" not in event:
        event["original"] = text
    document["ecs"] = {"version": ECS_VERSION}
    if mapped is None:
        relate(document)
    topic, partition, offset = raw.position
    version = PARSER_VERSION if mapped is None else mapped.program.version
    own: dict[str, Any] = {
        "origin": f"{topic}/{partition}/{offset}",
        "source": raw.source,
        "tenant": raw.tenant,
        "parser": {"name": parser, "version": version},
    }
    if "tocsin" in document:
        own |= document["tocsin"]
    document["tocsin"] = own
    return document, at


def _provided_id(document: Document) -> str | None:
    """The id that an ECS event brings, None where there is none that can be trusted."""
    provided = document["event"].get("id")
    if not isinstance(provided, str) or _SANE_ID.fullmatch(provided) is None:
        return None
    return provided


class NormalizeStage:
    """tocsin.stage.Stage: `raw` → `events` and `dead-letters`."""

    name = "normalize"
    topic = Topics.RAW
    stateful = False

    def __init__(self, library: Library | None = None, door: Door | None = None) -> None:
        """`door` is what enrichment and privacy do to each event, None where there is nothing."""
        self._normalizer = Normalizer(library)
        self._door = door
        self._refused: type[Exception] = BadInput if door is None else Exception

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """Normalize records of one partition; neither `state` nor `now` is looked at.

        Raises StoreUnavailable where the keys that privacy needs cannot be had.
        """
        batch = Batch()
        for record in records:
            try:
                outgoing = self._outgoing(record)
            except self._refused as error:
                batch.outputs.extend(self._letters(record, error, batch))
                continue
            if outgoing:
                batch.sent += 1
                batch.outputs.extend(outgoing)
            else:
                batch.filtered["no_records"] += 1
        if self._door is not None:
            self._door.flush()
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """Nothing ever becomes due here."""
        return ()

    def _letters(self, record: Record, error: Exception, batch: Batch) -> list[Outgoing]:
        if self._door is not None:
            record, code, reason = self._door.letter(record, error)
        else:
            code, reason = getattr(error, "reason_code", "internal"), str(error)
        batch.dead[code] += 1
        # Of the time of receipt: the letter is a function of the record alone.
        return dead_letters(self.name, record, code, reason, record.timestamp, PARSERS)

    def _outgoing(self, record: Record) -> list[Outgoing]:
        """The events of a raw record; all of them or BadInput."""
        outgoing = []
        door = self._door
        delivered = _delivered(record if door is None else door.opened(record))
        for document, at in self._normalizer.events(delivered):
            if door is not None:
                door.admit(document, delivered.source)
            value = orjson.dumps(document)
            if len(value) > MAX_RECORD:
                raise BadInput(
                    "too_large",
                    f"the event has {len(value)} bytes; a record has at most {MAX_RECORD}",
                )
            key = record.key
            if key is None and "host" in document:
                name = document["host"].get("name")
                key = name.encode() if isinstance(name, str) else None
            # The match stage sorts events by it, and decodes few of them.
            headers = ((ROUTE, route_of(document)),)
            if door is not None:
                key = door.record_key(key, delivered.source)
            outgoing.append(Outgoing(Topics.EVENTS, value, key, headers, at))
        return outgoing


def _delivered(record: Record) -> Delivery:
    """As RawEvent.from_record, which costs twice as much, with the headers only we read."""
    headers = dict(record.headers)
    received = headers.get("received", b"")
    origin_id = headers.get("origin-id", b"").decode("ascii", "replace")
    if origin_id and _ID.fullmatch(origin_id) is None:
        origin_id = digest("event", origin_id)
    if len(received) > _MAX_RECEIVED:
        raise BadInput("received_unreadable", "the header `received` is no time")
    return Delivery(
        record.value,
        headers.get("source", b"").decode("utf-8", "replace") or record.topic,
        headers.get("tenant", b"").decode("utf-8", "replace") or "default",
        int(received) if received.isdigit() else record.timestamp,
        (record.topic, record.partition, record.offset),
        origin_id,
        headers.get("timezone", b"UTC").decode("utf-8", "replace"),
    )


#: Most digits of the header `received`.
_MAX_RECEIVED = 18
