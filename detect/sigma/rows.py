"""Conditions as functions of a row: the folded texts of the fields that a bucket's rules read.

A rule that is a candidate usually compares one text after the other with a few more texts. Here
that costs no more than it must: a cell of a row is the one text that the event has in a field,
folded, read when it is first asked for. Whatever is not one text (several values, keywords) is
left to the functions of detect.sigma.decide; a test holds both equal to the plain condition.
"""

# ruff: noqa: SIM110  # a generator costs as much again as what it goes through here

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

from detect.sigma.condition import (
    And,
    Exists,
    FieldItem,
    FieldReference,
    Not,
    Null,
    Or,
)
from detect.sigma.decide import accepted_by_search, decision, every_of, flat, one_of, some_of
from detect.sigma.many import MANY, texts_of
from detect.sigma.partial import PartialReader
from detect.sigma.patterns import Regex, Text, Wildcard, needed
from detect.sigma.regex_literals import every_required, required, width
from detect.sigma.shape import ABSENT
from detect.sigma.values import Value, fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from detect.sigma.columns import Cell, Columns
    from detect.sigma.condition import Expectation, Node
    from detect.sigma.event import FieldMap, Reader
    from detect.sigma.partial import Whole
    from detect.sigma.patterns import Pattern
    from detect.sigma.shape import Getter, Shape

    #: Cells, and behind them the `Source` they are read from.
    Row = list[Any]
    RowDecision = Callable[[Row], bool]
    Test = Callable[[str], bool]

#: A field that fewer conditions read, or fewer than this part of those that read the busiest, is
#: read when one of them asks.
BUSY = 8

#: A cell nobody asked for yet; one of a field without values; one with more than one text.
UNREAD: Any = object()
NOTHING: Any = object()
SEVERAL: Any = object()
_unread = repeat(UNREAD)


class Cells:
    """Which cell of a bucket's rows holds which field, and how it is read."""

    def __init__(self) -> None:
        self.maps: list[FieldMap] = []
        self._at: dict[object, int] = {}
        #: For each cell its map and name, and what reads its places of a cut event, if all can.
        self.reads: list[tuple[int, str, tuple[Getter, ...]]] = []
        self._blank: Row = []
        self._asked: list[int] = []

    def add(self, fields: FieldMap) -> int:
        """The number of one more map."""
        self.maps.append(fields)
        return len(self.maps) - 1

    def at(self, slot: int, name: str) -> int:
        """The cell of the field that the map of that number calls `name`.

        Fields of several maps that live in the same places share a cell.
        """
        mapped = self.maps[slot].places(name)
        key: object = mapped.paths if mapped.plain else (slot, name)
        found = self._at.get(key)
        if found is None:
            found = self._at[key] = len(self.reads)
            self.reads.append((slot, name, ()))
            self._asked.append(0)
        self._asked[found] += 1
        return found

    def read_by(self, shape: Shape) -> None:
        """Every cell is known now, and `shape` is what events are cut by."""
        for at, (slot, name, _) in enumerate(self.reads):
            mapped = self.maps[slot].places(name)
            names = [path.name for path in mapped.paths]
            if mapped.plain and shape.getters.keys() >= set(names):
                getters = tuple(shape.getters[each] for each in names)
                self.reads[at] = (slot, name, getters)
        self._blank = [UNREAD] * len(self.reads)

    def columned(self, columns: Columns) -> list[int]:
        """For each cell that many conditions read the column that has the same, else -1."""
        busy = max(BUSY, max(self._asked, default=0) // BUSY)
        return [
            columns.at.get(mapped.paths, -1)
            if asked >= busy and (mapped := self.maps[slot].places(name)).plain
            else -1
            for asked, (slot, name, _) in zip(self._asked, self.reads, strict=True)
        ]

    def row(self, whole: Whole) -> Row:
        """The row of an event, of which nothing was read yet."""
        row = self._blank.copy()
        row.append(Source(whole, self))
        return row

    def rows(
        self, wholes: Sequence[Whole], columns: Sequence[Sequence[Cell]], columned: Sequence[int]
    ) -> list[Row]:
        """The rows of several events, with the cells filled that are in columns already.

        Reading a cell when it is asked for costs four times as much as a column at once.
        """
        cells = [_unread if at < 0 else _folded(columns[at]) for at in columned]
        sources = [Source(whole, self) for whole in wholes]
        return list(map(list, zip(*cells, sources, strict=False)))


def _folded(column: Sequence[Cell]) -> list[Any]:
    """What cells hold by what a column does."""
    return [
        (told.lower() if told.isascii() else fold(told))
        if isinstance(told, str)
        else NOTHING
        if told is None
        else UNREAD
        for told in column
    ]


class Source:
    """What the cells of one row are read from."""

    __slots__ = ("_cells", "_readers", "whole")

    def __init__(self, whole: Whole, cells: Cells) -> None:
        self.whole = whole
        self._cells = cells
        self._readers: dict[int, Reader] | None = None

    def reader(self, slot: int) -> Reader:
        """The event, read through the map of that number."""
        readers = self._readers
        if readers is None:
            readers = self._readers = {}
        found = readers.get(slot)
        if found is None:
            found = readers[slot] = PartialReader(self.whole, self._cells.maps[slot])
        return found

    def cell(self, row: Row, at: int) -> Any:
        """The cell: a folded text, NOTHING or SEVERAL."""
        found = row[at]
        if found is not UNREAD:
            return found
        slot, name, getters = self._cells.reads[at]
        told = self._told(getters)
        if told.__class__ is str:
            found = told.lower() if told.isascii() else fold(told)
        elif told is ABSENT:
            found = NOTHING
        elif told.__class__ is int:
            found = str(told)
        else:
            values = self.reader(slot).field(name).values
            found = NOTHING if not values else values[0].folded if len(values) == 1 else SEVERAL
        row[at] = found
        return found

    def _told(self, getters: tuple[Getter, ...]) -> Any:
        """What the first place has that has something, ABSENT, or None: to be read in full."""
        cut = self.whole.cut
        if cut is None or not getters:
            return None
        try:
            for getter in getters:
                told = getter(cut)
                if told is not ABSENT:
                    return told
        except AttributeError:  # something else than an object is on the way
            return None
        return ABSENT

    def value(self, at: int) -> Value:
        """The value of a cell that is one text."""
        slot, name, getters = self._cells.reads[at]
        told = self._told(getters)
        if told.__class__ is str:
            return Value(told, told, fold(told))
        if told.__class__ is int:
            text = str(told)
            return Value(told, text, text)
        return self.reader(slot).field(name).values[0]


def row_decision(node: Node, cells: Cells, slot: int) -> RowDecision:
    """The function of a condition that is read through the map `slot`."""
    match node:
        case And(parts=parts):
            return every_of([row_decision(part, cells, slot) for part in parts])
        case Or(parts=parts):
            return some_of([row_decision(part, cells, slot) for part in parts])
        case Not(part=part):
            inner = row_decision(part, cells, slot)
            return lambda row: not inner(row)
        case FieldItem(expectations=expectations, every=every):
            groups = [[each] for each in expectations] if every else [expectations]
            return every_of([_one_of(node.field, group, cells, slot) for group in groups])
        case _:
            return _in_full(decision(node), slot)


def _in_full(whole: Callable[[Reader], bool], slot: int) -> RowDecision:
    return lambda row: whole(row[-1].reader(slot))


def _one_of(name: str, expectations: Sequence[Expectation], cells: Cells, slot: int) -> RowDecision:
    """Whether the field satisfies one of what is asked for."""
    in_full = one_of(name, expectations)
    if len(expectations) == 1:
        match expectations[0]:
            case Exists(expected):
                return _exists(cells.at(slot, name), expected, in_full, slot)
            case FieldReference(cased=False) as reference:
                return _refers(cells, slot, name, reference, in_full)
    patterns = [each for each in flat(expectations) if not isinstance(each, Null)]
    empty = any(isinstance(each, Null) for each in expectations)
    if any(isinstance(each, Exists | FieldReference) for each in patterns):
        return _in_full(in_full, slot)
    at = cells.at(slot, name)
    tests, searches = _tests(patterns)

    def decides(row: Row) -> bool:
        subject = row[at]
        if subject.__class__ is not str:
            subject = row[-1].cell(row, at)
            if subject.__class__ is not str:
                return empty if subject is NOTHING else in_full(row[-1].reader(slot))
        for test in tests:
            if test(subject):
                return True
        for guard, accepts in searches:
            if guard(subject) and accepts(row[-1].value(at)):
                return True
        return False

    if empty or searches or len(tests) != 1:
        return decides
    return _single(at, tests[0], in_full, slot, patterns)


def _exists(at: int, expected: bool, in_full: Callable[[Reader], bool], slot: int) -> RowDecision:
    def exists(row: Row) -> bool:
        subject = row[-1].cell(row, at)
        if subject is NOTHING:  # the key may be there, with null
            return in_full(row[-1].reader(slot))
        return expected

    return exists


def _refers(
    cells: Cells,
    slot: int,
    name: str,
    reference: FieldReference,
    in_full: Callable[[Reader], bool],
) -> RowDecision:
    at, other = cells.at(slot, name), cells.at(slot, reference.other)

    def refer(row: Row) -> bool:
        text, part = row[at], row[other]
        if text.__class__ is not str or part.__class__ is not str:
            source = row[-1]
            text, part = source.cell(row, at), source.cell(row, other)
        if text is NOTHING or part is NOTHING:
            return False
        if text is SEVERAL or part is SEVERAL:
            return in_full(row[-1].reader(slot))
        return referred(text, part)

    referred = _REFERRED[reference.starts, reference.ends]
    return refer


_REFERRED: dict[tuple[bool, bool], Callable[[str, str], bool]] = {
    (True, True): str.__contains__,
    (True, False): str.startswith,
    (False, True): str.endswith,
    (False, False): str.__eq__,
}


def _single(
    at: int, test: Test, in_full: Callable[[Reader], bool], slot: int, patterns: Sequence[Pattern]
) -> RowDecision:
    """As above for the usual case: one kind of comparison, and of one text without a call."""
    match patterns:
        case [Text(operator="contains", text=text)]:

            def contains(row: Row) -> bool:
                subject = row[at]
                if subject.__class__ is not str:
                    subject = row[-1].cell(row, at)
                    if subject.__class__ is not str:
                        return subject is SEVERAL and in_full(row[-1].reader(slot))
                return text in subject

            return contains
        case _:

            def single(row: Row) -> bool:
                subject = row[at]
                if subject.__class__ is not str:
                    subject = row[-1].cell(row, at)
                    if subject.__class__ is not str:
                        return subject is SEVERAL and in_full(row[-1].reader(slot))
                return test(subject)

            return single


def _tests(patterns: Iterable[Pattern]) -> tuple[list[Test], list[tuple[Test, Any]]]:
    """Tests of folded texts that decide, and guards before what needs the value itself."""
    groups: dict[str, list[str]] = {"": [], "endswith": [], "startswith": [], "contains": []}
    wildcards: list[Test] = []
    searches: list[tuple[Test, Any]] = []
    for pattern in patterns:
        match pattern:
            case Text(operator=operator, text=text, cased=False):
                groups[operator].append(text)
            case Wildcard(cased=False):
                wildcards.append(_stands(pattern))
            case Regex():
                searches.append((_guard(pattern), accepted_by_search(pattern)))
            case _:  # of numbers, networks and times nothing is known before
                searches.append((_has(needed(pattern)), pattern.accepts))
    tests = [_TESTS[kind](tuple(texts)) for kind, texts in groups.items() if texts]
    return [*tests, *wildcards], searches


def _has(text: str) -> Test:
    return lambda subject: text in subject


def _equals(texts: tuple[str, ...]) -> Test:
    return frozenset(texts).__contains__


def _ends(texts: tuple[str, ...]) -> Test:
    return lambda subject: subject.endswith(texts)


def _starts(texts: tuple[str, ...]) -> Test:
    return lambda subject: subject.startswith(texts)


def _contains(texts: tuple[str, ...]) -> Test:
    if len(texts) == 1:
        return _has(texts[0])
    if len(texts) > MANY:
        return texts_of(texts).any_in

    def contains(subject: str) -> bool:
        for text in texts:
            if text in subject:
                return True
        return False

    return contains


_TESTS: dict[str, Callable[[tuple[str, ...]], Test]] = {
    "": _equals,
    "endswith": _ends,
    "startswith": _starts,
    "contains": _contains,
}


def _stands(pattern: Wildcard) -> Test:
    """Whether a caseless pattern accepts a folded text; most lack one of its pieces."""
    pieces = sorted({text for run in pattern.runs for _, text in run.literals}, key=len)[::-1]

    def stands(subject: str) -> bool:
        for piece in pieces:
            if piece not in subject:
                return False
        return pattern.fits(subject)

    return stands


def _guard(pattern: Regex) -> Test:
    """Whether an expression can match a value with this folded text; it is no shorter than that."""
    shortest = width(pattern.source)
    found = every_required(pattern.source) or (required(pattern.source) or (),)
    sets = [tuple(map(fold, texts)) for texts in found if texts and all(map(str.isascii, texts))]
    single = [texts[0] for texts in sets if len(texts) == 1]
    several = [texts for texts in sets if len(texts) > 1]
    if not sets:
        return lambda subject: len(subject) >= shortest

    def may(subject: str) -> bool:
        for text in single:
            if text not in subject:
                # Without case, letters beyond ASCII may equal one of its.
                return not subject.isascii() and len(subject) >= shortest
        for texts in several:
            for text in texts:
                if text in subject:
                    break
            else:
                return not subject.isascii() and len(subject) >= shortest
        return len(subject) >= shortest

    return may
