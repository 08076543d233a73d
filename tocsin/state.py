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
    """State held in memory, whose changes since the last `drain` can be saved or rolled back."""

    def __init__(self, stored: dict[str, bytes] | None = None) -> None:
        self._values: dict[str, Any] = {k: orjson.loads(v) for k, v in (stored or {}).items()}
        self._changed: set[str] = set()
        self._undo: dict[str, Any] | None = None

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

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
        return {
            key: orjson.dumps(values[key]) if key in values else None
            for key in sorted(self._changed)
        }

    def saved(self) -> None:
        """The changes were made durable."""
        self._changed.clear()
        self._undo = None

    def unsaved(self, keys: Iterable[str]) -> None:
        """Changes taken for durable did not become so: journal these keys again."""
        self._changed.update(keys)
