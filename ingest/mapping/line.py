"""A framed line: what a mapping sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ingest.document import put

if TYPE_CHECKING:
    from tocsin.contracts import Document


@dataclass(slots=True)
class Header:
    """What the transport says of a line (syslog, or a shipper's envelope)."""

    #: (milliseconds, RFC 3339), None where the header has no time.
    time: tuple[int, str] | None = None
    host: str | None = None
    program: str | None = None
    pid: str | None = None
    priority: int | None = None
    msgid: str | None = None
    sd: dict[str, dict[str, str]] | None = None
    version: str | None = None
    #: Tocsin's own remarks (`repeated`), for `tocsin.*`.
    own: dict[str, Any] | None = None
    #: The header has a time, but there is no such day.
    unreadable: bool = False


@dataclass(slots=True)
class Line:
    """A line after framing: its format, fields, payload, and where it came from."""

    format: str
    fields: dict[str, Any]
    text: str
    header: Header | None
    source: str
    received: int
    zone: str

    def header_value(self, name: str) -> Any:
        """The value of `$name`, None where there is none."""
        if name == "text":
            return self.text
        if name == "source":
            return self.source
        if name == "received":
            return self.received
        header = self.header
        if header is None:
            return None
        if name == "time":
            return header.time[1] if header.time is not None else None
        if name in ("severity", "facility"):
            from ingest.formats.syslog import FACILITIES, SEVERITIES

            if header.priority is None:
                return None
            facility, severity = divmod(header.priority, 8)
            return SEVERITIES[severity] if name == "severity" else FACILITIES[facility]
        return getattr(header, name)


#: The root of every Windows event, whichever mapping knows it.
WINLOG = "winlog"


def nested(out: dict[str, Any], root: str | None, line: Line) -> Document:
    """A flat document as objects; the line's own fields stand below `root`, None keeps none."""
    document: Document = {}
    if root is not None:
        if line.format == "windows":
            put(document, WINLOG, winlog(line.fields))
        elif line.format != "text" and line.fields:
            put(document, root, line.fields)
    for path, value in out.items():
        put(document, path, value)
    return document


def winlog(fields: dict[str, Any]) -> dict[str, Any]:
    """The canonical Windows event in the names that winlogbeat uses."""
    made: dict[str, Any] = {}
    for name, path in _WINLOG.items():
        value = fields.get(name)
        if value is not None and value != "" and value != {}:
            put(made, path, value)
    return made


_WINLOG = {
    "channel": "channel",
    "provider": "provider_name",
    "event_id": "event_id",
    "computer": "computer_name",
    "record_id": "record_id",
    "level": "level",
    "opcode": "opcode",
    "task": "task",
    "keywords": "keywords",
    "version": "version",
    "process_id": "process.pid",
    "thread_id": "process.thread.id",
    "provider_guid": "provider_guid",
    "activity_id": "activity_id",
    "user_sid": "user.identifier",
    "user_name": "user.name",
    "user_domain": "user.domain",
    "user_type": "user.type",
    "data": "event_data",
    "user_data": "user_data",
}
