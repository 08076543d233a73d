"""The leaves of a framed log: every scalar with the path that it stands at, in bounded work.

Paths are keys joined by dots, without the indices of lists, so that one field has one path. Looked
into are: objects and lists, texts that are JSON, and lists of names with their values
(`[{"Name": "SrcIp", "Value": "192.0.2.1"}]`, as if they were an object). An object that says what
it is (`{"type": "User", "name": "ann"}`) adds that word to the paths below it, as `#user`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from ingest.generic.resolve import hint
from ingest.mapping.values import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Deepest nesting that is looked into, JSON within texts included.
MAX_DEPTH = 10

#: Most leaves that are looked at.
MAX_LEAVES = 2_000

#: Most members of one list that are looked at.
MAX_MEMBERS = 50

#: Longest text that is read as JSON, characters.
MAX_JSON = 65_536

_TYPES = ("type", "Type", "objectType", "entityType", "@odata.type", "__typename", "kind", "$type")
_NAMES = ("name", "Name", "key", "Key", "field", "displayName", "label")
_VALUES = ("value", "Value", "newValue", "NewValue", "values", "val", "content")


def leaves(fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(path, scalar) of every field that has a value, in order; at most MAX_LEAVES."""
    for count, leaf in enumerate(_object(fields, "", 0)):
        if count >= MAX_LEAVES:
            return
        yield leaf


def _object(node: dict[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth and (word := _hint(node)) is not None:
        prefix = f"{prefix}#{word}."
    for key, value in node.items():
        if isinstance(value, str):
            if value in NOTHING:
                continue
            if value[0] in "{[" and (decoded := _decoded(value)) is not None:
                yield from _value(decoded, prefix + key, depth + 1)
                continue
            yield prefix + key, value
        elif isinstance(value, (dict, list)):
            yield from _value(value, prefix + key, depth + 1)
        elif value is not None:
            yield prefix + key, value


def _value(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        yield from _object(value, f"{path}.", depth)
    elif isinstance(value, list):
        for member in value[:MAX_MEMBERS]:
            if isinstance(member, dict):
                named = _named(member)
                if named is None:
                    yield from _object(member, f"{path}.", depth)
                else:
                    yield from _object({named[0]: named[1]}, f"{path}.", depth)
            elif isinstance(member, list):
                yield from _value(member, path, depth + 1)
            elif isinstance(member, str) and member[:1] == "{":
                yield from _value(_decoded(member) or member, path, depth + 1)
            elif member is not None and member not in ("", "-"):
                yield path, member
    elif value is not None:
        yield path, value


def _decoded(text: str) -> Any:
    """The object or list of a text that is JSON, None for any other."""
    if len(text) > MAX_JSON or text[-1] not in "}] \n":
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, (dict, list)) and value else None


def _hint(node: dict[str, Any]) -> str | None:
    for key in _TYPES:
        value = node.get(key)
        if isinstance(value, str):
            return hint(value)
    return None


def _named(member: dict[str, Any]) -> tuple[str, Any] | None:
    """The name and value of an object that is just these two."""
    if len(member) > 4:
        return None
    for key in _VALUES:
        if key in member:
            for naming in _NAMES:
                name = member.get(naming)
                if isinstance(name, str) and 0 < len(name) <= 64:
                    return name.replace(".", "_"), member[key]
    return None
