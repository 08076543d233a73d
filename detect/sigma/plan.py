"""What is scanned for in the events of a bucket, so that few rules have to be evaluated on them.

Each rule's witness has clauses; one to three of them are looked for, chosen by counting over a
sample of the bucket's events. Usually whole events are scanned, and most hold nothing. Where most
events have candidates anyway (process creation) single fields are scanned instead: that costs
cutting them out, and finds a text only where the rule looks for it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detect.sigma.columns import SEPARATOR, Columns, label, text_of_all, text_of_cell
from detect.sigma.literals import ODD_LETTERS
from detect.sigma.partial import Whole
from detect.sigma.scanner import scanner
from detect.sigma.shape import shape_of
from detect.sigma.witness import chosen, guess, literals_of, witness

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from detect.sigma.columns import Cell
    from detect.sigma.condition import Node
    from detect.sigma.event import FieldMap, Mapped
    from detect.sigma.literals import Clause
    from detect.sigma.scanner import Scanner
    from detect.sigma.shape import Shape
    from detect.sigma.witness import Witness

#: Most clauses that are scanned for a rule.
MAX_CLAUSES = 3
#: What an evaluation costs, in times of what one reported literal costs: in whole events, which
#: are decoded for it, and in those that are cut already.
EVALUATION = 20.0
EVALUATION_CUT = 2.0
#: Fields are scanned where this share of events has candidates, and so many in vain on average.
DENSE_EVENTS = 0.5
DENSE_CANDIDATES = 1.0

_ODD = tuple(letter.encode() for letter in ODD_LETTERS)


class Wanted:
    """A rule to find: its shrunk condition, and the fields through which it is read."""

    __slots__ = ("_witnesses", "fields", "node")

    def __init__(self, node: Node, fields: FieldMap) -> None:
        self.node = node
        self.fields = fields
        self._witnesses: dict[bool, Witness | None] = {}

    def witness(self, *, labelled: bool = False) -> Witness | None:
        """What holds where the rule matches, made once."""
        if labelled not in self._witnesses:
            self._witnesses[labelled] = witness(self.node, self.fields, labelled=labelled)
        return self._witnesses[labelled]


@dataclass(slots=True)
class Part:
    """One scan: of a field (its place among the columns) or, -1, of whole events.

    `numbers` are the plan's numbers of the scanner's literals, behind which it has the odd letters;
    `present` is the number that anything in the field has, -1 if nobody asks.
    """

    column: int
    scan: Scanner | None
    numbers: tuple[int, ...]
    present: int
    #: How often a field was scanned, and something found.
    scanned: int = 0
    heard: int = 0

    def find_in(self, cells: Sequence[Cell], hits: dict[int, set[int]]) -> None:
        """Add the numbers of what is in each of a field's cells.

        Most fields have nothing in most batches, which one look at all of them tells.
        """
        if self.present >= 0:
            for at, cell in enumerate(cells):
                if cell is not None:
                    hits.setdefault(at, set()).add(self.present)
        if self.scan is None:
            return
        if 2 * self.heard <= self.scanned:
            self.scanned += 1
            text = text_of_all(cells)
            if text and not self.scan(text):
                return
            self.heard += 1
        self.find([text_of_cell(cell) for cell in cells], hits)

    def reported(self, texts: Sequence[bytes]) -> Counter[int]:
        """How often each number is reported of these texts."""
        found = [] if self.scan is None else self.scan(b"\n".join(texts))
        known = len(self.numbers)
        return Counter(self.numbers[literal] for _, literal in found if literal < known)

    def find(self, texts: Sequence[bytes], hits: dict[int, set[int]]) -> None:
        """Add the numbers of what is in each of the texts."""
        if self.scan is None:
            return
        found = self.scan(b"\n".join(texts))
        if not found:
            return
        numbers, literals = self.numbers, len(self.numbers)
        at, stop = 0, len(texts[0]) + 1
        odd: set[int] = set()
        for end, literal in found:
            while end > stop:
                at += 1
                stop += len(texts[at]) + 1
            if literal >= literals:
                odd.add(at)
            elif at in hits:
                hits[at].add(numbers[literal])
            else:
                hits[at] = {numbers[literal]}
        for at in odd:
            again = self.scan(_plain(texts[at]))
            more = {numbers[literal] for _, literal in again if literal < literals}
            hits[at] = hits.get(at, set()) | more


@dataclass(slots=True)
class Plan:
    """`first` is each literal's candidates, `rest` the further clauses of each candidate.

    `unwitnessed` are the candidates that nothing is looked for.
    """

    parts: tuple[Part, ...]
    columns: Columns | None
    first: list[tuple[int, ...]]
    rest: list[tuple[frozenset[int], ...]]
    unwitnessed: tuple[int, ...]

    def hits(
        self, texts: Sequence[bytes], columns: Sequence[Sequence[Cell]]
    ) -> dict[int, set[int]]:
        """The literals found in each event; `columns` are what `self.columns` cuts of them."""
        hits: dict[int, set[int]] = {}
        for part in self.parts:
            if part.column < 0:
                part.find(texts, hits)
            else:
                part.find_in(columns[part.column], hits)
        return hits

    def wanted(self, hits: Collection[int]) -> list[int]:
        """The candidates all of whose clauses were found, and those that have none."""
        wanted = list(self.unwitnessed)
        tried: set[int] = set()
        for literal in hits:
            for number in self.first[literal]:
                if number not in tried:
                    tried.add(number)
                    for clause in self.rest[number]:
                        if clause.isdisjoint(hits):
                            break
                    else:
                        wanted.append(number)
        return wanted


_PLAIN = str.maketrans(dict(zip(ODD_LETTERS, "siik", strict=True)))


def _plain(text: bytes) -> bytes:
    """The text with the odd letters as the ASCII letters that they equal without case."""
    return text.decode("utf-8", "replace").translate(_PLAIN).encode()


def planned(rules: Sequence[Wanted], sample: Sequence[bytes], *, matching: float = 0.0) -> Plan:
    """Choose the clauses by what the sample shows, and build the databases.

    `matching` is how many candidates match an event, on average: no scan spares those.
    """
    found = [rule.witness() for rule in rules]
    counts = _Counts(found, sample, {}, EVALUATION)
    clauses = [counts.choose(each) for each in found]
    if not sample or not counts.dense(clauses, matching):
        return _plan(clauses, {})
    places = _places(rules)
    found = [rule.witness(labelled=True) for rule in rules]
    counts = _Counts(found, sample, places, EVALUATION_CUT)
    return _plan([counts.choose(each) for each in found], places)


def _places(rules: Iterable[Wanted]) -> dict[bytes, Mapped]:
    """The fields that the rules name, by label."""
    places: dict[bytes, Mapped] = {}
    for rule in rules:
        for name in _names(rule.node):
            places[label(name, rule.fields)] = rule.fields.places(name)
    return places


def _names(node: Node) -> set[str]:
    names = {name} if (name := getattr(node, "field", "")) else set()
    return names.union(*map(_names, node.children()))


def _plan(clauses: Sequence[list[Clause]], places: dict[bytes, Mapped]) -> Plan:
    literals = sorted({literal for each in clauses for clause in each for literal in clause})
    number = {literal: at for at, literal in enumerate(literals)}
    first: list[list[int]] = [[] for _ in literals]
    for at, each in enumerate(clauses):
        for literal in each[0] if each else ():
            first[number[literal]].append(at)
    parts, columns = _parts(literals, places)
    return Plan(
        parts,
        columns,
        [tuple(each) for each in first],
        [
            tuple(frozenset(number[literal] for literal in clause) for clause in each[1:])
            for each in clauses
        ],
        tuple(at for at, each in enumerate(clauses) if not each),
    )


def _parts(
    literals: Sequence[bytes], places: dict[bytes, Mapped]
) -> tuple[tuple[Part, ...], Columns | None]:
    """The scans for all literals, and the columns for those with a label."""
    by_label: dict[bytes, list[tuple[int, bytes]]] = {}
    for number, literal in enumerate(literals):
        name, separator, text = literal.rpartition(SEPARATOR)
        by_label.setdefault(name + separator, []).append((number, text))
    names = [name for name in by_label if name]
    parts = []
    for name, found in by_label.items():
        texts = [(number, text) for number, text in found if text]
        scan = scanner([*(text for _, text in texts), *_ODD]) if texts else None
        present = next((number for number, text in found if not text), -1)
        column = names.index(name) if name else -1
        parts.append(Part(column, scan, tuple(number for number, _ in texts), present))
    if not names:
        return tuple(parts), None
    return tuple(parts), Columns([places[name] for name in names], _shape(places))


def _shape(places: dict[bytes, Mapped]) -> Shape:
    return shape_of(path for each in places.values() for path in each.paths)


def shape(rules: Iterable[Wanted]) -> Shape:
    """What cuts all fields out of events that the rules name."""
    return _shape(_places(rules))


class _Counts:
    """In which events of the sample each literal is, as the bits of a number."""

    def __init__(
        self,
        found: Iterable[Witness | None],
        sample: Sequence[bytes],
        places: dict[bytes, Mapped],
        evaluation: float,
    ) -> None:
        self._events = len(sample)
        self._evaluation = evaluation
        self._bits: dict[bytes, int] = {}
        self._reported: dict[bytes, int] = {}
        if not sample:
            return
        literals = sorted(
            {literal for each in found if each is not None for literal in literals_of(each)}
        )
        parts, columns = _parts(literals, places)
        plan = Plan(parts, columns, [], [], ())
        cutting = _shape(places)
        wholes = [Whole(text, None, cutting) for text in sample] if columns else []
        cut = [] if columns is None else columns.cut(wholes)
        for at, numbers in plan.hits(sample, cut).items():
            for number in numbers:
                literal = literals[number]
                self._bits[literal] = self._bits.get(literal, 0) | 1 << at
        for part in parts:
            texts = sample if part.column < 0 else list(map(text_of_cell, cut[part.column]))
            for number, count in part.reported(texts).items():
                self._reported[literals[number]] = count

    def _of(self, clause: Clause) -> int:
        bits = 0
        for literal in clause:
            bits |= self._bits.get(literal, 0)
        return bits

    def _reports(self, clause: Clause) -> int:
        return sum(self._reported.get(literal, 0) for literal in clause)

    def _cost(self, clause: Clause) -> float:
        let_through = self._of(clause).bit_count() * self._evaluation
        return let_through + self._reports(clause) + guess(clause)

    def choose(self, found: Witness | None) -> list[Clause]:
        """The clause that lets the least through, and others while they save more than cost."""
        clauses = [] if found is None else sorted(set(chosen(found, self._cost)), key=self._cost)
        if not clauses or not self._events:
            return clauses[:1]
        taken, left = clauses[:1], self._of(clauses[0])
        for clause in clauses[1:]:
            bits = self._of(clause)
            saved = (left & ~bits).bit_count() * self._evaluation
            if len(taken) < MAX_CLAUSES and saved > self._reports(clause):
                taken.append(clause)
                left &= bits
        spared = (self._events - left.bit_count()) * self._evaluation
        if spared <= sum(map(self._reports, taken)):
            return []  # to evaluate it always is cheaper than to look for it
        return taken

    def dense(self, clauses: Sequence[list[Clause]], matching: float) -> bool:
        """Whether most events have candidates by these clauses, and several that do not match."""
        candidates, some = 0, 0
        for each in clauses:
            bits = (1 << self._events) - 1
            for clause in each:
                bits &= self._of(clause)
            candidates += bits.bit_count()
            some |= bits
        return (
            some.bit_count() >= DENSE_EVENTS * self._events
            and candidates >= (DENSE_CANDIDATES + matching) * self._events
        )
