"""Events of lines that no mapping knows, and what every event has that no mapping has made."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ingest import generic
from ingest.document import relate
from ingest.framing import json_within, marked, unmarked
from ingest.mapping.line import (
    NO_HEADER,
    Header,
    add_syslog,
    process_id,
    program_name,
    syslog_of,
)
from ingest.mapping.plain import TIME_UNREADABLE
from ingest.times import iso8601
from tocsin.contracts import ECS_VERSION
from tocsin.route import route_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.mapping.origin import Origin
    from ingest.mapping.runner import Made
    from tocsin.contracts import Document
    from tocsin.errors import BadInput

    #: Where a line comes from: origin, offset, its identity at the source or "", original text.
    Where = tuple[Origin, int, str, str]

#: Version of framing and of the generic mapping, in `tocsin.parser.version` of their events.
PARSER_VERSION = "2"

_SANE_ID = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)


def of_text(text: str, header: Header, line: Where) -> Made:
    """The event of a text, or of the frame in it that names its fields."""
    if text:
        inner = json_within(text)
        if inner is not None:
            return of_fields("json", inner[0], text, header, line)
        for format, fields in _framed(text):
            return of_fields(format, fields, text, header, line)
    return of_fields("text", {"message": text}, text, header, line)


def of_fields(
    format: str,
    fields: dict[str, Any],
    text: str,
    header: Header,
    line: Where,
    error: BadInput | None = None,
) -> Made:
    """The event of fields by what they are called and what they hold; `error` says why so."""
    known = None if header is NO_HEADER else header
    document = generic.map_fields(format, fields, text, known, line[0].received, line[0].zone)
    at, document["@timestamp"] = iso8601(document["@timestamp"])
    if header.unreadable:
        tags = document.setdefault("tags", [])
        if TIME_UNREADABLE not in tags:
            tags.append(TIME_UNREADABLE)
    if error is not None:
        document["error"] = {"code": error.reason_code, "message": str(error)}
    _add_header(document, header, format)
    return finished(document, at, f"generic.{format}", header, line)


def finished(document: Document, at: int, parser: str, header: Header, line: Where) -> Made:
    """Add what every event has."""
    event: dict[str, Any] = document["event"]
    origin, offset, id, original = line
    provided = event.get("id") if parser == "ecs" else None
    if not isinstance(provided, str) or _SANE_ID.fullmatch(provided) is None:
        provided = None
    event["id"] = provided or id or origin.place(offset)
    event["created"] = origin.created
    if parser != "ecs" or "original" not in event:
        event["original"] = original
    document["ecs"] = {"version": ECS_VERSION}
    relate(document)
    document["tocsin"] = {
        "origin": f"{origin.prefix}{offset}",
        **origin.whence,
        "parser": {"name": parser, "version": PARSER_VERSION},
        **(header.own or {}),
        **document.get("tocsin", {}),
    }
    host = document.get("host")
    return document, at, route_of(document), host.get("name") if host else None


def _framed(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The frames that are worth mapping generically: those that name their fields."""
    for format, fields in marked(text):
        if format != "access":
            yield format, fields
    for format, fields in unmarked(text, ()):
        if format == "kv":
            yield format, fields


def _add_header(document: Document, header: Header, format: str) -> None:
    """Add what the header says and a generic document leaves open."""
    if header is NO_HEADER:
        return
    host = document.setdefault("host", {}) if header.host is not None else {}
    if header.host is not None and "name" not in host and "hostname" not in host:
        host["name"] = host["hostname"] = header.host
    process: dict[str, Any] = document.get("process", {})
    if format == "text" and header.program is not None:
        process = document.setdefault("process", process)
        if "executable" not in process:
            process.setdefault("name", program_name(header.program))
        pid = process_id(header.pid) if header.pid is not None else None
        if pid is not None:
            process.setdefault("pid", pid)
    told = syslog_of(header, host.get("name"), process.get("name"), process.get("pid"))
    if told is not None:
        add_syslog(document, told)
