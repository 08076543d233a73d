"""What a shipper says in ECS itself, beside an event in the source's own words (Winlogbeat).

A mapping reads the source's words and comes first; what it leaves open, the shipper fills: the
host's addresses, the agent, and everything that the shipper's own modules took out of the event.
"""

from __future__ import annotations

from typing import Any

from ingest.mapping.casts import cast
from ingest.mapping.companions import RELATED, complete
from ingest.mapping.targets import ECS, RESERVED, Target
from ingest.mapping.values import NOTHING, absent

#: Deepest object and most fields that are looked at.
MAX_DEPTH = 8
MAX_FIELDS = 1_000

#: Fields that are never the shipper's to say.
_OURS = RESERVED | {"@timestamp", "event.dataset", "event.module", "event.kind"}


def add(out: dict[str, Any], said: Any) -> None:
    """Add to a flat document the ECS fields in `said` that it does not have, and what follows."""
    if not isinstance(said, dict):
        return
    for path, value in flattened(said).items():
        target = target_of(path)
        made = None if target is None else cast(target, value)
        if made is None or absent(made):
            continue
        if path in RELATED:
            out[path] = list(dict.fromkeys([*made, *out.get(path, ())]))
        else:
            out.setdefault(path, made)
    complete(out)


def target_of(path: str) -> Target | None:
    """The target that a shipper may give a value to, None for what is none or not its to say."""
    if path in _OURS:
        return None
    return Target(path) if path.startswith("labels.") else ECS.get(path)


def flattened(said: dict[str, Any]) -> dict[str, Any]:
    """The present values within an object by their paths."""
    found: dict[str, Any] = {}
    _flatten(said, "", MAX_DEPTH, found)
    return found


def _flatten(node: dict[str, Any], prefix: str, depth: int, found: dict[str, Any]) -> None:
    for name, value in node.items():
        if len(found) >= MAX_FIELDS:
            return
        path = f"{prefix}{name}"
        if value.__class__ is str:
            if value not in NOTHING and not value.isspace():
                found[path] = value
        elif isinstance(value, dict):
            if depth > 1:
                _flatten(value, f"{path}.", depth - 1, found)
        elif not absent(value):
            found[path] = value
