"""Fields that follow from others: an address from an ip, a file's name from its path.

A companion never replaces what a mapping assigned itself. `related.*` is collected last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.document import MAX_HOST, address, looks_like_host
from ingest.mapping import convert, parts

if TYPE_CHECKING:
    from collections.abc import Callable

    Derive = Callable[[Any], tuple[Any, ...] | None]

_SIDES = ("source", "destination", "client", "server")


def same(value: Any) -> tuple[Any, ...]:
    """The value itself, for one output."""
    return (value,)


def of_address(value: Any) -> tuple[Any, ...] | None:
    """ip and domain of an address that is one or the other."""
    if not isinstance(value, str) or len(value) > MAX_HOST:
        return None
    if (ip := address(value)) is not None:
        return ip, None
    return (None, value) if looks_like_host(value) else None


def program_name(value: Any) -> tuple[Any, ...]:
    """The name of an executable's file."""
    return (convert.basename(value),)


def of_path(value: Any) -> tuple[Any, ...]:
    """name, directory and extension of a path."""
    return convert.basename(value), convert.directory(value), convert.extension(value)


_URL_REST = tuple(f"url.{name}" for name in parts.URL if name != "original")


def of_url(value: Any) -> tuple[Any, ...] | None:
    """What a URL holds besides itself."""
    found = parts.url(value)
    return None if found is None else found[1:]


#: In order: a field that is set, what makes others of it, and those others.
COMPANIONS: tuple[tuple[str, Derive, tuple[str, ...]], ...] = (
    *((f"{side}.ip", same, (f"{side}.address",)) for side in _SIDES),
    *((f"{side}.address", of_address, (f"{side}.ip", f"{side}.domain")) for side in _SIDES),
    *((f"{side}.domain", same, (f"{side}.address",)) for side in _SIDES),
    ("process.executable", program_name, ("process.name",)),
    ("process.parent.executable", program_name, ("process.parent.name",)),
    ("dll.path", program_name, ("dll.name",)),
    ("file.path", of_path, ("file.name", "file.directory", "file.extension")),
    ("url.full", same, ("url.original",)),
    ("url.original", of_url, _URL_REST),
    ("host.name", same, ("host.hostname",)),
    ("host.hostname", same, ("host.name",)),
)

_ENDPOINT_IPS = tuple(f"{side}.{name}" for side in _SIDES for name in ("ip", "nat.ip"))
_ENDPOINT_NAMES = tuple(f"{side}.domain" for side in _SIDES)
_USERS = (
    *("user.name", "user.effective.name", "user.target.name", "user.changes.name"),
    *(f"{side}.user.name" for side in _SIDES),
)
_HASHED = ("file", "process", "process.parent", "dll")

#: Field of `related` → the fields it is collected from, in order.
RELATED: dict[str, tuple[str, ...]] = {
    "related.ip": (
        *_ENDPOINT_IPS,
        *("host.ip", "observer.ip", "dns.resolved_ip", "network.forwarded_ip"),
    ),
    "related.user": _USERS,
    "related.hosts": (
        *_ENDPOINT_NAMES,
        *("host.name", "host.hostname", "observer.hostname", "url.domain", "dns.question.name"),
    ),
    "related.hash": tuple(f"{what}.hash.{name}" for what in _HASHED for name in parts.HASHES),
}

#: Lists that more is added to at the end, so that they are no JSON before.
STILL_LISTS = frozenset({"tags", *RELATED})


def complete(out: dict[str, Any]) -> None:
    """Add the companions of a flat document, then what is related."""
    for given, derive, outputs in COMPANIONS:
        if given in out and any(name not in out for name in outputs):
            derived = derive(out[given])
            for name, value in zip(outputs, derived or (), strict=False):
                if value is not None:
                    out.setdefault(name, value)
    for name, givers in RELATED.items():
        found: list[Any] = list(out.get(name, ()))
        for giver in givers:
            value = out.get(giver)
            if isinstance(value, list):
                found.extend(value)
            elif value:
                found.append(value)
        if found:
            out[name] = list(dict.fromkeys(found))
