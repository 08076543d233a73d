"""The mapping of every log that no other mapping knows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ingest.document import address
from ingest.generic.fields import Candidates, assign
from ingest.generic.moments import event_time
from ingest.generic.resolve import Resolver
from ingest.generic.text import columns, read
from ingest.generic.walk import leaves
from ingest.mapping import convert
from ingest.mapping.companions import complete
from ingest.mapping.line import Header, Line, nested
from ingest.times import rfc3339

if TYPE_CHECKING:
    from tocsin.contracts import Document

_RESOLVERS: dict[str, Resolver] = {}

#: Longest text that is looked at as an address, characters.
_MAX_ADDRESS = 45


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
        for path, value in leaves(fields):
            _offer(found, resolver, path, value)
    if frame == "text":
        _sentence(text, found, resolver)
    elif isinstance(message := found.best("message"), str) and len(message) > _SHORT:
        read(message, found, resolver, _MESSAGE)
    instant = event_time(found, received, zone)
    if instant is None and header is not None:
        instant = header.time
    out = assign(found)
    if header is not None:
        _from_header(out, header, frame)
    out["@timestamp"] = instant[1] if instant is not None else rfc3339(received)
    out.setdefault("event.kind", "event")
    out["event.dataset"] = frame
    if frame == "text":
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


def _offer(found: Candidates, resolver: Resolver, path: str, value: Any) -> None:
    """Offer a leaf for every target that its path has."""
    plan = resolver(path)
    for target, score in plan.targets:
        found.offer(target, score, value)
    if not isinstance(value, str):
        return
    if value[:4] in _RESOURCES and _RESOURCE.match(value) is not None:
        found.offer("~resource", 1, value)
    if plan.addresses and 2 < len(value) <= _MAX_ADDRESS and ("." in value or ":" in value):
        for part in value.split(",") if "," in value else (value,):
            if (ip := address(part.strip())) is not None:
                found.addresses[ip] = None


#: Names of resources of Amazon's, Microsoft's and Google's clouds, and their first characters.
_RESOURCE = re.compile(
    r"arn:aws[\w-]{0,16}:|/subscriptions/[0-9a-f-]{36}|//[\w.-]{1,64}\.googleapis\.com/",
    re.ASCII | re.IGNORECASE,
)
_RESOURCES = frozenset({"arn:", "/sub", "/SUB", "/Sub"})

#: How far into a line JSON may begin, characters.
_LEAD = 256

#: The most that a line of text is worth: a field with a name is worth more.
_TEXT = 60

#: The most that the message of a log with fields is worth, and the shortest that is read.
_MESSAGE = 35
_SHORT = 16


def _sentence(text: str, found: Candidates, resolver: Resolver) -> None:
    """Offer what a line of text says, and the JSON in it, if any."""
    start = text.find("{")
    if 0 <= start < _LEAD and text.rstrip()[-1:] == "}":
        for path, value in leaves({"json": text[start:].rstrip()}):
            if path != "json":
                _offer(found, resolver, path.removeprefix("json."), value)
        text = text[:start] or text
    read(text, found, resolver, _TEXT)
    if not found.has("source.ip"):
        columns(text, found, _TEXT - 10)
