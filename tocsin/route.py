"""The header `route` of an event's record: what decides which rules concern it.

A JSON list with the value of each of `ROUTE_FIELDS` and, for `ROUTE_PRESENCE`, whether the field is
there. The match stage sorts events by it without decoding them; only the normalize stage writes
it, from the document that it has just made, so it also says that the value is canonical JSON.
A record without it is decoded; nothing else differs.
"""

from __future__ import annotations

from typing import Any

import orjson

#: The header's name.
ROUTE = "route"
#: Fields whose value decides.
ROUTE_FIELDS = (
    "event.code",
    "event.action",
    "event.provider",
    "event.dataset",
    "event.module",
    "event.category",
    "event.type",
    "event.outcome",
    "host.os.type",
    "observer.type",
    "process.name",
    "winlog.channel",
    "winlog.provider_name",
    "winlog.event_data.EventType",
)
#: Fields of which only matters whether they are there.
ROUTE_PRESENCE = ("process.command_line",)
#: Stands for a value that is not told: presence only, or too long.
UNTOLD = "\0"
#: Longest value that is told, characters; no rule compares these fields with a longer one.
MAX_TOLD = 128

_PATHS = tuple(tuple(name.split(".")) for name in (*ROUTE_FIELDS, *ROUTE_PRESENCE))


def route_of(document: dict[str, Any]) -> bytes:
    """The header of a document; empty if one of the fields holds no plain value or list of them."""
    values: list[Any] = []
    for at, path in enumerate(_PATHS):
        node: Any = document
        for name in path:
            if node.__class__ is not dict:
                return b""
            node = node.get(name)
            if node is None:
                break
        if node.__class__ is str:
            if len(node) > MAX_TOLD or at >= len(ROUTE_FIELDS):
                node = UNTOLD
        elif node.__class__ is list:
            if not all(each.__class__ is str and len(each) <= MAX_TOLD for each in node):
                return b""
        elif node is not None:
            return b""
        values.append(node)
    return orjson.dumps(values)


def routed(header: bytes) -> dict[str, Any] | None:
    """A document with the header's fields and no others; None for what is no such header."""
    try:
        values = orjson.loads(header)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(values, list) or len(values) != len(_PATHS):
        return None
    document: dict[str, Any] = {}
    for path, value in zip(_PATHS, values, strict=True):
        if value is not None:
            node = document
            for name in path[:-1]:
                node = node.setdefault(name, {})
            node[path[-1]] = value
    return document
