"""What must stand in an event for a rule to match, and what is known of it by its bucket alone.

A *witness* is a set of clauses that all hold for every event a rule matches (detect.sigma.literals
says what a clause is). Events of one bucket agree in some fields (`Known`); with those a condition
shrinks first: what they decide is neither scanned for nor evaluated again.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import orjson

from detect.sigma.columns import label
from detect.sigma.condition import (
    And,
    Exists,
    FieldItem,
    FieldReference,
    KeywordItem,
    Node,
    Not,
    Null,
    Or,
)
from detect.sigma.literals import Clause, clause_of, first_digits, union
from detect.sigma.patterns import AnyOf, Compare, Number, Text
from detect.sigma.values import Value, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from detect.sigma.condition import Expectation
    from detect.sigma.event import FieldMap
    from detect.sigma.patterns import Pattern


@dataclass(frozen=True, slots=True)
class Always:
    """The bucket alone decides: the condition holds (or never does) for each of its events."""

    holds: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What all events of a bucket have in some fields, by dotted path.

    A tuple of the field's texts (empty: absent or null), or None where only this is known: the
    value is none of those that rules compare the field with.
    """

    fields: Mapping[str, tuple[str, ...] | None]

    def decides(self, item: FieldItem, fields: FieldMap) -> bool | None:
        """Whether the item holds for the bucket's events; None if they differ or may."""
        mapped = fields.places(item.field)
        if not mapped.plain:
            return None
        for path in mapped.paths:
            if path.name not in self.fields:
                return None
            texts = self.fields[path.name]
            if texts is None:
                return _unheard(item)
            if texts:
                return _holds(item, tuple(map(value, texts)))
        return _holds(item, ())


def _holds(item: FieldItem, values: tuple[Value, ...]) -> bool | None:
    verdicts = [_accepted(expectation, values) for expectation in item.expectations]
    if None in verdicts:
        return None
    return all(verdicts) if item.every else any(verdicts)


def _accepted(expectation: Expectation, values: tuple[Value, ...]) -> bool | None:
    match expectation:
        case Null():
            return not values
        case Exists() | FieldReference():
            return None
        case pattern:
            # A number of the event is a text here: what compares numbers is left open.
            if values and not isinstance(pattern, Text):
                return None if not _plain_number(pattern) else _equal(pattern, values)
            return any(pattern.accepts(each) for each in values)


def _plain_number(pattern: Pattern) -> bool:
    return isinstance(pattern, Number) and isinstance(pattern.number, int)


def _equal(pattern: Pattern, values: tuple[Value, ...]) -> bool:
    return any(str(pattern) == each.text for each in values)


def _unheard(item: FieldItem) -> bool | None:
    """The value is none that a rule names: a comparison for equality fails."""
    if all(equality(expectation) for expectation in item.expectations):
        return False
    return None


def equality(expectation: Expectation) -> bool:
    """Whether this asks for one exact value, which `compared` lists."""
    match expectation:
        case Text(operator=""):
            return True
        case Number(number=int()):
            return True
        case AnyOf(patterns=patterns):
            return all(map(equality, patterns))
        case _:
            return False


def compared(expectation: Expectation) -> list[str]:
    """The values that an equality asks for, folded."""
    match expectation:
        case Text(operator="", text=text):
            return [text.lower()]
        case Number(number=int() as number):
            return [str(number)]
        case AnyOf(patterns=patterns):
            return list(chain.from_iterable(map(compared, patterns)))
        case _:
            return []


def shrink(node: Node, fields: FieldMap, known: Known) -> Node | Always:
    """The condition without what the bucket decides."""
    match node:
        case FieldItem():
            verdict = known.decides(node, fields)
            return node if verdict is None else Always(verdict)
        case Not(part=part):
            inner = shrink(part, fields, known)
            return Always(not inner.holds) if isinstance(inner, Always) else Not(inner)
        case And(parts=parts) | Or(parts=parts):
            return _shrink_all(node, parts, fields, known)
        case _:
            return node


def _shrink_all(
    node: And | Or, parts: Sequence[Node], fields: FieldMap, known: Known
) -> Node | Always:
    decisive = isinstance(node, Or)
    left: list[Node] = []
    for part in parts:
        inner = shrink(part, fields, known)
        if not isinstance(inner, Always):
            left.append(inner)
        elif inner.holds is decisive:
            return inner
    if not left:
        return Always(not decisive)
    return left[0] if len(left) == 1 else type(node)(tuple(left))


@dataclass(frozen=True, slots=True)
class Every:
    """All of these parts of a witness hold."""

    parts: tuple[Witness, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """One of these parts of a witness holds."""

    parts: tuple[Witness, ...]


Witness = Clause | Every | Some


def witness(node: Node, fields: FieldMap, *, labelled: bool = False) -> Witness | None:
    """What holds for every event the condition matches; None if nothing is known.

    `labelled`: the literals begin with the label of the one field in which they are looked for
    (detect.sigma.columns); the label alone stands for anything in the field.
    """
    match node:
        case And(parts=parts):
            found = [witness(part, fields, labelled=labelled) for part in parts]
            return _every(found if labelled else [*found, *_ranges(parts, fields)])
        case Or(parts=parts):
            return _some([witness(part, fields, labelled=labelled) for part in parts])
        case FieldItem(expectations=expectations, every=every):
            find = _in_field if labelled else _of_expectation
            return _combined([find(e, node, fields) for e in expectations], every)
        case KeywordItem(patterns=patterns, every=every):
            return _combined([clause_of(pattern) for pattern in patterns], every)
        case _:
            return None


def _ranges(parts: Sequence[Node], fields: FieldMap) -> Iterator[Clause]:
    """Clauses of fields that are compared with a least and a greatest number.

    A number between is written with one of few first digits. Anything else that may satisfy both
    begins with a quotation mark, or has a list on the way: of several values one may be above the
    least and another below the greatest.
    """
    bounds: dict[str, dict[str, Compare]] = {}
    for part in parts:
        match part:
            case FieldItem(field=name, expectations=(Compare() as compare,)):
                bounds.setdefault(name, {})[compare.operator[0]] = compare
    for name, found in bounds.items():
        places = fields.places(name)
        if len(found) == 2 and places.plain:
            digits = first_digits(found["g"], found["l"])
            keys = {path.keys[-1] for path in places.paths}
            listed = {key for path in places.paths for key in path.keys}
            if digits:
                yield frozenset(
                    _member(key) + start.encode() for key in keys for start in ('"', *digits)
                ) | {_member(key) + b"[" for key in listed}


def _every(parts: list[Witness | None]) -> Witness | None:
    kept = tuple(part for part in parts if part is not None)
    return kept[0] if len(kept) == 1 else Every(kept) if kept else None


def _some(parts: list[Witness | None]) -> Witness | None:
    kept = tuple(part for part in parts if part is not None)
    return None if len(kept) < len(parts) else kept[0] if len(kept) == 1 else Some(kept)


def _combined(found: list[Clause | None], every: bool) -> Witness | None:
    return _every(list(found)) if every else union(found)


def chosen(found: Witness, cost: Callable[[Clause], float]) -> list[Clause]:
    """The clauses of a witness, of alternatives the cheapest of each together."""
    match found:
        case Every(parts=parts):
            return list(chain.from_iterable(chosen(part, cost) for part in parts))
        case Some(parts=parts):
            whole = union(_cheapest(part, cost) for part in parts)
            return [] if whole is None else [whole]
        case _:
            return [found]


def _cheapest(found: Witness, cost: Callable[[Clause], float]) -> Clause | None:
    return min(chosen(found, cost), key=cost, default=None)


def literals_of(found: Witness) -> Iterator[bytes]:
    """Every literal of a witness."""
    if isinstance(found, Every | Some):
        for part in found.parts:
            yield from literals_of(part)
    else:
        yield from found


def _of_expectation(expectation: Expectation, item: FieldItem, fields: FieldMap) -> Clause | None:
    match expectation:
        case Null():
            return None
        case Exists(expected):
            return _of_key(item.field, fields) if expected else None
        case FieldReference():
            return _of_key(item.field, fields)
        case pattern:
            renamed = fields.places(item.field).values
            return _of_pattern(pattern, renamed) or _of_key(item.field, fields)


def _in_field(expectation: Expectation, item: FieldItem, fields: FieldMap) -> Clause | None:
    match expectation:
        case Null() | Exists(False):
            return None
        case Exists() | FieldReference():
            found = None
        case pattern:
            found = _of_pattern(pattern, fields.places(item.field).values)
    name = label(item.field, fields)
    return frozenset({name}) if found is None else frozenset(name + literal for literal in found)


def _of_pattern(pattern: Pattern, renamed: Mapping[str, str]) -> Clause | None:
    """The pattern's clause, and what stands in events for the values that it accepts."""
    others = [raw for raw, name in renamed.items() if pattern.accepts(value(name))]
    return union([clause_of(pattern), *(clause_of(Text("", raw)) for raw in others)])


def _of_key(name: str, fields: FieldMap) -> Clause | None:
    """The field's last key, in every place where it may be; also as the end of a flat name."""
    keys = {path.keys[-1] for path in fields.places(name).paths}
    return frozenset(map(_member, keys))


def _member(key: str) -> bytes:
    """How a key stands before its value; also as the end of a flat name."""
    return orjson.dumps(key)[1:].lower() + b":"


def guess(clause: Clause) -> float:
    """How much a clause lets through, by the lengths of its literals alone: less is better.

    Good enough where nothing has been counted yet.
    """
    return sum(26.0 ** -min(len(literal), 12) for literal in clause)
