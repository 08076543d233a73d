"""A framed line: what a mapping sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ingest.document import put
from ingest.mapping.convert import whole

if TYPE_CHECKING:
    from ingest.times import Instant
    from tocsin.contracts import Document

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "clock"),
    *("authpriv", "ftp", "ntp", "audit", "alert", "cron"),
    *(f"local{number}" for number in range(8)),
)
SEVERITIES = (
    *("emergency", "alert", "critical", "error"),
    *("warning", "notice", "informational", "debug"),
)

#: Characters that no host's name begins with, in a class of an expression: behind a time there may
#: be columns, brackets or a message as well.
NO_HOST = r":\[\]|(){}<>=,;"

#: PRI is facility * 8 + severity (RFC 5424, 6.2.1).
PRIORITY_MAX = 191

#: The largest process id.
PID_MAX = 2**31 - 1


class Header(NamedTuple):
    """What the transport says of a line (syslog, or a shipper's envelope).

    A named tuple because one is made for almost every line.
    """

    #: (milliseconds, RFC 3339), None where the header has no time.
    time: Instant | None = None
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

    @property
    def severity(self) -> str | None:
        """The name of the priority's severity."""
        return None if self.priority is None else SEVERITIES[self.priority % 8]

    @property
    def facility(self) -> str | None:
        """The name of the priority's facility."""
        return None if self.priority is None else FACILITIES[self.priority // 8]


#: The header of a line that has none.
NO_HEADER = Header()

_new = tuple.__new__


def common_header(at: Instant, host: str, program: str, pid: str | None) -> Header:
    """A header of syslog's common form; half the price of calling the class."""
    return _new(Header, (at, host, program, pid, None, None, None, None, None, False))


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
        header = self.header or NO_HEADER
        if name == "time":
            return header.time[1] if header.time is not None else None
        return getattr(header, name)


def program_name(program: str) -> str:
    """The name of a program by its syslog tag, which may be a path."""
    return program.rpartition("/")[2] or program


def process_id(text: str) -> int | None:
    """The process id in a syslog tag, None where it is none."""
    pid = whole(text)
    return pid if pid is not None and 0 <= pid <= PID_MAX else None


def syslog_of(header: Header, host: object, name: object, pid: object) -> dict[str, Any] | None:
    """What `log.syslog` says besides the document's host and process; None for nothing."""
    made: dict[str, Any] = {}
    if header.priority is not None:
        made["priority"] = header.priority
        made["facility"] = {"code": header.priority // 8, "name": header.facility}
        made["severity"] = {"code": header.priority % 8, "name": header.severity}
    if header.version is not None:
        made["version"] = header.version
    if header.msgid is not None:
        made["msgid"] = header.msgid
    if header.sd is not None:
        made["structured_data"] = header.sd
    if header.host is not None and header.host != host:
        made["hostname"] = header.host
    if header.program is not None and header.program != name:
        made["appname"] = header.program
    if header.pid is not None and pid is None:
        made["procid"] = header.pid
    return made or None


def add_syslog(document: Document, syslog: dict[str, Any]) -> None:
    """Add `log.syslog` to a document; what it already says there stays."""
    log = document.setdefault("log", {})
    log["syslog"] = syslog | log.get("syslog", {})


#: The root of every Windows event, whichever mapping knows it.
WINLOG = "winlog"


def nested(out: dict[str, Any], root: str | None, line: Line) -> Document:
    """A flat document as objects; the line's own fields stand below `root`, None keeps none."""
    document: Document = {}
    if root is not None:
        if line.format == "windows":
            put(document, WINLOG, winlog(line.fields))
        elif line.format != "text":
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
            if "." in path:
                put(made, path, value)
            else:
                made[path] = value
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
