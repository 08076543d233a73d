"""Reading an event that is still JSON: only the fields that rules ask for are decoded.

What is not where the shape cuts is left to the reader of whole events, so both read the same; a
test holds them equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from detect.sigma.event import NOTHING, Field, FieldMap, Mapped, Path, Reader, find
from detect.sigma.shape import ABSENT, LISTED
from detect.sigma.values import Value, fold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detect.sigma.shape import Cut, Shape


#: What was not cut yet: many an event is never looked into.
_UNCUT: Any = object()


class Whole:
    """An event's text, what a shape cuts out of it, and the event once somebody asks for it."""

    __slots__ = ("_cut", "_event", "shape", "text")

    def __init__(
        self, text: bytes, event: Mapping[str, Any] | None = None, shape: Shape | None = None
    ) -> None:
        self.text = text
        self._event = event
        self.shape = shape
        self._cut: Any = _UNCUT

    @property
    def cut(self) -> Cut | None:
        """What the shape cuts out; None if the event has to be read as a whole."""
        cut: Cut | None = self._cut
        if cut is _UNCUT:
            cut = self._cut = None if self.shape is None else self.shape.cut(self.text)
        return cut

    @property
    def event(self) -> Mapping[str, Any]:
        """All of it."""
        event = self._event
        if event is None:
            event = self._event = orjson.loads(self.text)
        return event

    def nodes(self, path: Path) -> list[Any]:
        """What `detect.sigma.event.find` finds at `path`."""
        value = self._value(path)
        if value is LISTED:
            return find(self.event, path)
        return [] if value is ABSENT else [value]

    def texts(self, path: Path) -> bytes:
        """The JSON texts of what is at `path`, with commas between; b"" for nothing."""
        return b",".join(map(text_of_value, self.nodes(path)))

    def _value(self, path: Path) -> Any:
        cut, shape = self.cut, self.shape
        if cut is None or shape is None or path.name not in shape.getters:
            return LISTED
        return shape.value(cut, path.name)


def text_of_value(value: Any) -> bytes:
    """The JSON text of a value, however deep it is."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return msgspec.json.encode(value)


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
        cut, shape = self._whole.cut, self._whole.shape
        if cut is not None and shape is not None and mapped.plain:
            name = mapped.paths[0].name
            told = shape.value(cut, name) if name in shape.getters else None
            if told.__class__ is str:
                return Field(True, (Value(told, told, fold(told)),), name)
        return super()._read(mapped)
