"""A raw record to its events: framing, recognition, the mapping or else the generic mapping.

Texts are tried in this order, and the first mapping with a pattern for the text wins: JSON within
it, frames with a mark (CEF, LEEF, XML, auditd, access logs), mappings that name its syslog program
or say how it looks, mappings with a phrase for it, frames without a mark (CSV, pairs). Where only
mappings without a pattern for it know a text, the first of them has it. A guess is never fatal:
what no mapping can read is mapped generically.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from ingest import unmapped
from ingest.envelopes import members, unwrap
from ingest.formats import csv, ecs, syslog, windows
from ingest.framing import check_text, json_within, marked, may_be_marked, unmarked
from ingest.jsontext import read_json
from ingest.mapping.library import Library, builtin
from ingest.mapping.line import (
    NO_HEADER,
    Header,
    common_header,
)
from ingest.mapping.origin import Origin
from ingest.mapping.recognition import HEAD, MAX_BEGINNINGS, MAX_LOOK, MAX_SHAPES
from ingest.shortcuts import shortcut
from ingest.times import known_rfc3164
from tocsin.errors import BadInput
from tocsin.ids import digest

if TYPE_CHECKING:
    from ingest.mapping.recognition import Candidate
    from ingest.mapping.runner import Function, Made
    from ingest.unmapped import Where
    from tocsin.contracts import Document

    #: For a beginning of texts: what a text must hold, and the function that is tried then.
    Plan = tuple[tuple[str, Function | None], ...]

#: Largest source text of one event, bytes: an event is about four times its text, and must
#: stay below a record's limit whatever its characters become in JSON.
MAX_EVENT = 1024 * 1024

#: Most events that one raw record may become (a CloudTrail file holds a few thousand records).
MAX_EVENTS = 20_000

#: Deepest nesting of envelopes.
MAX_ENVELOPES = 3

_BLANK = " \t\r\n\0\ufeff"
_UTF8_BOM = b"\xef\xbb\xbf"
_JSON_BLANK = b" \t\r\n\0"
#: `{`, or a list of objects: text in brackets (`[error] …`) is no broken JSON.
_JSON_START = re.compile(rb'\{|\[\s*(?:\{\s*["}]|\]|\[)')
#: First bytes of JSON, of blanks before it and of a byte order mark.
_MAYBE_JSON = frozenset({b"{", b"[", b"\xef", *(bytes([code]) for code in _JSON_BLANK)})
_NO_FIELDS: dict[str, Any] = {}

#: One of them gives a shipper's Windows event away: only such objects are looked at closer.
_WINDOWS_KEYS = windows.KEYS


class Delivery:
    """A raw record as the formats need it: bytes, where they come from and when."""

    __slots__ = ("data", "offset", "origin", "origin_id")

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
        """Raises BadInput `received_unreadable` or `timezone_unknown`."""
        topic, partition, self.offset = position
        self.data = data
        self.origin_id = origin_id
        self.origin = Origin(topic, partition, source, tenant, received, zone)


class Normalizer:
    """Raw records to events, by the mappings of a library, else generically.

    `mappings=False` leaves out the mappings, and what is already ECS is no exception. `encoded`:
    `made` may give JSON instead of documents.
    """

    def __init__(
        self, library: Library | None = None, *, mappings: bool = True, encoded: bool = False
    ) -> None:
        self.library = (library or builtin()) if mappings else Library(())
        self._mappings = mappings
        self._find = self.library.recognizer
        runners = self.library.runners(encoded=encoded)
        #: The short way, where JSON is wanted.
        self.short = shortcut(self._find, runners, self._record) if encoded else None
        self._run = {id: runner.function for id, runner in runners.items()}
        #: The functions for texts, by mapping; made when they are first asked for.
        self._text_functions: dict[str, Function] = {}
        #: Keys of objects → whether none of them is one of a Windows event.
        self._objects: dict[tuple[str, ...], bool] = {}
        #: Beginning and program of texts → what to try, see `_plan`.
        self._plans: dict[tuple[str, str], Plan] = {}

    def events(self, raw: Delivery) -> list[tuple[Document, int]]:
        """Every event of a raw record with its time (ms); none for an empty list of records.

        Raises BadInput.
        """
        made = self.made(raw.data, raw.origin, raw.offset, raw.origin_id)
        return [
            (document if isinstance(document, dict) else orjson.loads(document), at)
            for document, at, _, _ in made
        ]

    def made(self, data: bytes, origin: Origin, offset: int, id: str) -> list[Made]:
        """Every event of a raw record; none for an empty list of records.

        `id` is the identity of the line at its source, "" where it has none. Raises BadInput.
        """
        first = data[:1]
        if first == b"{":
            return self._json(data.rstrip(_JSON_BLANK), origin, offset, id)
        if first in _MAYBE_JSON:
            stripped = data.removeprefix(_UTF8_BOM).strip(_JSON_BLANK)
            if _JSON_START.match(stripped) is not None:
                return self._json(stripped, origin, offset, id)
        if len(data) > MAX_EVENT:
            raise BadInput("too_large", f"{len(data)} bytes; an event has at most {MAX_EVENT}")
        text = data.decode("utf-8", "replace").strip(_BLANK)
        if not text:
            raise BadInput("empty", "nothing but blanks")
        made = self._quickly(text, origin, offset, id)
        return [made if made is not None else self._text(text, (origin, offset, id, text))]

    def _quickly(self, text: str, origin: Origin, offset: int, id: str) -> Made | None:
        """What `_text` makes of a common line by the first mapping of its program; else None."""
        match = syslog.common(text)
        if match is None:
            return None
        stamp, host, program, pid = match.groups()
        at = known_rfc3164(stamp, origin.limit, origin.zone)
        payload = text[match.end() :]
        if at is None or not payload or payload[-1] == "}" or may_be_marked(payload):
            return None
        key = (payload[:HEAD], program)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plan(key)
        header = common_header(at, host, program, pid)
        for part, function in plan:
            if part in payload:
                if function is None:
                    return None
                made = function(_NO_FIELDS, payload, header, origin, offset, id, text, True)
                if made is not None:
                    return made
        return None

    def _plan(self, key: tuple[str, str]) -> Plan:
        """The functions of mappings that ask for the program only, up to the first that does not.

        A text that holds what an entry without a function asks for goes the long way.
        """
        plan: list[tuple[str, Function | None]] = []
        for one in self._find.of_text(*key):
            plan.append((one.part, self._text_function(one) if one.named else None))
            if not one.named and not one.part:
                break
        if len(self._plans) >= MAX_BEGINNINGS:
            self._plans.clear()
        self._plans[key] = tuple(plan)
        return self._plans[key]

    def _text_function(self, one: Candidate) -> Function:
        function = self._text_functions.get(one.program.id)
        if function is None:
            function = self._text_functions[one.program.id] = self._run[one.program.id]("text")
        return function

    # Texts

    def _text(self, text: str, line: Where) -> Made:
        origin = line[0]
        head = None
        if syslog.may_begin(text):
            head = syslog.header(text, origin.received, origin.zone)
        if head is not None:
            header, payload = head
            if payload and (made := self._payload(payload, header, line)) is not None:
                return made
        made = self._payload(text, NO_HEADER, line)
        if made is None and head is None and (tagged := syslog.tagged(text)) is not None:
            made = self._payload(tagged[1], tagged[0], line)
        if made is not None:
            return made
        check_text(text)
        header, payload = head if head is not None else (NO_HEADER, text)
        return unmapped.of_text(payload, header, line)

    def _payload(self, text: str, header: Header, line: Where, depth: int = 0) -> Made | None:
        """The event of a text by the best mapping, None if no mapping knows it."""
        if text[-1] == "}" and (inner := json_within(text)) is not None:
            made = self._object(inner[0], text, header, line, depth)
            if made is not None:
                return made
        if may_be_marked(text):
            for format, fields in marked(text):
                if (made := self._fields(format, fields, text, header, line)) is not None:
                    return made
        fallback: Candidate | None = None
        lead = text if len(text) <= MAX_LOOK else text[:MAX_LOOK]
        for one in self._find.of_text(text, header.program):
            if one.part not in lead:
                continue
            if one.named:
                function = self._text_function(one)
                made = function(_NO_FIELDS, text, header, *line, True)
            elif one.text_fits(text):
                made = self._candidate(one, text, header, line, must=True)
            else:
                continue
            if made is not None:
                return made
            if fallback is None and self._knows(one, text, header, line):
                fallback = one
        program = self._find.of_phrase(text)
        if program is not None:
            return self._run[program.id]("text")({"message": text}, text, header, *line, False)
        for format, fields in unmarked(text, self._find.columns):
            if (made := self._fields(format, fields, text, header, line)) is not None:
                return made
        if fallback is None:
            return None
        return self._candidate(fallback, text, header, line, must=False)

    def _knows(self, one: Candidate, text: str, header: Header, line: Where) -> bool:
        """Whether a candidate that fits knows a text that fits none of its patterns."""
        if one.entry.format != "text":
            return False
        return one.entry.condition is None or one.holds({"message": text}, text, header, line[0])

    def _candidate(
        self, one: Candidate, text: str, header: Header, line: Where, *, must: bool
    ) -> Made | None:
        entry = one.entry
        fields: dict[str, Any] | None = {"message": text}
        if entry.format == "csv":
            must = False
            fields = csv.frame(text, entry.columns, entry.delimiter)
        if fields is None:
            return None
        if entry.condition is not None and not one.holds(fields, text, header, line[0]):
            return None
        return self._run[one.program.id](entry.format)(fields, text, header, *line, must)

    def _fields(
        self, format: str, fields: dict[str, Any], text: str, header: Header, line: Where
    ) -> Made | None:
        """The event of a framed line by the best mapping, None if no mapping knows it."""
        found = self._find.of_fields(format, fields, text, header, line[0])
        if found is None:
            return None
        program, shared = found
        return self._run[program.id](format)(fields, text, header, *line, False, shared)

    # Objects

    def _json(self, data: bytes, origin: Origin, offset: int, id: str) -> list[Made]:
        value = read_json(data)
        records = _records(value)
        if records is None:
            if len(data) > MAX_EVENT:
                raise BadInput("too_large", f"{len(data)} bytes; an event has at most {MAX_EVENT}")
            text = data.decode("utf-8", "replace")
            return [self._record(value, text, (origin, offset, id, text))]
        if len(records) > MAX_EVENTS:
            raise BadInput("too_many", f"{len(records)} events; a record may hold {MAX_EVENTS}")
        texts = [orjson.dumps(record) for record in records]
        if (largest := max(map(len, texts), default=0)) > MAX_EVENT:
            raise BadInput("too_large", f"an event of {largest} bytes; at most {MAX_EVENT}")
        whole = id or origin.place(offset)
        made = []
        for index, (record, encoded) in enumerate(zip(records, texts, strict=True)):
            text = encoded.decode()
            line = (origin, offset, digest("event", whole, index), text)
            made.append(self._record(record, text, line))
        return made

    def _record(self, record: dict[str, Any], text: str, line: Where) -> Made:
        """The event of an object: one that no mapping can read is mapped generically."""
        made = self._object(record, text, NO_HEADER, line)
        if made is not None:
            return made
        if self._mappings and ecs.recognises(record):
            try:
                document, at, parser = ecs.parse(record, line[0].zone)
            except BadInput as error:
                return unmapped.of_fields("json", record, text, NO_HEADER, line, error)
            return unmapped.finished(document, at, parser, NO_HEADER, line)
        return unmapped.of_fields("json", record, text, NO_HEADER, line)

    def _object(
        self, record: dict[str, Any], text: str, header: Header, line: Where, depth: int = 0
    ) -> Made | None:
        """The event of an object by the best mapping, within envelopes too."""
        key = tuple(record)
        plain = self._objects.get(key)
        if plain is None:
            if len(self._objects) >= MAX_SHAPES:
                self._objects.clear()
            plain = self._objects[key] = _WINDOWS_KEYS.isdisjoint(record)
        if not plain:
            fields = windows.frame(record)
            if fields is not None:
                made = self._fields("windows", dict(fields), text, header, line)
                if made is not None:
                    return made
        made = self._fields("json", record, text, header, line)
        if made is not None or depth >= MAX_ENVELOPES:
            return made
        received, zone = line[0].received, line[0].zone
        inside = unwrap(record, received, zone)
        if inside is None:
            return None
        inner, outer = inside
        if isinstance(inner, dict):
            return self._object(inner, text, outer, line, depth + 1)
        inner = inner.strip(_BLANK)
        if not inner:
            return None
        head = syslog.header(inner, received, zone)
        if head is not None and head[1]:
            made = self._payload(head[1], head[0], line, depth + 1)
            if made is not None:
                return made
        return self._payload(inner, outer, line, depth + 1)


def _records(value: Any) -> list[dict[str, Any]] | None:
    """The members of a list of events, None for an object that is one event itself."""
    if isinstance(value, dict):
        return members(value)
    if isinstance(value, list) and all(isinstance(member, dict) for member in value):
        return value
    raise BadInput("json_not_object", "JSON, but neither an object nor a list of objects")
