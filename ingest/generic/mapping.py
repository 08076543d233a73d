"""The mapping of every log that no other mapping knows."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ingest.formats import xml
from ingest.generic.candidates import Candidates
from ingest.generic.events import describe
from ingest.generic.fields import assign
from ingest.generic.moments import event_time
from ingest.generic.resolve import Resolver
from ingest.generic.text import columns, read
from ingest.generic.walk import Walk
from ingest.jsontext import read_json
from ingest.mapping import convert
from ingest.mapping.companions import complete
from ingest.mapping.line import Header, Line, nested
from ingest.mapping.plain import TIME_UNREADABLE
from ingest.times import rfc3339
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from tocsin.contracts import Document

_RESOLVERS: dict[str, Resolver] = {}


def map_fields(
    frame: str,
    fields: dict[str, Any],
    text: str,
    header: Header | None,
    received: int,
    zone: str,
) -> Document:
    """The event of a framed log: what its names and values say, the rest whole under `frame`.

    `received` is in milliseconds, `zone` the IANA zone of times that name none. Always valid ECS;
    without a readable time it happened when the header says, or on arrival.
    """
    resolver = _RESOLVERS.get(frame)
    if resolver is None:
        resolver = _RESOLVERS.setdefault(frame, Resolver(frame))
    found = Candidates()
    if frame != "text":
        Walk(resolver, found).object(fields)
    if frame == "text":
        _sentence(text, found, resolver)
    elif isinstance(message := found.best("message"), str) and len(message) > _SHORT:
        read(message, found, resolver, _MESSAGE, whole=False)
    if header is not None and header.sd is not None:
        for name, parameters in header.sd.items():
            if name not in _ABOUT_TRANSPORT:
                Walk(resolver, found).object(dict(parameters))
    instant = event_time(found, received, zone)
    if instant is None and header is not None:
        instant = header.time
    alerted = bool(found.take("~alert"))
    out = assign(found)
    if header is not None:
        _from_header(out, header, frame)
    out["@timestamp"] = instant[1] if instant is not None else rfc3339(received)
    if instant is None and header is not None and header.unreadable:
        out["tags"] = [*out.get("tags", ()), TIME_UNREADABLE]
    describe(out, alerted)
    # Sigma's rules on `service: syslog` find what a Unix host logged by this name.
    out["event.dataset"] = "system.syslog" if frame == "text" and header is not None else frame
    if frame == "text" and text:
        out.setdefault("message", text)
    if found.addresses:
        out["related.ip"] = list(found.addresses)
    complete(out)
    line = Line(frame, fields, text, header, "", received, zone)
    return nested(out, None if frame == "text" else frame, line)


def _from_header(out: dict[str, Any], header: Header, frame: str) -> None:
    """What the transport says, where the log itself does not."""
    if header.host and "host.name" not in out and "host.hostname" not in out:
        out["host.name"] = header.host
    if header.program and frame in ("text", "kv", "auditd") and "process.name" not in out:
        out["process.name"] = header.program.rpartition("/")[2] or header.program
        if header.pid and "process.pid" not in out and (number := convert.whole(header.pid)):
            out["process.pid"] = number


#: Elements of structured data that are about the message's way (RFC 5424, section 7).
_ABOUT_TRANSPORT = frozenset({"timeQuality", "origin", "meta"})

#: How far into a line JSON may begin, characters.
_LEAD = 256

#: How far into a line an XML document may begin, characters: behind a header of RFC 5424.
_DECLARED = 1_024

#: The most that a line of text is worth: a field with a name is worth more.
_TEXT = 60

#: The most that the message of a log with fields is worth, and the shortest that is read.
_MESSAGE = 35
_SHORT = 16


def _sentence(text: str, found: Candidates, resolver: Resolver) -> None:
    """Offer what a line of text says, and the JSON or XML in it, if any."""
    declared = text.find("<?xml", 0, _DECLARED)
    if declared >= 0 and (inner := xml.frame(text[declared:].rstrip())) is not None:
        Walk(resolver, found).object(inner)
        text = text[:declared] or text
    start = text.find("{")
    if 0 <= start < _LEAD and text.rstrip()[-1:] == "}":
        with suppress(BadInput):  # braces that are no JSON
            decoded = read_json(text[start:].encode("utf-8", "replace"))
            if isinstance(decoded, dict):
                Walk(resolver, found).object(decoded)
        text = text[:start] or text
    columns(text, found, _TEXT - 10)
    read(text, found, resolver, _TEXT)
