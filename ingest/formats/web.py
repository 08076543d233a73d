"""Access logs of nginx and Apache (common, combined, with a virtual host first), Apache's errors.

The two servers' access logs cannot be told apart by content: the data set follows the name of
the source (`nginx.access`, `apache.access`, else `web.access`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ingest.document import address, endpoint, looks_like_host, whole
from ingest.phrases import pid
from ingest.times import common_log, ctime
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from tocsin.contracts import Document

_QUOTED = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_REST = (
    r" \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    rf"{_QUOTED} (\d{{3}}|-) (\d{{1,19}}|-)(?: {_QUOTED} {_QUOTED})?(?: .*)?"
)
_ACCESS = re.compile(r"(\S+) \S+ (\S+)" + _REST, re.DOTALL | re.ASCII)
_ACCESS_VHOST = re.compile(r"(\S+) (\S+) \S+ (\S+)" + _REST, re.DOTALL | re.ASCII)
#: A user name with blanks, which basic authentication allows.
_ACCESS_BLANKS = re.compile(r"(\S+) \S+ (\S.*?)" + _REST, re.DOTALL | re.ASCII)
_VHOST = re.compile(r"([A-Za-z0-9._-]{1,253})(?::\d{1,5})?", re.ASCII)
_REQUEST = re.compile(r"([A-Z][A-Z_-]{0,31}) (\S.*?)(?: HTTP/(\d(?:\.\d)?))?", re.DOTALL | re.ASCII)
_ABSOLUTE = re.compile(
    r"[a-z][a-z0-9+.-]{0,15}://([^/?#]*)(.*)", re.DOTALL | re.IGNORECASE | re.ASCII
)

_ERROR = re.compile(
    r"\[([A-Z][a-z]{2} [A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d(?:\.\d{1,9})? \d{4})\] "
    r"\[(?:(\w*):)?(\w+)\] (?:\[pid (\d+)(?::tid (\d+))?\] )?"
    r"(?:\[client (\[[^\]]+\][^\]]*|[^\]]+)\] )?(.*)",
    re.DOTALL | re.ASCII,
)
_CLIENT = re.compile(r"\[?([^\[\]]+?)\]?(?::(\d{1,5}))?", re.ASCII)

#: Longest line that is looked at as an access log, characters (servers cap requests at 8 KiB).
MAX_LINE = 65_536

#: Apache's levels that are failures.
_FAILING = frozenset({"emerg", "alert", "crit", "error"})


def parse_access(text: str, source: str) -> tuple[Document, int, str] | None:
    """The event of an access log line, its time, its parser; None if it is none.

    Raises BadInput `time_unreadable` for a line whose date does not exist.
    """
    if len(text) > MAX_LINE:
        return None
    vhost: str | None = None
    match = _ACCESS.fullmatch(text)
    if match is None:
        match = _ACCESS_VHOST.fullmatch(text)
        if match is not None and (named := _VHOST.fullmatch(match[1])) and not address(match[1]):
            vhost = named[1] if named[1] != "-" else None
        elif (match := _ACCESS_BLANKS.fullmatch(text)) is None:
            return None
    client, user, stamp, request, status, size, referrer, agent = match.groups()[-8:]
    try:
        at, written = common_log(stamp)
    except ValueError as error:
        raise BadInput("time_unreadable", f"access log line: {error}") from None
    event: dict[str, Any] = {
        "kind": "event",
        "dataset": _dataset(source),
        "category": ["web"],
        "type": ["access"],
    }
    http: dict[str, Any] = {}
    document: Document = {
        "@timestamp": written,
        "event": event,
        "source": endpoint(client),
        "http": http,
    }
    if user.strip("- "):
        document["user"] = {"name": user}
    if agent and agent != "-":
        document["user_agent"] = {"original": agent}
    _request(document, http, request, vhost)
    if referrer and referrer != "-":
        http.setdefault("request", {})["referrer"] = referrer
    _response(event, http, status, size)
    return document, at, "web.access"


@lru_cache(1_024)
def _dataset(source: str) -> str:
    name = source.lower()
    for server in ("nginx", "apache", "httpd"):
        if server in name:
            return "nginx.access" if server == "nginx" else "apache.access"
    return "web.access"


def _request(document: Document, http: dict[str, Any], request: str, vhost: str | None) -> None:
    url: dict[str, Any] = {}
    match = _REQUEST.fullmatch(request)
    if match is not None:
        method, target, version = match.groups()
        http["request"] = {"method": method}
        if version:
            http["version"] = version
        url = locate(target)
        document["event"]["action"] = method.lower()
    elif request and request != "-":
        url = {"original": request}
    if vhost is not None:
        url["domain"] = vhost
    if url:
        document["url"] = url


def _response(event: dict[str, Any], http: dict[str, Any], status: str, size: str) -> None:
    if status != "-":
        code = int(status)
        http["response"] = {"status_code": code}
        event["outcome"] = "failure" if code >= 400 else "success"
    if (octets := whole(size)) is not None:
        http.setdefault("response", {})["body"] = {"bytes": octets}


def locate(target: str) -> dict[str, Any]:
    """ECS `url` of a request target: origin form, absolute form, or anything a scanner sends."""
    url: dict[str, Any] = {"original": target}
    rest = target
    if "://" in target[:20] and (match := _ABSOLUTE.fullmatch(target)) is not None:
        domain = match[1].rpartition("@")[2].partition(":")[0]
        if looks_like_host(domain):
            url["domain"] = domain
        rest = match[2] or "/"
    path, _, query = rest.partition("?")
    url["path"] = path
    if query:
        url["query"] = query
    name, dot, extension = path.rpartition("/")[2].rpartition(".")
    if dot and name and extension.isalnum() and len(extension) <= 16:
        url["extension"] = extension
    return url


def parse_error(text: str, zone: str) -> tuple[Document, int, str] | None:
    """The event of an Apache error log line (2.2 and 2.4); None if it is none.

    Raises BadInput `time_unreadable` for a line whose date does not exist.
    """
    match = _ERROR.fullmatch(text)
    if match is None:
        return None
    stamp, module, level, process, thread, client, message = match.groups()
    try:
        at, written = ctime(stamp, zone)
    except ValueError as error:
        raise BadInput("time_unreadable", f"Apache error line: {error}") from None
    event: dict[str, Any] = {
        "kind": "event",
        "dataset": "apache.error",
        "category": ["web"],
        "type": ["error" if level in _FAILING else "info"],
    }
    document: Document = {
        "@timestamp": written,
        "message": message,
        "event": event,
        "log": {"level": level},
    }
    if module:
        document["apache"] = {"error": {"module": module}}
    if process and (number := pid(process)) is not None:
        document["process"] = {"pid": number}
        if thread and (tid := whole(thread)) is not None:
            document["process"]["thread"] = {"id": tid}
    if client:
        document["source"] = _client(client)
    return document, at, "apache.error"


def _client(text: str) -> dict[str, Any]:
    """`192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`."""
    if text.count(":") > 1 and not text.startswith("["):
        return endpoint(text)
    match = _CLIENT.fullmatch(text)
    return endpoint(text) if match is None else endpoint(match[1], match[2])
