"""Conditions as functions that only say whether they hold: fast, and without reasons.

A rule may name hundreds of values for a field; compared one by one they cost more than all the
rest. Equal ones become a set, beginnings and ends a tuple, and a regular expression is tried only
on values with a text that it cannot match without. What holds is evaluated again by the plain
condition, which gives the reasons; a test holds the two equal.
"""

# ruff: noqa: SIM110  # a generator costs as much again as what it goes through here

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from detect.sigma.condition import (
    And,
    Exists,
    FieldItem,
    FieldReference,
    Node,
    Not,
    Null,
    Or,
    refers,
)
from detect.sigma.many import MANY, Texts, texts_of
from detect.sigma.patterns import AnyOf, Pattern, Regex, Text, Wildcard, compile_regex, needed
from detect.sigma.regex_literals import required, width
from detect.sigma.values import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from detect.sigma.condition import Expectation
    from detect.sigma.event import Reader
    from detect.sigma.values import Value

    Decision = Callable[[Reader], bool]
    Acceptance = Callable[[Value], bool]

T = TypeVar("T")


def decision(node: Node) -> Decision:
    """The function of a condition."""
    match node:
        case And(parts=parts):
            return every_of([decision(part) for part in parts])
        case Or(parts=parts):
            return some_of([decision(part) for part in parts])
        case Not(part=part):
            inner = decision(part)
            return lambda reader: not inner(reader)
        case FieldItem():
            return _item(node)
        case _:
            return lambda reader: node.evaluate(reader) is not None


def every_of(parts: Sequence[Callable[[T], bool]]) -> Callable[[T], bool]:
    """Whether all of them hold."""
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        first, second = parts
        return lambda each: first(each) and second(each)

    def every(each: T) -> bool:
        for part in parts:
            if not part(each):
                return False
        return True

    return every


def some_of(parts: Sequence[Callable[[T], bool]]) -> Callable[[T], bool]:
    """Whether one of them holds."""
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        first, second = parts
        return lambda each: first(each) or second(each)

    def some(each: T) -> bool:
        for part in parts:
            if part(each):
                return True
        return False

    return some


def _item(item: FieldItem) -> Decision:
    name = item.field
    if item.every:
        parts = [one_of(name, [each]) for each in item.expectations]
        return every_of(parts)
    return one_of(name, item.expectations)


def one_of(name: str, expectations: Sequence[Expectation]) -> Decision:
    """Whether the field satisfies one of what is asked for."""
    decisions = [_special(name, each) for each in expectations if isinstance(each, _SPECIAL)]
    patterns = [each for each in expectations if not isinstance(each, _SPECIAL)]
    if patterns:
        decisions.append(_accepting(name, patterns))
    return some_of(decisions)


def _special(name: str, expectation: Null | Exists | FieldReference) -> Decision:
    match expectation:
        case Null():
            return lambda reader: not (reader.fields.get(name) or reader.field(name)).values
        case Exists(expected):
            return lambda reader: reader.field(name).present is expected
        case _:
            return partial(_refers, expectation, name)


def _refers(reference: FieldReference, name: str, reader: Reader) -> bool:
    values = reader.field(name).values
    if not values:
        return False
    others = reader.field(reference.other).values
    return any(refers(reference, value, other) for value in values for other in others)


def _accepting(name: str, patterns: Sequence[Pattern]) -> Decision:
    """Whether one of the field's values is accepted; the usual ones without a call for each."""
    groups, others = _sorted(patterns)
    asked = [operator for operator, texts in groups.items() if texts]
    if not others and len(asked) == 1 and len(groups[asked[0]]) <= MANY:
        return _DECISIONS[asked[0]](name, tuple(groups[asked[0]]))
    accept = acceptance(patterns)

    def one(reader: Reader) -> bool:
        for value in (reader.fields.get(name) or reader.field(name)).values:
            if accept(value):
                return True
        return False

    return one


def _equals(name: str, texts: tuple[str, ...]) -> Decision:
    known = frozenset(texts)

    def equals(reader: Reader) -> bool:
        for value in (reader.fields.get(name) or reader.field(name)).values:
            if value.folded in known:
                return True
        return False

    return equals


def _starts(name: str, texts: tuple[str, ...]) -> Decision:
    def starts(reader: Reader) -> bool:
        for value in (reader.fields.get(name) or reader.field(name)).values:
            if value.folded.startswith(texts):
                return True
        return False

    return starts


def _ends(name: str, texts: tuple[str, ...]) -> Decision:
    def ends(reader: Reader) -> bool:
        for value in (reader.fields.get(name) or reader.field(name)).values:
            if value.folded.endswith(texts):
                return True
        return False

    return ends


def _contains(name: str, texts: tuple[str, ...]) -> Decision:
    def contains(reader: Reader) -> bool:
        for value in (reader.fields.get(name) or reader.field(name)).values:
            subject = value.folded
            for text in texts:
                if text in subject:
                    return True
        return False

    return contains


_DECISIONS: dict[str, Callable[[str, tuple[str, ...]], Decision]] = {
    "": _equals,
    "startswith": _starts,
    "endswith": _ends,
    "contains": _contains,
}
_SPECIAL = (Null, Exists, FieldReference)


def _sorted(patterns: Sequence[Pattern]) -> tuple[dict[str, list[str]], list[Acceptance]]:
    """The caseless texts by their operator, and what accepts the others."""
    groups: dict[str, list[str]] = {"": [], "startswith": [], "endswith": [], "contains": []}
    others: list[Acceptance] = []
    for pattern in flat(patterns):
        match pattern:
            case Text(operator=operator, text=text, cased=False):
                groups[operator].append(text)
            case Regex():
                others.append(_guarded(pattern))
            case Wildcard(cased=False):
                others.append(_guarded_wildcard(pattern))
            case _:
                others.append(pattern.accepts)
    return groups, others


def acceptance(patterns: Sequence[Pattern]) -> Acceptance:
    """Whether one of the patterns accepts a value."""
    groups, others = _sorted(patterns)
    found = [*_grouped(groups), *others]
    if len(found) == 1:
        return found[0]

    def accept(value: Value) -> bool:
        for each in found:
            if each(value):
                return True
        return False

    return accept


def flat(patterns: Iterable[Expectation]) -> Iterable[Pattern]:
    """The patterns, with the several that a modifier made of one in its place."""
    for pattern in patterns:
        if isinstance(pattern, AnyOf):
            yield from flat(pattern.patterns)
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
        yield _containingone_of(texts_of(tuple(groups["contains"])))
    elif groups["contains"]:
        yield _containing(tuple(groups["contains"]))


def _containingone_of(texts: Texts) -> Acceptance:
    return lambda value: texts.any_in(value.folded)


def _containing(texts: tuple[str, ...]) -> Acceptance:
    def contains(value: Value) -> bool:
        subject = value.folded
        for text in texts:
            if text in subject:
                return True
        return False

    return contains


def _guarded_wildcard(pattern: Wildcard) -> Acceptance:
    text = needed(pattern)
    return lambda value: text in value.folded and pattern.accepts(value)


def _guarded(pattern: Regex) -> Acceptance:
    """The expression, tried where a text that it needs is, on values that are long enough."""
    shortest = width(pattern.source)
    texts = tuple(fold(text) for text in required(pattern.source) or ())
    if not texts or not all(text.isascii() for text in texts):
        return lambda value: len(value.text) >= shortest and _search(pattern, value)

    def accept(value: Value) -> bool:
        subject = value.folded
        if len(value.text) < shortest:
            return False
        if not subject.isascii():
            return _search(pattern, value)  # letters that equal an ASCII one without case
        for text in texts:
            if text in subject:
                return _search(pattern, value)
        return False

    return accept


def accepted_by_search(pattern: Regex) -> Acceptance:
    """Whether the expression is found in a value."""
    return partial(_search, pattern)


def _search(pattern: Regex, value: Value) -> bool:
    """As `pattern.accepts`; of bytes RE2's binding counts no characters, which takes longer."""
    text = value.text.encode("utf-8", "replace")
    return compile_regex(pattern.source).search(text) is not None
