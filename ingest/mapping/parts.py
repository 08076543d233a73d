"""Compound targets: one value of a log that fills several fields, as an address with a port does.

Each function takes a present value and gives the values of its outputs in order, None for those
it does not hold; None altogether where the value is nothing of the kind.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ingest.document import MAX_HOST, address, looks_like_host
from ingest.mapping import convert

if TYPE_CHECKING:
    from collections.abc import Callable

    Parts = tuple[Any, ...]
    Spread = Callable[[Any], Parts | None]

#: Longest text that is taken apart as a URL or a user, characters.
MAX_URL = 65_536
MAX_USER = 1_024

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,15})://", re.ASCII)
_HOST_PORT = re.compile(r"([^\s:/\[\]]{1,255})[:/](\d{1,5})", re.ASCII)
_V6_PORT = re.compile(r"\[([0-9A-Fa-f:.%\w]{2,64})\](?:[:/](\d{1,5}))?", re.ASCII)
_V6_HASH = re.compile(r"([0-9A-Fa-f:.]{2,45})[#/](\d{1,5})", re.ASCII)

ENDPOINT = ("address", "ip", "domain", "port")


def endpoint(value: Any) -> Parts | None:
    """`192.0.2.1`, `host`, `ip:port`, `[v6]:port`, `ip/port` → address, ip, domain, port."""
    if isinstance(value, list):
        return next((found for item in value if (found := endpoint(item))), None)
    if not isinstance(value, str) or len(value) > MAX_HOST + 8:
        return None
    return _endpoint(value)


@lru_cache(8_192)
def _endpoint(value: str) -> Parts | None:
    value = value.strip().removeprefix("\\\\").removeprefix("//")
    if (ip := address(value)) is not None:
        return value, ip, None, None
    for pattern in (_V6_PORT, _HOST_PORT, _V6_HASH):
        match = pattern.fullmatch(value)
        if match is not None and (port := convert.port(match[2] or "0")) is not None:
            found = _named(match[1])
            return None if found is None else (*found, port or None)
    named = _named(value)
    return None if named is None else (*named, None)


def _named(name: str) -> tuple[str, str | None, str | None] | None:
    ip = address(name)
    if ip is not None:
        return name, ip, None
    name = name.rstrip(".")
    return (name, None, name) if looks_like_host(name) else None


IP_OR_HOST = ("ip", "address", "domain")


def ip_or_host(value: Any) -> Parts | None:
    """What is given as an address: ip, else address and domain."""
    if isinstance(value, str) and len(value) <= MAX_HOST and (ip := address(value)) is not None:
        return ip, None, None
    found = endpoint(value)
    if found is None:
        return (None, value, None) if isinstance(value, str) and len(value) <= MAX_HOST else None
    shown, ip, domain, _ = found
    return ip, None if ip else shown, domain


NAT = ("ip", "port")


def nat(value: Any) -> Parts | None:
    """The translated endpoint: ip and port."""
    found = endpoint(value)
    return (found[1], found[3]) if found is not None and found[1] is not None else None


URL = (
    *("original", "full", "scheme", "domain", "port", "path", "query", "fragment", "extension"),
    *("username",),
)


def url(value: Any) -> Parts | None:
    """A URL, a request target, or a name with a path, as written; never refused if it is text."""
    if value.__class__ is not str:
        value = convert.text(value)
    if value is None or len(value) > MAX_URL:
        return None
    if value[0] == "/" and "#" not in value:
        return _target(value)
    match = _SCHEME.match(value)
    if match is not None:
        scheme, rest = match[1].lower(), value[match.end() :]
        authority, path = _until(rest, "/?#")
        full: str | None = value
    elif value[0] in "/?*":
        scheme, authority, path, full = None, "", value, None
    else:
        scheme, full = None, None
        authority, path = _until(value, "/?#")
        name = authority.rpartition(":")[0] or authority
        if "." not in name or not looks_like_host(name):
            authority, path = "", value if path else ""
            if not path:
                return (value, *(None,) * 9)
    path, fragment = _split(path, "#")
    path, query = _split(path, "?")
    user, at, place = authority.rpartition("@")
    host, port = _authority(place)
    return (
        value,
        full,
        scheme,
        host,
        port,
        path or None,
        query,
        fragment,
        convert.extension(path) if path else None,
        unquote(user.partition(":")[0]) or None if at else None,
    )


def _target(value: str) -> Parts:
    """A request's target: a path, perhaps with a query."""
    path, _, query = value.partition("?")
    return value, None, None, None, None, path, query or None, None, extension_of(path), None


def extension_of(path: str) -> str | None:
    """The extension of the file that the path of a request names."""
    stem, dot, last = path.rpartition("/")[2].rpartition(".")
    return last if dot and stem and last.isalnum() and len(last) <= 16 else None


def _until(text: str, marks: str) -> tuple[str, str]:
    cut = min((at for mark in marks if (at := text.find(mark)) >= 0), default=len(text))
    return text[:cut], text[cut:]


def _split(text: str, mark: str) -> tuple[str, str | None]:
    head, _, tail = text.partition(mark)
    return head, tail or None


def _authority(place: str) -> tuple[str | None, int | None]:
    if place[:1] == "[":
        match = _V6_PORT.fullmatch(place)
        return (match[1], convert.port(match[2] or "")) if match else (None, None)
    host, colon, port = place.partition(":")
    if not colon:
        return place.rstrip(".") or None, None
    return host.rstrip(".") or None, convert.port(port) if port else None


USER = ("name", "domain", "email")


def user(value: Any) -> Parts | None:
    r"""`DOM\name`, `name@dom`, `dom/name` → name, domain, email."""
    value = convert.text(value)
    if value is None or len(value) > MAX_USER:
        return None
    value = value.strip()
    if "\\" in value:
        domain, _, name = value.rpartition("\\")
        domain = domain.strip("\\")
        return (name, domain or None, None) if name else None
    if "@" in value:
        name, _, domain = value.rpartition("@")
        if not name or not looks_like_host(domain):
            return value, None, None
        return name, domain, value if "." in domain and convert.email(value) == value else None
    if value.count("/") == 1 and " " not in value:
        domain, _, name = value.partition("/")
        if domain and name and looks_like_host(domain):
            return name, domain, None
    return value, None, None


HASHES = ("md5", "sha1", "sha256", "sha384", "sha512")
_BY_LENGTH = {32: 0, 40: 1, 64: 2, 96: 3, 128: 4}
_NAMED_HASH = re.compile(
    r"(?:MD-?5|SHA-?(?:1|256|384|512)|IMPHASH)\s*[=:]\s*([0-9A-Fa-f]{32,128})",
    re.ASCII | re.IGNORECASE,
)
_IMPHASH = re.compile(r"IMPHASH\s*[=:]\s*([0-9A-Fa-f]{32})", re.ASCII | re.IGNORECASE)
_BARE_HASH = re.compile(r"[0-9A-Fa-f]{32,128}", re.ASCII)


def hashes(value: Any) -> Parts | None:
    """`SHA1=…,MD5=…`, an object of digests, or bare ones told apart by their length."""
    if isinstance(value, dict):
        value = [item for item in value.values() if isinstance(item, str)]
    items = value if isinstance(value, list) else [value]
    found: list[str | None] = [None] * len(HASHES)
    for item in items:
        if not isinstance(item, str) or len(item) > 4_096:
            continue
        item = _IMPHASH.sub("", item)
        digests = _NAMED_HASH.findall(item) or [d for d in re.split(r"[\s,;|]+", item) if d]
        for digest in digests:
            place = _BY_LENGTH.get(len(digest))
            if place is not None and found[place] is None and _BARE_HASH.fullmatch(digest):
                found[place] = digest.lower()
    return tuple(found) if any(found) else None


def path(value: Any) -> Parts | None:
    """A file's path; name, directory and extension follow from it."""
    found = convert.text(value)
    return (found,) if found is not None else None


_SIDES = ("source", "destination", "client", "server")

#: Target → what takes its value apart, and the fields below (or beside) it that are filled.
SPREADS: dict[str, tuple[Spread, tuple[str, ...]]] = {
    **{side: (endpoint, tuple(f"{side}.{name}" for name in ENDPOINT)) for side in _SIDES},
    **{f"{side}.ip": (ip_or_host, tuple(f"{side}.{n}" for n in IP_OR_HOST)) for side in _SIDES},
    **{f"{side}.nat": (nat, tuple(f"{side}.nat.{name}" for name in NAT)) for side in _SIDES},
    "url": (url, tuple(f"url.{name}" for name in URL)),
    **{
        who: (user, tuple(f"{who}.{name}" for name in USER))
        for who in (
            *("user", "user.target", "user.effective", "user.changes"),
            *(f"{side}.user" for side in _SIDES),
        )
    },
    **{
        f"{what}.hash": (hashes, tuple(f"{what}.hash.{name}" for name in HASHES))
        for what in ("file", "process", "process.parent", "dll")
    },
    "file": (path, ("file.path",)),
    "user_agent": (path, ("user_agent.original",)),
}
