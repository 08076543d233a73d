"""Which converter each target uses by itself: by its type, and by name where ECS asks for more."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ingest.mapping import convert
from ingest.mapping.targets import ANY, BOOLEAN, DATE, FLOAT, IP, LONG, OBJECT, Target
from ingest.mapping.values import absent

if TYPE_CHECKING:
    from collections.abc import Callable

    Cast = Callable[[Any], Any]


def anything(value: Any) -> Any:
    """A value of the mapping's own root, as it is."""
    return value


def _question(value: Any) -> str | None:
    found = convert.text(value)
    return (found.rstrip(".") or None) if found is not None else None


def _extension(value: Any) -> str | None:
    found = convert.text(value)
    return (found.lstrip(".") or None) if found is not None else None


_BY_TYPE: dict[str, Cast] = {
    LONG: convert.whole,
    FLOAT: convert.number,
    BOOLEAN: convert.boolean,
    DATE: convert.time_text,
    IP: convert.ip,
    OBJECT: convert.mapping_object,
    ANY: anything,
}

_BY_PATH: dict[str, Cast] = {
    "event.severity": convert.severity,
    "network.transport": convert.transport,
    "network.protocol": convert.lower,
    "network.direction": convert.direction,
    "dns.question.name": _question,
    "dns.question.type": convert.upper,
    "file.extension": _extension,
    "user.email": convert.email,
    "email.sender.address": convert.email,
}

_BY_ENDING: dict[str, Cast] = {
    ".mac": convert.mac,
    ".user.email": convert.email,
    ".target.email": convert.email,
    ".effective.email": convert.email,
    ".changes.email": convert.email,
}


@lru_cache(4_096)
def scalar(target: Target) -> Cast:
    """The converter of one value of a target."""
    if target.path in _BY_PATH:
        return _BY_PATH[target.path]
    if target.path.startswith("email.") and target.path.endswith(".address"):
        return convert.emails
    for ending, cast in _BY_ENDING.items():
        if target.path.endswith(ending):
            return cast
    if ".hash." in target.path:
        return convert.lower
    if target.largest:
        return convert.port
    return _BY_TYPE.get(target.type, convert.text)


def cast(target: Target, value: Any) -> Any:
    """A present value as the target wants it, None where it is no such value."""
    one = scalar(target)
    if not target.many:
        found = one(value)
        if target.allowed is not None and found not in target.allowed:
            return None
        return found
    items = value if isinstance(value, list) else [value]
    found_all: list[Any] = []
    for item in items:
        if absent(item):
            continue
        found = one(item)
        for each in found if isinstance(found, list) else (found,):
            if each is None or each in found_all:
                continue
            if target.allowed is None or each in target.allowed:
                found_all.append(each)
    return found_all or None
