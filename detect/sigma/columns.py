"""The texts of single fields, cut out of a bucket's events.

In a bucket where nearly every event has candidates (process creation), scanning whole events finds
each text in every copy of it, under whatever name. There each field is scanned by itself: what is
found is where the rule looks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from detect.sigma.partial import text_of_value
from detect.sigma.shape import ABSENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detect.sigma.event import FieldMap, Mapped
    from detect.sigma.partial import Whole
    from detect.sigma.shape import Cut, Row, Shape

#: What a field has in an event: a text, the JSON text of anything else, None for nothing.
Cell: TypeAlias = str | bytes | None

#: Stands between a field and a literal; UTF-8 never has this byte.
SEPARATOR = b"\xff"


def label(name: str, fields: FieldMap) -> bytes:
    """What a literal begins with that is looked for in one field only: where the field lives."""
    mapped = fields.places(name)
    member = () if mapped.member is None else mapped.member
    parts = [str(mapped.union), *map(repr, member), *(repr(path.keys) for path in mapped.paths)]
    return "\0".join(parts).encode("utf-8", "surrogatepass") + SEPARATOR


class Columns:
    """Cuts the JSON texts of some fields out of events."""

    def __init__(self, fields: Sequence[Mapped], shape: Shape) -> None:
        """`shape` cuts at those places of the fields that it can take."""
        self._fields = tuple(fields)
        #: The number of a field that is just what stands at the first of its places.
        self.at = {
            each.paths: at
            for at, each in enumerate(fields)
            if not each.union and each.member is None
        }
        first = [each.paths[0].name for each in fields]
        self._cut = [at for at, name in enumerate(first) if name in shape.getters]
        self._read = shape.row([first[at] for at in self._cut]) if self._cut else None
        self._rest = [at for at in range(len(fields)) if at not in self._cut]
        #: Fields of which all places count, or that the shape does not have at all.
        self._always = tuple(
            at
            for at, each in enumerate(fields)
            if each.union or each.member is not None or at in self._rest
        )
        self._more = [len(each.paths) > 1 for each in fields]
        further = [[path.name for path in each.paths[1:]] for each in fields]
        #: What reads all further places of a field at once, where the shape has them.
        self._others: list[Row | None] = [
            shape.row(names) if names and shape.getters.keys() >= set(names) else None
            for names in further
        ]

    def cut(self, wholes: Sequence[Whole]) -> list[list[Cell]]:
        """For each field what it has in each event."""
        rows = list(map(self._row, wholes))
        return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in self._fields]

    def _row(self, whole: Whole) -> list[Cell]:
        if whole.cut is not None and self._read is not None:
            try:
                return self._shaped(whole, whole.cut, self._read)
            except AttributeError:  # something else than an object is on the way
                pass
        return [self._everywhere(whole, at) for at in range(len(self._fields))]

    def _shaped(self, whole: Whole, cut: Cut, read: Row) -> list[Cell]:
        values = read(cut)
        row: list[Cell]
        if self._rest:
            row = [None] * len(self._fields)
            for at, value in zip(self._cut, values, strict=True):
                row[at] = value
        else:
            row = list(values)
        for at in self._cut:
            if row[at].__class__ is not str:
                row[at] = self._odd(whole, cut, at, row[at])
        for at in self._always:
            row[at] = self._everywhere(whole, at)
        return row

    def _odd(self, whole: Whole, cut: Cut, at: int, value: Any) -> Cell:
        """What counts of a field whose first place does not have a text."""
        if value is ABSENT:
            others = self._others[at]
            if not self._more[at] or (others is not None and _nothing(others(cut))):
                return None
        elif not self._more[at] or (value is not None and value.__class__ is not list):
            return text_of_value(value)
        # A null or an empty list leaves it to the next place.
        return self._everywhere(whole, at)

    def _everywhere(self, whole: Whole, at: int) -> Cell:
        return b",".join(map(whole.texts, self._fields[at].paths)).strip(b",") or None


def _nothing(values: Sequence[Any]) -> bool:
    return all(value is ABSENT for value in values)


def text_of_cell(cell: Cell) -> bytes:
    """The JSON text of what a field has, b"" for nothing."""
    return orjson.dumps(cell) if cell.__class__ is str else cell or b""  # type: ignore[return-value]


def text_of_all(cells: Sequence[Cell]) -> bytes:
    """A text that holds the text of each of the cells; b"" where they are to be taken singly."""
    try:
        return orjson.dumps(cells)
    except (TypeError, ValueError):  # one of them is a text already
        return b""
