"""Keyed state of one partition of one stage: a mapping in memory with a journal of changes.

Stages are written against `collections.abc.MutableMapping[str, Any]`. Values are plain JSON
(dict, list, str, int, float, bool, None) and are treated as immutable: to change one, build a
new value and assign it, or the change is not journalled and will not survive a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

import orjson

#: What a stage sees of its state.
State = MutableMapping[str, Any]

_ABSENT: Any = object()


class KeyedState(MutableMapping[str, Any]):
    """State held in memory, whose changes since the last `drain` can be saved or rolled back.

    What was stored stays JSON until somebody asks for it: of 50,000 runs that wait a restart reads
    little, and objects take five times the memory.
    """

    def __init__(self, stored: dict[str, bytes] | None = None) -> None:
        #: Values; those that nobody has asked for yet as their JSON (no value is bytes).
        self._values: dict[str, Any] = dict(stored or {})
        self._changed: set[str] = set()
        self._undo: dict[str, Any] | None = None

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        if type(value) is bytes:
            value = self._values[key] = orjson.loads(value)
        return value

    def peek(self, key: str) -> Any:
        """The value, which stays JSON if it is: for a look at everything that is kept."""
        value = self._values[key]
        return orjson.loads(value) if type(value) is bytes else value

    def raw(self, key: str) -> bytes:
        """The value as JSON."""
        return _json(self._values[key])

    def put(self, key: str, value: bytes) -> None:
        """Store a value that is JSON already, and stays it until somebody asks for it."""
        # A copy of its size: what orjson makes of 450 bytes holds on to 4 KiB.
        self[key] = bytes(memoryview(value))

    def __setitem__(self, key: str, value: Any) -> None:
        # As `_remember`, without the call: one write for each event that a stage keeps.
        undo = self._undo
        if undo is not None and key not in undo:
            undo[key] = (self._values.get(key, _ABSENT), key in self._changed)
        self._changed.add(key)
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        if key not in self._values:
            raise KeyError(key)
        self._remember(key)
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def _remember(self, key: str) -> None:
        if self._undo is not None and key not in self._undo:
            self._undo[key] = (self._values.get(key, _ABSENT), key in self._changed)
        self._changed.add(key)

    def savepoint(self) -> None:
        """From here on changes can be taken back with `rollback`, until the next savepoint."""
        self._undo = {}

    def rollback(self) -> None:
        """Take back every change since the last savepoint."""
        for key, (value, was_changed) in (self._undo or {}).items():
            if value is _ABSENT:
                self._values.pop(key, None)
            else:
                self._values[key] = value
            if not was_changed:
                self._changed.discard(key)
        self._undo = {}

    def changes(self) -> dict[str, bytes | None]:
        """What changed since the last `saved`: JSON bytes, None for a deleted key."""
        values = self._values
        return {key: _json(values[key]) if key in values else None for key in sorted(self._changed)}

    def saved(self) -> None:
        """The changes were made durable."""
        self._changed.clear()
        self._undo = None

    def unsaved(self, keys: Iterable[str]) -> None:
        """Changes taken for durable did not become so: journal these keys again."""
        self._changed.update(keys)


def peek(state: State, key: str) -> Any:
    """A value, by the cheapest way that the state has for one look."""
    return state.peek(key) if isinstance(state, KeyedState) else state[key]


def raw(state: State, key: str) -> bytes | None:
    """A value as JSON, None if there is none."""
    if key not in state:
        return None
    return state.raw(key) if isinstance(state, KeyedState) else orjson.dumps(state[key])


def put(state: State, key: str, value: bytes) -> None:
    """Store a value that is JSON, which `KeyedState` keeps so: a fifth of what objects take."""
    if isinstance(state, KeyedState):
        state.put(key, value)
    else:
        state[key] = orjson.loads(value)


def _json(value: Any) -> bytes:
    return value if type(value) is bytes else orjson.dumps(value)
