"""Conditions as functions that only say whether they hold: fast, and without reasons.

A rule may name hundreds of values for a field; compared one by one they cost more than all the
rest. Equal ones become a set, beginnings and ends a tuple, and a regular expression is tried only
on values with a text that it cannot match without. What holds is evaluated again by the plain
condition, which gives the reasons; a test holds the two equal.
"""

# ruff: noqa: SIM110  # a generator costs as much again as what it goes through here

from __future__ import annotations

from typing import TYPE_CHECKING

from detect.sigma.condition import And, Exists, FieldItem, FieldReference, Node, Not, Null, Or
from detect.sigma.many import MANY, Texts, texts_of
from detect.sigma.patterns import AnyOf, Pattern, Regex, Text
from detect.sigma.regex_literals import required
from detect.sigma.values import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from detect.sigma.condition import Expectation
    from detect.sigma.event import Reader
    from detect.sigma.values import Value

    Decision = Callable[[Reader], bool]
    Acceptance = Callable[[Value], bool]


def decision(node: Node) -> Decision:
    """The function of a condition."""
    match node:
        case And(parts=parts):
            return _all([decision(part) for part in parts])
        case Or(parts=parts):
            return _any([decision(part) for part in parts])
        case Not(part=part):
            inner = decision(part)
            return lambda reader: not inner(reader)
        case FieldItem():
            return _item(node)
        case _:
            return lambda reader: node.evaluate(reader) is not None


def _all(parts: Sequence[Decision]) -> Decision:
    if len(parts) == 2:
        first, second = parts
        return lambda reader: first(reader) and second(reader)

    def every(reader: Reader) -> bool:
        for part in parts:
            if not part(reader):
                return False
        return True

    return every


def _any(parts: Sequence[Decision]) -> Decision:
    if len(parts) == 2:
        first, second = parts
        return lambda reader: first(reader) or second(reader)

    def some(reader: Reader) -> bool:
        for part in parts:
            if part(reader):
                return True
        return False

    return some


def _item(item: FieldItem) -> Decision:
    if any(isinstance(each, Null | Exists | FieldReference) for each in item.expectations):
        return lambda reader: item.evaluate(reader) is not None
    patterns = [each for each in item.expectations if not isinstance(each, _SPECIAL)]
    name = item.field
    if item.every:
        accepted = [acceptance([pattern]) for pattern in patterns]

        def each(reader: Reader) -> bool:
            values = reader.field(name).values
            return bool(values) and all(any(map(accept, values)) for accept in accepted)

        return each
    accept = acceptance(patterns)

    def one(reader: Reader) -> bool:
        for value in reader.field(name).values:
            if accept(value):
                return True
        return False

    return one


_SPECIAL = (Null, Exists, FieldReference)


def acceptance(patterns: Sequence[Pattern]) -> Acceptance:
    """Whether one of the patterns accepts a value."""
    groups: dict[str, list[str]] = {"": [], "startswith": [], "endswith": [], "contains": []}
    others: list[Acceptance] = []
    for pattern in _flat(patterns):
        match pattern:
            case Text(operator=operator, text=text, cased=False):
                groups[operator].append(text)
            case Regex():
                others.append(_guarded(pattern))
            case _:
                others.append(pattern.accepts)
    found = [*_grouped(groups), *others]
    if len(found) == 1:
        return found[0]

    def accept(value: Value) -> bool:
        for each in found:
            if each(value):
                return True
        return False

    return accept


def _flat(patterns: Iterable[Expectation]) -> Iterable[Pattern]:
    for pattern in patterns:
        if isinstance(pattern, AnyOf):
            yield from _flat(pattern.patterns)
        else:
            yield pattern  # type: ignore[misc]  # the special ones never come here


def _grouped(groups: dict[str, list[str]]) -> Iterable[Acceptance]:
    if groups[""]:
        equal = frozenset(groups[""])
        yield lambda value: value.folded in equal
    if groups["endswith"]:
        ends = tuple(groups["endswith"])
        yield lambda value: value.folded.endswith(ends)
    if groups["startswith"]:
        starts = tuple(groups["startswith"])
        yield lambda value: value.folded.startswith(starts)
    if len(groups["contains"]) == 1:
        [text] = groups["contains"]
        yield lambda value: text in value.folded
    elif len(groups["contains"]) > MANY:
        yield _containing_one_of(texts_of(tuple(groups["contains"])))
    elif groups["contains"]:
        yield _containing(tuple(groups["contains"]))


def _containing_one_of(texts: Texts) -> Acceptance:
    return lambda value: texts.any_in(value.folded)


def _containing(texts: tuple[str, ...]) -> Acceptance:
    def contains(value: Value) -> bool:
        subject = value.folded
        for text in texts:
            if text in subject:
                return True
        return False

    return contains


def _guarded(pattern: Regex) -> Acceptance:
    """The expression, tried where a text that it needs is."""
    needed = tuple(fold(text) for text in required(pattern.source) or ())
    if not needed or not all(text.isascii() for text in needed):
        return pattern.accepts

    def accept(value: Value) -> bool:
        subject = value.folded
        if not subject.isascii():
            return pattern.accepts(value)  # letters that equal an ASCII one without case
        for text in needed:
            if text in subject:
                return pattern.accepts(value)
        return False

    return accept
