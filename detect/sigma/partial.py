"""Reading an event that is still JSON: only the fields that rules ask for are decoded.

Decoding a whole event costs more than all that most candidates look at. Its text is cut into the
members of an object where a path leads through one, and a value becomes a Python object when it
is read. What is not just objects on the way to a value (a list, a flat dotted name, no JSON) is
left to the reader of whole events, so both read the same; a test holds them equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from detect.sigma.event import NOTHING, Field, FieldMap, Mapped, Path, Reader, find
from detect.sigma.values import Value, fold

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Begins the JSON text of a text.
QUOTE = 0x22

Members = dict[str, msgspec.Raw]
_members = msgspec.json.Decoder(Members).decode


class Whole:
    """An event's text, and the event, decoded when it is first asked for."""

    __slots__ = ("_event", "_opened", "_root", "_text")

    def __init__(self, text: bytes, event: Mapping[str, Any] | None = None) -> None:
        self._text = text
        self._event = event
        self._root: Members | None = None
        self._opened: dict[tuple[str, ...], Members | None] = {}

    @property
    def event(self) -> Mapping[str, Any]:
        """All of it."""
        event = self._event
        if event is None:
            event = self._event = orjson.loads(self._text)
        return event

    def nodes(self, path: Path) -> list[Any]:
        """What `detect.sigma.event.find` finds at `path`."""
        if self._event is not None:
            return find(self._event, path)
        try:
            raw = self._cut(path)
            return [] if raw is None else [orjson.loads(memoryview(raw))]
        except (msgspec.DecodeError, orjson.JSONDecodeError, RecursionError):
            return find(self.event, path)

    def string(self, path: Path) -> str | None:
        """What is at `path`, if that is one text."""
        if self._event is not None:
            return None
        try:
            raw = self._cut(path)
        except (msgspec.DecodeError, RecursionError):
            return None
        if raw is None:
            return None
        text = bytes(raw)
        if text[0] != QUOTE:
            return None
        return text[1:-1].decode() if b"\\" not in text else str(orjson.loads(text))

    def text_at(self, path: Path) -> bytes:
        """The JSON texts of what is at `path`, with commas between; b"" for nothing."""
        try:
            raw = self._cut(path)
            return b"" if raw is None else bytes(raw)
        except (msgspec.DecodeError, RecursionError):
            return b",".join(map(orjson.dumps, find(self.event, path)))

    def root(self) -> Members:
        """The event's members; raises msgspec.DecodeError for what is no object."""
        root = self._root
        if root is None:
            root = self._root = _members(self._text)
        return root

    def members(self, keys: tuple[str, ...]) -> Members | None:
        """The members of the object at `keys`, None where nothing is.

        Raises msgspec.DecodeError where something else is.
        """
        if not keys:
            return self.root()
        if keys in self._opened:
            return self._opened[keys]
        outer = self.members(keys[:-1])
        raw = None if outer is None else outer.get(keys[-1])
        members = self._opened[keys] = None if raw is None else _members(raw)
        return members

    def _cut(self, path: Path) -> msgspec.Raw | None:
        """The text of the value at `path`; raises msgspec.DecodeError if that is not all."""
        root = self._root or self.root()
        keys = path.keys
        if len(keys) == 1:
            return root.get(keys[0])
        if path.name in root:
            return root[path.name]
        parent = keys[:-1]
        members = self._opened[parent] if parent in self._opened else self.members(parent)
        return None if members is None else members.get(keys[-1])


class PartialReader(Reader):
    """An event read through one field map, decoded as far as it is asked for."""

    __slots__ = ("_whole",)

    def __init__(self, whole: Whole, field_map: FieldMap) -> None:
        super().__init__(NOTHING, field_map)
        self._whole = whole

    @property
    def event(self) -> Mapping[str, Any]:
        """The event, all of it."""
        return self._whole.event

    def _nodes(self, path: Path) -> list[Any]:
        return self._whole.nodes(path)

    def _read(self, mapped: Mapped) -> Field:
        """As Reader does it; shorter for the usual: one text at the first place."""
        if mapped.plain:
            path = mapped.paths[0]
            text = self._whole.string(path)
            if text is not None:
                return Field(True, (Value(text, text, fold(text)),), path.name)
        return super()._read(mapped)
