"""The texts of single fields, cut out of a bucket's events.

In a bucket where nearly every event has candidates (process creation), scanning whole events finds
each text in every copy of it, under whatever name. There each field is scanned by itself: what is
found is where the rule looks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detect.sigma.event import FieldMap, Mapped
    from detect.sigma.partial import Whole

#: Stands between a field and a literal; UTF-8 never has this byte.
SEPARATOR = b"\xff"
#: Null and lists begin so.
_MAYBE_NOTHING = b"n["


def label(name: str, fields: FieldMap) -> bytes:
    """What a literal begins with that is looked for in one field only: where the field lives."""
    mapped = fields.places(name)
    member = () if mapped.member is None else mapped.member
    parts = [str(mapped.union), *map(repr, member), *(repr(path.keys) for path in mapped.paths)]
    return "\0".join(parts).encode("utf-8", "surrogatepass") + SEPARATOR


class Columns:
    """Cuts the JSON texts of some fields out of events."""

    def __init__(self, fields: Sequence[Mapped]) -> None:
        self._fields = tuple(fields)
        self._flat = frozenset(
            path.name for each in fields for path in each.paths if len(path.keys) > 1
        )
        first: dict[tuple[str, ...], list[tuple[str, int]]] = {}
        for at, each in enumerate(fields):
            keys = each.paths[0].keys
            first.setdefault(keys[:-1], []).append((keys[-1], at))
        self._first = tuple(first.items())
        #: Fields of which all places count, and the further places of each field.
        self._all = frozenset(
            at for at, each in enumerate(fields) if each.union or each.member is not None
        )
        self._more = tuple(
            tuple((path.keys[:-1], path.keys[-1]) for path in each.paths[1:]) for each in fields
        )

    def cut(self, wholes: Sequence[Whole]) -> list[list[bytes]]:
        """For each field its text in each event, b"" where it is absent."""
        rows = list(map(self._row, wholes))
        return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in self._fields]

    def _row(self, whole: Whole) -> list[bytes]:
        try:
            if self._flat.isdisjoint(whole.root()):
                return self._cut(whole)
        except (msgspec.DecodeError, RecursionError):
            pass
        return [b",".join(map(whole.text_at, each.paths)) for each in self._fields]

    def _cut(self, whole: Whole) -> list[bytes]:
        row = [b""] * len(self._fields)
        for parent, leaves in self._first:
            if members := whole.members(parent):
                get = members.get
                for leaf, at in leaves:
                    if (raw := get(leaf)) is not None:
                        row[at] = bytes(raw)
        for at, text in enumerate(row):
            # A null or an empty list leaves it to the next place.
            if (not text or text[0] in _MAYBE_NOTHING or at in self._all) and self._more[at]:
                texts = [text]
                for parent, leaf in self._more[at]:
                    if (members := whole.members(parent)) and leaf in members:
                        texts.append(bytes(members[leaf]))
                row[at] = b",".join(texts)
        return row


def presence(text: bytes) -> bool:
    """Whether something stands in any of a field's places."""
    return bool(text.strip(b","))
