"""Access logs in the common and combined formats, with a virtual host first or more behind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ingest.mapping.emitting import Groups
from ingest.mapping.regexes import described

if TYPE_CHECKING:
    from collections.abc import Callable

#: Longest line that is looked at as an access log, characters (servers cap requests at 8 KiB).
MAX_LINE = 65_536

_QUOTED = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_STAMP = r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]"
_REST = rf" {_STAMP} {_QUOTED} (\d{{3}}|-) (\d{{1,19}}|-)(?: {_QUOTED} {_QUOTED})?(?: (.*))?"
_ACCESS = re.compile(r"(\S+) (\S+) (\S+)" + _REST, re.DOTALL | re.ASCII)
_VHOST = re.compile(
    r"([A-Za-z0-9._-]{1,253}(?::\d{1,5})?) (\S+) (\S+) (\S+)" + _REST, re.DOTALL | re.ASCII
)
#: A user name with blanks, which basic authentication allows.
_BLANKS = re.compile(r"(\S+) (\S+) (\S.*?)" + _REST, re.DOTALL | re.ASCII)
_REQUEST = re.compile(r"([A-Z][A-Z_-]{0,31}) (\S.*?)(?: HTTP/(\d(?:\.\d)?))?", re.DOTALL | re.ASCII)

_NAMES = (
    "client",
    "ident",
    "user",
    "time",
    "request",
    "status",
    "bytes",
    "referrer",
    "agent",
    "rest",
)


def frame(text: str) -> dict[str, Any] | None:
    """client, ident, user, time, request, method, url, version, status, bytes, referrer, agent,
    vhost, rest: those that the line has; None if it is no access log.
    """
    if len(text) > MAX_LINE or '"' not in text or "[" not in text:
        return None
    fields = common(text)
    if fields is not None:
        return fields
    vhost: str | None = None
    match = _ACCESS.fullmatch(text)
    if match is not None:
        groups = match.groups()
    elif (match := _VHOST.fullmatch(text)) is not None:
        vhost, *rest = match.groups()
        groups = tuple(rest)
    elif (match := _BLANKS.fullmatch(text)) is not None:
        groups = match.groups()
    else:
        return None
    fields = {
        name: value
        for name, value in zip(_NAMES, groups, strict=True)
        if value is not None and value != "-" and value != ""
    }
    if vhost is not None:
        fields["vhost"] = vhost
    request = _REQUEST.fullmatch(fields.get("request", ""))
    if request is not None:
        fields["method"], fields["url"] = request[1], request[2]
        if request[3]:
            fields["version"] = request[3]
    return fields


def common(text: str) -> dict[str, Any] | None:
    """The fields of a line that is as most are, which is decided by all of it; else None."""
    match = COMMON.regex.pattern.fullmatch(text) if len(text) <= MAX_LINE else None
    if match is None:
        return None
    given = zip(COMMON.names, match.groups(), strict=True)
    return {name: value for name, value in given if value not in _NOTHING}


def parts(text: str) -> tuple[str, ...] | None:
    """The values of the fields `COMMON.names` of a line that is as most are, "" and "-" too."""
    match = _full(text)
    return None if match is None else match.groups()


#: What most lines look like; everything else is read more slowly, with the same result.
COMMON = Groups(
    described(
        re.compile(
            rf'(\S+) (\S+) (\S+) {_STAMP} "(([A-Z]{{1,32}}) (\S+) HTTP/(\d(?:\.\d)?))" '
            r'(\d{3}) (\d{1,19}) "([^"\\]*+)" "([^"\\]*+)"',
            re.ASCII,
        ),
        MAX_LINE,
    ),
    (
        *("client", "ident", "user", "time", "request", "method", "url", "version"),
        *("status", "bytes", "referrer", "agent"),
    ),
    marks=6,
)
_full = COMMON.regex.pattern.fullmatch

#: What is "-" in most lines, or empty in quotes.
_OPTIONAL = ("client", "ident", "user", "referrer", "agent")


def missing(groups: tuple[str, ...]) -> frozenset[str]:
    """Which of the values of `parts` say that there is none."""
    given = zip(COMMON.names, groups, strict=True)
    return frozenset(name for name, value in given if value in _NOTHING)


def expression(without: frozenset[str]) -> tuple[Groups, Callable[[str], re.Match[str] | None]]:
    """The groups of lines that have all fields but some of the optional ones, and what fits those.

    What fits takes half the time of the expression that the groups are known by. It also fits
    lines with backslashes, control characters or more quotation marks in their fields, which
    show in the length of their JSON.
    """

    def word(name: str, value: str) -> str:
        return "-" if name in without else f"(?!- )({value})"

    def quoted(name: str, value: str) -> str:
        return '"-?"' if name in without else f'"(?!-?")({value})"'

    names = tuple(name for name in COMMON.names if name not in without)

    def written(some: str, rest: str, stamp: str) -> str:
        words = " ".join(word(name, some) for name in _OPTIONAL[:3])
        ends = " ".join(quoted(name, rest) for name in _OPTIONAL[3:])
        return (
            rf'{words} {stamp} "(([A-Z]{{1,32}}+) ({some}) HTTP/(\d(?:\.\d)?+))" '
            rf"(\d{{3}}) (\d{{1,19}}+) {ends}"
        )

    strict = re.compile(written(r"\S+", r'[^"\\]*+', _STAMP), re.ASCII)
    # The engine goes over what is not one character several times as fast as over a class.
    quick = re.compile(written(r"[^ ]++", r'[^"]*+', _STAMP), re.ASCII)
    return Groups(described(strict, MAX_LINE), names, COMMON.marks), quick.fullmatch


_NOTHING = frozenset({"", "-"})
