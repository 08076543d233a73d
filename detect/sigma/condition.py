"""The compiled condition of a rule: a tree that is evaluated on an event and says why.

`evaluate` gives None for no match, else the hits that made it match. A NOT that holds has
nothing to show, so a match without hits is possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from detect.sigma.patterns import Pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.sigma.event import Field, Reader
    from detect.sigma.values import Value


class Hit(NamedTuple):
    """One value of the event that satisfied one value of the rule."""

    selection: str
    field: str
    path: str
    modifiers: str
    expected: str
    value: str


Hits = tuple[Hit, ...]


class Node(Protocol):
    """A part of a condition."""

    def evaluate(self, reader: Reader) -> Hits | None: ...

    def children(self) -> tuple[Node, ...]: ...

    def label(self) -> str:
        """What the part asks for, for people."""
        ...


@dataclass(frozen=True, slots=True)
class And:
    """All parts must hold."""

    parts: tuple[Node, ...]

    def evaluate(self, reader: Reader) -> Hits | None:
        hits: Hits = ()
        for part in self.parts:
            found = part.evaluate(reader)
            if found is None:
                return None
            hits += found
        return hits

    def children(self) -> tuple[Node, ...]:
        return self.parts

    def label(self) -> str:
        return "all of"


@dataclass(frozen=True, slots=True)
class Or:
    """One part suffices; the first that holds is the reason."""

    parts: tuple[Node, ...]

    def evaluate(self, reader: Reader) -> Hits | None:
        for part in self.parts:
            found = part.evaluate(reader)
            if found is not None:
                return found
        return None

    def children(self) -> tuple[Node, ...]:
        return self.parts

    def label(self) -> str:
        return "any of"


@dataclass(frozen=True, slots=True)
class Not:
    """The part must not hold."""

    part: Node

    def evaluate(self, reader: Reader) -> Hits | None:
        return () if self.part.evaluate(reader) is None else None

    def children(self) -> tuple[Node, ...]:
        return (self.part,)

    def label(self) -> str:
        return "not"


@dataclass(frozen=True, slots=True)
class Null:
    """`field: null`: the key is absent, null or an empty list."""

    def __str__(self) -> str:
        return "null"


@dataclass(frozen=True, slots=True)
class Exists:
    """`field|exists`: the key is there (or not), whatever it holds."""

    expected: bool

    def __str__(self) -> str:
        return "true" if self.expected else "false"


@dataclass(frozen=True, slots=True)
class FieldReference:
    """`field|fieldref`: equal to, or starting or ending with or containing, another field."""

    other: str
    starts: bool = False
    ends: bool = False
    cased: bool = False

    def __str__(self) -> str:
        return self.other


#: What a field's item may ask for.
Expectation = Pattern | Null | Exists | FieldReference


@dataclass(frozen=True, slots=True)
class FieldItem:
    """A field and the values it is compared with: one suffices, or (`every`) all must hold."""

    selection: str
    field: str
    modifiers: str
    expectations: tuple[Expectation, ...]
    every: bool = False

    def evaluate(self, reader: Reader) -> Hits | None:
        field = reader.field(self.field)
        hits: list[Hit] = []
        for expectation in self.expectations:
            value = _satisfying(expectation, field, reader)
            if value is None:
                if self.every:
                    return None
                continue
            hits.append(
                Hit(
                    self.selection,
                    self.field,
                    field.path,
                    self.modifiers,
                    str(expectation),
                    value,
                )
            )
            if not self.every:
                break
        return tuple(hits) or None

    def children(self) -> tuple[Node, ...]:
        return ()

    def label(self) -> str:
        values = (" and " if self.every else " or ").join(map(str, self.expectations))
        modifiers = f"|{self.modifiers}" if self.modifiers else ""
        return f"{self.selection}: {self.field}{modifiers}: {values}"


def _satisfying(expectation: Expectation, field: Field, reader: Reader) -> str | None:
    """The text of the value that satisfies; None if none does."""
    match expectation:
        case Null():
            return None if field.values else "null"
        case Exists(expected):
            return str(expectation) if field.present is expected else None
        case FieldReference():
            others = reader.field(expectation.other).values
            for value in field.values:
                if any(refers(expectation, value, other) for other in others):
                    return value.text
            return None
        case pattern:
            for value in field.values:
                if pattern.accepts(value):
                    return value.text
            return None


def refers(reference: FieldReference, value: Value, referred: Value) -> bool:
    """Whether the value is to the other as the reference says."""
    text = value.text if reference.cased else value.folded
    other = referred.text if reference.cased else referred.folded
    match reference.starts, reference.ends:
        case True, True:
            return other in text
        case True, False:
            return text.startswith(other)
        case False, True:
            return text.endswith(other)
        case _:
            return text == other


@dataclass(frozen=True, slots=True)
class KeywordItem:
    """Texts looked for in the whole event: one suffices, or (`every`) each must be somewhere.

    `needs` holds for each pattern a text without which it cannot match: looking for that in the
    whole event at once spares most events the walk through their leaves.
    """

    selection: str
    modifiers: str
    patterns: tuple[Pattern, ...]
    needs: tuple[str, ...]
    every: bool = False

    def evaluate(self, reader: Reader) -> Hits | None:
        text = reader.text()
        hits: list[Hit] = []
        for pattern, need in zip(self.patterns, self.needs, strict=True):
            hit = self._find(pattern, reader) if need in text else None
            if hit is not None:
                hits.append(hit)
                if not self.every:
                    break
            elif self.every:
                return None
        return tuple(hits) or None

    def _find(self, pattern: Pattern, reader: Reader) -> Hit | None:
        for path, value in reader.leaves():
            if pattern.accepts(value):
                return Hit(self.selection, "", path, self.modifiers, str(pattern), value.text)
        return None

    def children(self) -> tuple[Node, ...]:
        return ()

    def label(self) -> str:
        values = (" and " if self.every else " or ").join(map(str, self.patterns))
        return f"{self.selection}: keywords: {values}"


class Step(NamedTuple):
    """One line of an explanation: how deep, what was asked, whether it held, what was there."""

    depth: int
    asked: str
    held: bool
    found: tuple[str, ...]


def explain(node: Node, reader: Reader, depth: int = 0) -> Iterator[Step]:
    """Every part of the condition with its verdict, without stopping at the first that decides.

    The depth is bounded by that of the rule, which was bounded when it was read.
    """
    held = node.evaluate(reader) is not None
    found: tuple[str, ...] = ()
    if isinstance(node, FieldItem):
        found = tuple(value.text for value in reader.field(node.field).values)
    yield Step(depth, node.label(), held, found)
    for child in node.children():
        yield from explain(child, reader, depth + 1)
