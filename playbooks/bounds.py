"""Making documents fit: hostile or merely chatty input never makes a run's state large."""

from __future__ import annotations

from typing import Any

from tocsin.ids import canonical_json, content_hash

#: Largest alert document that a run carries, and largest output of one action, bytes of JSON.
MAX_ALERT = 96 * 1024
MAX_OUTPUT = 64 * 1024

#: Longest text (characters) and longest list (items) kept, tried in this order.
_LEVELS = ((8192, 200), (1024, 50), (256, 20), (64, 5))
_ELLIPSIS = "…"


def size(value: Any) -> int:
    """Bytes of the canonical JSON of `value`."""
    return len(canonical_json(value))


def fitted(value: dict[str, Any], limit: int) -> dict[str, Any]:
    """`value` if it has at most `limit` bytes, else with long texts cut and long lists shortened.

    What cannot be made to fit is replaced by its size and SHA-256.
    """
    if size(value) <= limit:
        return value
    for characters, items in _LEVELS:
        smaller: dict[str, Any] = _shortened(value, characters, items)
        if size(smaller) <= limit:
            return smaller
    return {"too_large": True, "bytes": size(value), "sha256": content_hash(value)}


def _shortened(value: Any, characters: int, items: int) -> Any:
    match value:
        case str() if len(value) > characters:
            return value[:characters] + _ELLIPSIS
        case list():
            # The first and the last: an alert's evidence begins and ends there.
            kept = value if len(value) <= items else value[: items - 1] + value[-1:]
            return [_shortened(item, characters, items) for item in kept]
        case dict():
            return {key: _shortened(item, characters, items) for key, item in value.items()}
        case _:
            return value
