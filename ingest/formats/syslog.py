"""Syslog headers: RFC 5424, RFC 3164 as it is really written, and what is left of either.

Understood: an optional `<PRI>`; the times `May  1 10:00:00`, `May 1 2024 10:00:00` and RFC 3339
(rsyslog's file format); a missing host; `program[pid]:` and `program:`; `message repeated n
times: […]`, which is read as the message it repeats (`tocsin.repeated` says how often).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.mapping.line import NO_HOST, PRIORITY_MAX, Header, common_header
from ingest.times import TOLERANCE, iso8601, known_rfc3164, rfc3164

if TYPE_CHECKING:
    from ingest.times import Instant

#: What most lines look like; everything else is read more slowly, with the same result.
_COMMON = re.compile(
    r"([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) "
    rf"([^\s{NO_HOST}]\S{{0,254}}) ((?!%%)[^\s:\[\]]{{1,255}})"
    r"(?:\[([^\]\s]{1,64})\])?: (?!message repeated )",
    re.ASCII,
)
#: What stands before CEF and LEEF.
_MARKED = re.compile(
    r"(?:<(\d{1,3})>)?([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) "
    rf"([^\s{NO_HOST}]\S{{0,254}}) "
    r"(?=(?:CEF|LEEF):\d)",
    re.ASCII,
)
_PRI = re.compile(r"<(\d{1,3})>", re.ASCII)
_RFC5424 = re.compile(
    r"1 (\S{1,64}) (\S{1,255}) (\S{1,255}) (\S{1,128}) (\S{1,64}) "
    r'(-|(?:\[(?:[^"\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+\])++)(?: (.*))?',
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
    rf"(?:(?P<host>[^\s{NO_HOST}]\S{{0,254}}) )?"
    r"(?P<program>(?!%%)[^\s:\[\]]{1,255})"  # %% begins a mnemonic of Huawei's
    r"(?:\[(?P<pid>[^\]\s]{1,64})\])?:(?: (?P<message>.*)|$)",
    re.DOTALL | re.ASCII,
)
_BARE_TAG = re.compile(r"([A-Za-z][\w./-]{0,63})(?:\[(\d{1,10})\])?: (?=\S)", re.ASCII)
_HOST = re.compile(rf"([^\s{NO_HOST}]\S{{0,254}}) (.*)", re.DOTALL | re.ASCII)
_REPEATED = re.compile(r"message repeated (\d{1,9}) times: \[ ?(.*)\]", re.DOTALL | re.ASCII)
_SD_ELEMENT = re.compile(
    r'\[([^ =\]"]{1,255})((?: [^ =\]"]{1,255}="[^"\\]*+(?:\\.[^"\\]*+)*+")*+) ?\]', re.DOTALL
)
_SD_PARAM = re.compile(r' ([^ =\]"]{1,255})="([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_SD_ESCAPE = re.compile(r'\\(["\\\]])')


_new = tuple.__new__


def may_begin(text: str) -> bool:
    """False for a text that cannot begin with a syslog header."""
    return text[0] == "<" or "A" <= text[0] <= "Z" or text[4:5] == "-"


#: A match of the common form of a header: time, host, program, process id; behind it the message.
common = _COMMON.match


def header(text: str, received: int, zone: str) -> tuple[Header, str] | None:
    """The header of a syslog line and its message; None if it is no syslog.

    A date that does not exist leaves `time` None and sets `unreadable`.
    """
    match = _COMMON.match(text)
    if match is not None:
        stamp, host, program, pid = match.groups()
        try:
            at = rfc3164(stamp, received, zone)
        except ValueError:
            return _rest(text, received, zone)
        return common_header(at, host, program, pid), text[match.end() :]
    return before_mark(text, received, zone) or _rest(text, received, zone)


def before_mark(text: str, received: int, zone: str) -> tuple[Header, str] | None:
    """The header of a line in CEF or LEEF as most have it, and what follows it."""
    match = _MARKED.match(text)
    if match is None:
        return None
    pri, stamp, host = match.groups()
    priority = None if pri is None else int(pri)
    at = known_rfc3164(stamp, received + TOLERANCE, zone) or _instant(stamp, received, zone)
    if at is None or (priority is not None and priority > PRIORITY_MAX):
        return None
    made = _new(Header, (at, host, None, None, priority, None, None, None, None, False))
    return made, text[match.end() :]


def _rest(text: str, received: int, zone: str) -> tuple[Header, str] | None:
    pri: int | None = None
    if text[0] == "<":
        match = _PRI.match(text)
        if match is None:
            return None
        pri = int(match[1])
        if pri > PRIORITY_MAX:
            return None
        text = text[match.end() :]
        if text.startswith("1 ") and (match := _RFC5424.fullmatch(text)) is not None:
            return _rfc5424(match, pri, received, zone)
    match = _RFC3164.fullmatch(text)
    if match is None:
        return None if pri is None else _bare(text, pri)
    stamp, rest = match.groups()
    at = _instant(stamp, received, zone)
    match = _TAGGED.fullmatch(rest)
    if match is not None:
        host, program, pid, message = match.groups()
        message, own = _unrepeated(message or "")
        return Header(at, host, program, pid, pri, own=own, unreadable=at is None), message
    host, message = None, rest
    if (match := _HOST.fullmatch(rest)) is not None:
        host, message = match.groups()
    return Header(at, host, priority=pri, unreadable=at is None), message


def _instant(stamp: str, received: int, zone: str) -> Instant | None:
    try:
        return iso8601(stamp, zone) if stamp[0].isdigit() else rfc3164(stamp, received, zone)
    except ValueError:
        return None


def _unrepeated(message: str) -> tuple[str, dict[str, int] | None]:
    """The message that `message repeated n times: […]` repeats, and how often."""
    if message.startswith("message repeated "):
        match = _REPEATED.fullmatch(message)
        if match is not None:
            return match[2], {"repeated": int(match[1])}
    return message, None


def _bare(text: str, pri: int) -> tuple[Header, str]:
    """`<PRI>` and then something without a time: when it arrived is when it happened."""
    match = _TAGGED.fullmatch(text)
    if match is None or match["host"] is not None:
        return Header(priority=pri), text
    message, own = _unrepeated(match["message"] or "")
    head = Header(None, None, match["program"], match["pid"], pri, own=own)
    return head, message


def _rfc5424(match: re.Match[str], pri: int, received: int, zone: str) -> tuple[Header, str]:
    stamp, host, program, pid, msgid, structured, message = match.groups()
    at = None if stamp == "-" else _instant(stamp, received, zone)
    message, own = _unrepeated((message or "").removeprefix("\ufeff"))
    elements = None if structured == "-" else _structured(structured) or None
    head = Header(
        at,
        _present(host),
        _present(program),
        _present(pid),
        pri,
        _present(msgid),
        elements,
        "1",
        own,
        at is None and stamp != "-",
    )
    return head, message


def tagged(text: str) -> tuple[Header, str] | None:
    """A message that kept its tag, `sshd[7]: …`, and lost the rest of its header."""
    match = _BARE_TAG.match(text)
    if match is None:
        return None
    message, own = _unrepeated(text[match.end() :])
    return Header(None, None, match[1], match[2], own=own), message


def _present(value: str) -> str | None:
    return None if value == "-" else value


def _structured(text: str) -> dict[str, dict[str, str]]:
    return {
        element[1]: {
            param[1]: _SD_ESCAPE.sub(r"\1", param[2]) for param in _SD_PARAM.finditer(element[2])
        }
        for element in _SD_ELEMENT.finditer(text)
    }
