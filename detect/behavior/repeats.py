"""Which events a partition has had already: the ids of its last ones, in keyed state.

On Kafka a normalize that dies, or loses a partition, between its output and its commit sends its
events once more. Rules and correlations know a finding by its id; what observes events counts them,
so it has to know them, too. Ids stand in slots of the state, each written while it fills; what is
in memory is made from them, and made anew where the state is another or was taken back.
"""

from __future__ import annotations

import weakref
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.state import State

#: Ids in a slot, and slots: an event that comes again within so many others is known.
SLOT, SLOTS = 128, 256

#: Characters of an id as it is kept: Tocsin's own ids as they are, those of others hashed.
_WIDTH = 32

_HEAD, _IDS = "head", "ids/"


class Repeats:
    """The last SLOT * SLOTS ids of each partition (33,000 ids take a megabyte of state)."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Callable[[], object], int, set[str]]] = {}

    def known(self, partition: int, state: State) -> set[str]:
        """The ids that the partition has had, as `name` gives them."""
        head = state.get(_HEAD, 0)
        found = self._known.get(partition)
        if found is None or found[0]() is not state or found[1] != head:
            ids: set[str] = set()
            for key in state:
                if key.startswith(_IDS):
                    ids.update(_split(state[key]))
            found = self._known[partition] = (_reference(state), head, ids)
        return found[2]

    def add(self, partition: int, state: State, ids: list[str]) -> None:
        """Keep ids that `known` does not have, in the place of the oldest."""
        known = self.known(partition, state)
        head, done = state.get(_HEAD, 0), 0
        while done < len(ids):
            slot, filled = divmod(head, SLOT)
            key = f"{_IDS}{slot % SLOTS}"
            kept = state.get(key, "")
            if not filled:
                known.difference_update(_split(kept))
                kept = ""
            part = ids[done : done + SLOT - filled]
            state[key] = kept + "".join(part)
            known.update(part)
            head += len(part)
            done += len(part)
        state[_HEAD] = head
        self._known[partition] = (_reference(state), head, known)


def name(event: dict[str, Any]) -> str | None:
    """What an event is known by: its `event.id`; None for one that has none."""
    own = event.get("event")
    found = own.get("id") if isinstance(own, dict) else None
    if not isinstance(found, str) or not found:
        return None
    if len(found) == _WIDTH and found.isascii():
        return found
    return blake2b(found.encode("utf-8", "replace"), digest_size=_WIDTH // 2).hexdigest()


def _split(text: str) -> list[str]:
    return [text[at : at + _WIDTH] for at in range(0, len(text), _WIDTH)]


def _reference(state: State) -> Callable[[], object]:
    try:
        return weakref.ref(state)
    except TypeError:  # a plain dict cannot be referred to weakly
        return lambda: state
