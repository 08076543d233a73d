"""The short way of the commonest lines: from bytes to JSON without anything in between.

A line that is not exactly of a kind that is known here goes the long way (ingest.normalizer),
which makes the same of it. What is remembered here changes no result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orjson import JSONDecodeError, dumps, loads

from ingest.formats import access, syslog
from ingest.framing import may_be_marked
from ingest.jsontext import is_plain
from ingest.mapping.line import NO_HEADER
from ingest.mapping.recognition import HEAD, MAX_BEGINNINGS, MAX_SHAPES
from ingest.mapping.runner import long_way
from ingest.mapping.whole import STAMP
from ingest.object_lines import ObjectLines
from ingest.objects import Objects, is_canonical
from ingest.syslog_lines import ENDS, SyslogLines, Times
from ingest.templates import Headers, Templates
from ingest.times import known_rfc3164, rfc3164

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from ingest.mapping.origin import Origin
    from ingest.mapping.recognition import Recognizer
    from ingest.mapping.runner import Attempt, Function, Made, Runner

    #: (bytes, origin, offset, identity of the line at its source or "") → what `made` of a
    #: Normalizer gives for its one event; None for a line that has to go the long way.
    #: Which fields are missing, what fits lines without them, and what makes their events.
    Request = tuple[frozenset[str], Callable[[str], re.Match[str] | None], Function]
    Plan = tuple[tuple[str, ...], tuple[Attempt, ...], Runner | None]
    Shortcut = Callable[[bytes, Origin, int, str], Made | None]

#: Longest line that goes the short way, bytes.
MAX_SHORT = 16_384

_BRACE, _LESS, _A, _Z = b"{<AZ"

#: Longest header before CEF, characters.
MAX_HEADER = 128

#: Most kinds of access logs, by the fields they have, that are known of a source.
MAX_REQUESTS = 8


#: Keys of objects that may be lists of events.
_LISTS = frozenset({"Records", "records", "value"})


def shortcut(
    find: Recognizer, runners: dict[str, Runner], record_of: Callable[..., Made]
) -> Shortcut:
    """The short way for the mappings of a library; `record_of` is the long one of objects."""
    objects = Objects(find, runners)
    #: Beginning and program of texts → what a text must not hold, what to try, and whose that is.
    plans: dict[tuple[str, str], Plan] = {}

    def plan(key: tuple[str, str]) -> Plan:
        attempts: tuple[Attempt, ...] | None = None
        runner: Runner | None = None
        others: list[str] = []
        for one in find.of_text(*key):
            if one.named:
                runner = runners[one.program.id]
                attempts = runner.attempts(key[1], key[0])
            if one.named or not one.part:
                break
            others.append(one.part)
        if len(plans) >= MAX_BEGINNINGS:
            plans.clear()
        plans[key] = tuple(others), attempts or (), runner
        return plans[key]

    syslog_lines = SyslogLines()
    known = syslog_lines.known
    times = Times()
    stamps = times.known

    #: Source → what fits the access logs of a kind that was seen there, and what makes events.
    requests: dict[str, tuple[Request, ...]] = {}

    def learn_request(groups: tuple[str, ...], source: str) -> None:
        known = requests.get(source, ())
        missing = access.missing(groups)
        if len(known) >= MAX_REQUESTS or any(missing == one[0] for one in known):
            return
        named, fits = access.expression(missing)
        keys: dict[str, type] = {name: str for name in named.names}
        one = find.by_keys("access", keys)
        function: Function = long_way
        if one is not None and one.asks_only_keys:
            function = runners[one.program.id].grouped("access", named, keys, source)
        if source not in requests and len(requests) >= MAX_SHAPES:
            requests.clear()
        requests[source] = (*known, (missing, fits, function))

    def requested(text: str, origin: Origin, offset: int, id: str) -> Made | None:
        """The event of an access log's line that has no header."""
        if text[4:5] == "-":
            return None  # perhaps a header of syslog
        for _, fits, function in requests.get(origin.source, ()):
            match = fits(text)
            if match is not None:
                return function(match.groups(), text, NO_HEADER, origin, offset, id, text)
        groups = access.parts(text)
        if groups is not None:
            learn_request(groups, origin.source)
        return None

    templates = Templates(find, runners)
    headers = Headers()

    def marked(text: str, origin: Origin, offset: int, id: str) -> Made | None:
        """The event of a line in CEF."""
        at = text.find("CEF:", 0, MAX_HEADER)
        if at < 0 or text[-1] in ENDS or '] "' in text:
            return None
        header, payload = NO_HEADER, text
        if at:
            known_header = headers.known.get(text[:at]) if origin is headers.origin else None
            if known_header is None:
                known_header = headers.of(text, at, origin)
                if known_header is None:
                    return None
            header, payload = known_header, text[at:]
        return templates.made(payload, header, origin, offset, id, text)

    lines = ObjectLines()

    def mapped(data: bytes, origin: Origin, offset: int, id: str) -> Made | None:
        """The event of an object, read once whichever way it goes."""
        event = lines.made(data, origin, offset, id)
        if event is not None:
            return event
        try:
            record = loads(data)
        except JSONDecodeError:
            return None
        if data[-1:] != b"}":
            return None
        text = data.decode()
        known = objects.known.get(key := tuple(record))
        if known is None:
            if not _LISTS.isdisjoint(record):
                return None
            known = objects.learn(key, record, origin)
        if known is not None:
            holds, functions = known
            variants = functions.get(origin.source) or functions.get(None)
            if (
                variants is not None
                and (holds is None or holds(record, text, NO_HEADER, origin))
                and is_canonical(record, data)
            ):
                lines.learn(data, record, variants.runner, variants.compared)
                special = variants.of(record)
                if special is not None:
                    event = special(record, text, NO_HEADER, origin, offset, id, text)
                    if event is not None:
                        return event
                event = variants.general(record, text, NO_HEADER, origin, offset, id, text)
                if event is not None:
                    return event
        if not is_plain(data):
            return None
        event = record_of(record, text, (origin, offset, id, text))
        if event[0].__class__ is bytes:
            return event
        document, at, route, host = event
        return dumps(document), at, route, host

    def common(text: str, origin: Origin, offset: int, id: str) -> Made | None:
        """The event of a text behind syslog's common header, else of a line in CEF."""
        match = syslog.common(text)
        if match is None:
            return marked(text, origin, offset, id)
        stamp, host, program, pid = match.groups()
        at = known_rfc3164(stamp, origin.limit, origin.zone)
        payload = text[match.end() :]
        if not payload or payload[-1] in ENDS:
            return None
        if at is None:
            try:
                at = rfc3164(stamp, origin.received, origin.zone)
            except ValueError:
                return None
        # Every mark has one of these characters, or is the first one of the text.
        if ("E" in payload or '"' in payload or "(" in payload or payload[0] in "<012 #") and (
            may_be_marked(payload)
        ):
            return None
        key = (payload[:HEAD], program)
        others, attempts, runner = plans.get(key) or plan(key)
        for other in others:
            if other in payload:
                return None
        for tried, (needle, fits, longest, cell, _) in enumerate(attempts, 1):
            if needle in payload and len(payload) <= longest:
                found = fits(payload)
                if found is not None:
                    if runner is not None:
                        syslog_lines.learn(key, pid is not None, others, attempts, tried, runner)
                    return cell[0](found, payload, at, host, pid, origin, offset, id, text)
        return None

    def made(data: bytes, origin: Origin, offset: int, id: str) -> Made | None:
        if len(data) > MAX_SHORT:
            return None
        first = data[0] if data else 0
        if first == _BRACE:
            return mapped(data, origin, offset, id)
        text = data.decode("utf-8", "replace")
        if not _A <= first <= _Z:
            if first == _LESS:
                return marked(text, origin, offset, id)
            return requested(text, origin, offset, id)
        begin = text.find(": ", STAMP) + 2
        programs = known.get(text[begin : begin + HEAD])
        if programs is not None:
            at = stamps.get(text[:STAMP]) if origin is times.origin else None
            if at is None:
                at = times.of(text[:STAMP], origin)
            if (
                at is not None
                and text[-1] not in ENDS
                and not (("E" in text or "(" in text) and may_be_marked(text[begin:]))
            ):
                for tag, others, longest, attempts in programs:
                    if tag in text and len(text) <= longest:
                        for other in others:
                            if other in text:
                                break
                        else:
                            for needle, fits, cell in attempts:
                                if needle in text:
                                    match = fits(text, STAMP)
                                    if match is not None:
                                        return cell[0](
                                            match.groups(),
                                            text[begin:],
                                            at,
                                            origin,
                                            offset,
                                            id,
                                            text,
                                        )
        return common(text, origin, offset, id)

    return made
