"""What a rule asks for, apart from what its selections are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from detect.sigma.codec import Unencodable, encode

if TYPE_CHECKING:
    from detect.sigma.condition import Node
    from detect.sigma.taxonomy import Logsource


def logic(condition: Node, logsource: Logsource, *, ecs: bool) -> bytes | None:
    """Equal for rules that match the same events for the same reasons; None if not known."""
    try:
        return orjson.dumps([list(logsource), ecs, _unnamed(encode(condition))])
    except (Unencodable, orjson.JSONEncodeError):
        return None


def _unnamed(encoded: list[Any]) -> list[Any]:
    """The encoded condition without the names of selections."""
    tag, *rest = encoded
    if tag in ("f", "k"):
        return [tag, *rest[1:]]
    if tag == "!":
        return [tag, _unnamed(rest[0])]
    return [tag, [_unnamed(part) for part in rest[0]]]
