"""The texts of single fields, cut out of a bucket's events.

In a bucket where nearly every event has candidates (process creation), scanning whole events finds
each text in every copy of it, under whatever name. There each field is scanned by itself: what is
found is where the rule looks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from detect.sigma.partial import text_of_value
from detect.sigma.shape import ABSENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detect.sigma.event import FieldMap, Mapped
    from detect.sigma.partial import Whole
    from detect.sigma.shape import Cut, Row, Shape

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
        first = [each.paths[0].name for each in fields]
        self._cut = [at for at, name in enumerate(first) if name in shape.getters]
        self._read = shape.row([first[at] for at in self._cut]) if self._cut else None
        self._rest = [at for at in range(len(fields)) if at not in self._cut]
        #: Fields of which all places count, and those that have further places.
        self._all = frozenset(
            at for at, each in enumerate(fields) if each.union or each.member is not None
        )
        self._more = [len(each.paths) > 1 for each in fields]
        further = [[path.name for path in each.paths[1:]] for each in fields]
        #: What reads all further places of a field at once, where the shape has them.
        self._others: list[Row | None] = [
            shape.row(names) if names and shape.getters.keys() >= set(names) else None
            for names in further
        ]

    def cut(self, wholes: Sequence[Whole]) -> list[list[bytes]]:
        """For each field its text in each event, b"" where it is absent."""
        rows = list(map(self._row, wholes))
        return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in self._fields]

    def _row(self, whole: Whole) -> list[bytes]:
        if whole.cut is not None and self._read is not None:
            try:
                return self._shaped(whole, whole.cut, self._read)
            except AttributeError:  # something else than an object is on the way
                pass
        return [b",".join(map(whole.texts, each.paths)) for each in self._fields]

    def _shaped(self, whole: Whole, cut: Cut, read: Row) -> list[bytes]:
        row = [b""] * len(self._fields)
        for at, value in zip(self._cut, read(cut), strict=True):
            if value.__class__ is str:
                row[at] = orjson.dumps(value)
                if at not in self._all:
                    continue
            elif value is not ABSENT:
                row[at] = text_of_value(value)
                # A null or an empty list leaves it to the next place.
                if value is not None and value.__class__ is not list and at not in self._all:
                    continue
            elif (others := self._others[at]) is not None and _nothing(others(cut)):
                continue
            if self._more[at]:
                row[at] = b",".join(map(whole.texts, self._fields[at].paths))
        for at in self._rest:
            row[at] = b",".join(map(whole.texts, self._fields[at].paths))
        return row


def _nothing(values: Sequence[Any]) -> bool:
    return all(value is ABSENT for value in values)


def presence(text: bytes) -> bool:
    """Whether something stands in any of a field's places."""
    return bool(text.strip(b","))
