"""Access logs in the common and combined formats, with a virtual host first or more behind."""

from __future__ import annotations

import re
from typing import Any

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
#: What most lines look like; everything else is read more slowly, with the same result.
_COMMON = re.compile(
    rf'(\S+) (\S+) (\S+) {_STAMP} "(([A-Z]{{1,32}}) (\S+) HTTP/(\d(?:\.\d)?))" '
    r'(\d{3}) (\d{1,19}) "([^"\\]*+)" "([^"\\]*+)"',
    re.ASCII,
)
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
    common = _COMMON.fullmatch(text)
    if common is not None:
        return _common(common)
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
    fields: dict[str, Any] = {
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


def _common(match: re.Match[str]) -> dict[str, Any]:
    """The fields of a line that has all of them."""
    client, ident, user, time, request, method, url, version, status, size, referrer, agent = (
        match.groups()
    )
    fields: dict[str, Any] = {}
    if client != "-":
        fields["client"] = client
    if ident != "-":
        fields["ident"] = ident
    if user != "-":
        fields["user"] = user
    fields["time"] = time
    fields["request"] = request
    fields["status"] = status
    fields["bytes"] = size
    if referrer not in _NOTHING:
        fields["referrer"] = referrer
    if agent not in _NOTHING:
        fields["agent"] = agent
    fields["method"] = method
    fields["url"] = url
    fields["version"] = version
    return fields


_NOTHING = frozenset({"", "-"})
