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

#: The kinds of values of a column of texts.
_TEXTS = {str}

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
        #: What reads all further places of a field at once, where the shape has them, and
        #: what it reads where nothing is.
        self._others: list[tuple[Row | None, tuple[Any, ...]]] = [
            (
                shape.row(names) if names and shape.getters.keys() >= set(names) else None,
                (ABSENT,) * len(names),
            )
            for names in further
        ]

    def cut(self, wholes: Sequence[Whole]) -> list[list[Cell]]:
        """For each field what it has in each event."""
        cuts = [whole.cut for whole in wholes]
        columns: list[list[Cell]] = [[] for _ in self._fields]
        if self._read is not None and None not in cuts:
            try:
                told = list(map(self._read, cuts))  # type: ignore[arg-type]  # none of them is None
            except AttributeError:  # something else than an object is on the way
                pass
            else:
                for at, values in zip(self._cut, zip(*told, strict=True), strict=False):
                    columns[at] = self._column(wholes, at, values)
                for at in self._always:
                    columns[at] = [self._everywhere(whole, at) for whole in wholes]
                return columns
        return [[self._cell(whole, at) for whole in wholes] for at in range(len(self._fields))]

    def _column(self, wholes: Sequence[Whole], at: int, values: Sequence[Any]) -> list[Cell]:
        """What counts of a field; `values` are what its first place has in the events."""
        if set(map(type, values)) == _TEXTS:
            return list(values)
        if not self._more[at]:
            return [None if each is ABSENT else _written(each) for each in values]
        read, further = self._others[at]
        return [
            value
            if value.__class__ is str
            else None
            if value is ABSENT and read is not None and _nothing(read, whole.cut, further)
            else self._odd(whole, at, value)
            for whole, value in zip(wholes, values, strict=True)
        ]

    def _cell(self, whole: Whole, at: int) -> Cell:
        """What a field has in one event."""
        if at not in self._always and whole.cut is not None:
            name = self._fields[at].paths[0].name
            told = None if whole.shape is None else whole.shape.value(whole.cut, name)
            if told.__class__ is str:
                return told
        return self._everywhere(whole, at)

    def _odd(self, whole: Whole, at: int, value: Any) -> Cell:
        """What counts of a field of several places whose first does not have a text."""
        if value is ABSENT or value is None or value.__class__ is list:
            return self._everywhere(whole, at)  # it is left to the next place
        return text_of_value(value)

    def _everywhere(self, whole: Whole, at: int) -> Cell:
        return b",".join(map(whole.texts, self._fields[at].paths)).strip(b",") or None


def _written(value: Any) -> str | bytes:
    return value if isinstance(value, str) else text_of_value(value)


def _nothing(read: Row, cut: Cut | None, absent: tuple[Any, ...]) -> bool:
    """Whether none of several places has anything."""
    try:
        return cut is not None and read(cut) == absent
    except AttributeError:  # something else than an object is on the way
        return False


def text_of_cell(cell: Cell) -> bytes:
    """The JSON text of what a field has, b"" for nothing."""
    return orjson.dumps(cell) if cell.__class__ is str else cell or b""  # type: ignore[return-value]


def text_of_all(cells: Sequence[Cell]) -> bytes:
    """A text that holds the text of each of the cells; b"" where they are to be taken singly."""
    try:
        return orjson.dumps(cells)
    except (TypeError, ValueError):  # one of them is a text already
        return b""
