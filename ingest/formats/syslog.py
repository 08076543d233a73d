"""The header of syslog lines: RFC 5424, and RFC 3164 as it is really written.

Understood: an optional `<PRI>`; the times `May  1 10:00:00`, `May 1 2024 10:00:00` and RFC 3339
(rsyslog's file format); a missing host; `program[pid]:` and `program:`; `message repeated n
times: […]`, which is read as the message it repeats (`tocsin.repeated` says how often).
What the programs say is the mappings' business.
"""

from __future__ import annotations

import re
from typing import Any

from ingest.mapping.line import Header
from ingest.times import iso8601, rfc3164

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "clock"),
    *("authpriv", "ftp", "ntp", "audit", "alert", "cron"),
    *(f"local{number}" for number in range(8)),
)
SEVERITIES = (
    *("emergency", "alert", "critical", "error"),
    *("warning", "notice", "informational", "debug"),
)

#: PRI is facility * 8 + severity (RFC 5424, 6.2.1).
_PRI_MAX = 191

_PRI = re.compile(r"<(\d{1,3})>", re.ASCII)
_RFC5424 = re.compile(
    r"1 (\S{1,64}) (\S{1,255}) (\S{1,255}) (\S{1,128}) (\S{1,64}) "
    r'(-|(?:\[(?:[^"\]]|"(?:[^"\\]|\\.)*+")*+\])++)(?: (.*))?',
    re.DOTALL | re.ASCII,
)
_RFC3164 = re.compile(
    r"([A-Z][a-z]{2} [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d{1,9})?|"
    r"[A-Z][a-z]{2} \d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d{1,9})?|"
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)"
    r":? (.*)",
    re.DOTALL | re.ASCII,
)
_TAGGED = re.compile(
    r"(?:(?P<host>[^\s:\[\]]\S*) )?(?P<program>[^\s:\[\]]{1,255})"
    r"(?:\[(?P<pid>[^\]\s]{1,64})\])?:(?: (?P<message>.*)|$)",
    re.DOTALL | re.ASCII,
)
_BARE_TAG = re.compile(r"([A-Za-z][\w./-]{0,63})(?:\[(\d{1,10})\])?: (?=\S)", re.ASCII)
_HOST = re.compile(r"([^\s:\[\]]\S*) (.*)", re.DOTALL | re.ASCII)
_REPEATED = re.compile(r"message repeated (\d{1,9}) times: \[ ?(.*)\]", re.DOTALL | re.ASCII)
_SD_ELEMENT = re.compile(
    r'\[([^ =\]"]{1,255})((?: [^ =\]"]{1,255}="(?:[^"\\]|\\.)*+")*+) ?\]', re.DOTALL
)
_SD_PARAM = re.compile(r' ([^ =\]"]{1,255})="((?:[^"\\]|\\.)*+)"', re.DOTALL)
_SD_ESCAPE = re.compile(r'\\(["\\\]])')


def header(text: str, received: int, zone: str) -> tuple[Header, str] | None:
    """The header of a syslog line and its message; None if it is no syslog.

    A date that does not exist leaves `time` None and sets `unreadable`.
    """
    pri: int | None = None
    if text[0] == "<":
        match = _PRI.match(text)
        if match is None:
            return None
        pri = int(match[1])
        if pri > _PRI_MAX:
            return None
        text = text[match.end() :]
        if text.startswith("1 ") and (match := _RFC5424.fullmatch(text)) is not None:
            return _rfc5424(match, pri, received, zone)
    match = _RFC3164.fullmatch(text)
    if match is None:
        return None if pri is None else _bare(text, pri, received)
    stamp, rest = match.groups()
    head = Header(priority=pri)
    _stamp(head, stamp, received, zone)
    match = _TAGGED.fullmatch(rest)
    if match is not None:
        head.host, head.program, head.pid, message = match.groups()
        return head, _unrepeated(head, message or "")
    match = _HOST.fullmatch(rest)
    if match is None:
        return head, rest
    head.host = match[1]
    return head, match[2]


def _stamp(head: Header, stamp: str, received: int, zone: str) -> None:
    try:
        if stamp[0].isdigit():
            head.time = iso8601(stamp, zone)
        else:
            head.time = rfc3164(stamp, received, zone)
    except ValueError:
        head.unreadable = True


def _unrepeated(head: Header, message: str) -> str:
    """The message that `message repeated n times: […]` repeats."""
    if message.startswith("message repeated "):
        match = _REPEATED.fullmatch(message)
        if match is not None:
            head.own = {"repeated": int(match[1])}
            return match[2]
    return message


def _bare(text: str, pri: int, received: int) -> tuple[Header, str]:
    """`<PRI>` and then something without a time: when it arrived is when it happened."""
    head = Header(priority=pri)
    match = _TAGGED.fullmatch(text)
    if match is None or match["host"] is not None:
        return head, text
    head.program, head.pid = match["program"], match["pid"]
    return head, _unrepeated(head, match["message"] or "")


def _rfc5424(match: re.Match[str], pri: int, received: int, zone: str) -> tuple[Header, str]:
    stamp, host, program, procid, msgid, structured, message = match.groups()
    head = Header(
        host=_present(host),
        program=_present(program),
        pid=_present(procid),
        priority=pri,
        msgid=_present(msgid),
        version="1",
    )
    if stamp != "-":
        _stamp(head, stamp, received, zone)
    if structured != "-" and (elements := _structured(structured)):
        head.sd = elements
    return head, _unrepeated(head, (message or "").removeprefix("\ufeff"))


def described(head: Header) -> dict[str, Any]:
    """`log.syslog` of a header, without host and program."""
    described = _priority(head.priority)
    if head.version is not None:
        described["version"] = head.version
    if head.msgid is not None:
        described["msgid"] = head.msgid
    if head.sd is not None:
        described["structured_data"] = head.sd
    return described


def whole_header(head: Header) -> dict[str, Any]:
    """`log.syslog` of a header, with host and program."""
    made = described(head)
    if head.host is not None:
        made["hostname"] = head.host
    if head.program is not None:
        made["appname"] = head.program
        if head.pid is not None:
            made["procid"] = head.pid
    return made


def tagged(text: str) -> tuple[Header, str] | None:
    """A message that kept its tag, `sshd[7]: …`, and lost the rest of its header."""
    match = _BARE_TAG.match(text)
    if match is None:
        return None
    head = Header(program=match[1], pid=match[2])
    return head, _unrepeated(head, text[match.end() :])


def _present(value: str) -> str | None:
    return None if value == "-" else value


def _structured(text: str) -> dict[str, dict[str, str]]:
    return {
        element[1]: {
            param[1]: _SD_ESCAPE.sub(r"\1", param[2]) for param in _SD_PARAM.finditer(element[2])
        }
        for element in _SD_ELEMENT.finditer(text)
    }


def _priority(pri: int | None) -> dict[str, Any]:
    if pri is None:
        return {}
    facility, severity = divmod(pri, 8)
    return {
        "priority": pri,
        "facility": {"code": facility, "name": FACILITIES[facility]},
        "severity": {"code": severity, "name": SEVERITIES[severity]},
    }
