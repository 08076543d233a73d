"""Correlations the slow and obvious way: all events in memory, every window looked at.

Rule tests use it, and it is what faster correlators are compared with. `hits` of a correlation
are the events that completed a window; of a window that is decided as a whole the last one known
by its end. Such a window is decided once an event is at or behind its end, and what must not happen
after an event once one is a timespan behind it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from detect.conditions import Closing, number
from detect.measured import measured

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from detect.conditions import Condition, Number
    from detect.model import Correlation
    from detect.sigma.event import Reader
    from detect.sigma.ruleset import RuleSet


class Occurrence(NamedTuple):
    """A rule (or correlation) was satisfied at `at` (ms) by the event at position `event`."""

    at: int
    event: int


class Member(NamedTuple):
    """An event of a group, with one of the values that are measured of it."""

    at: int
    event: int
    value: str


Group = tuple[tuple[str, str], ...]


#: Reads a field of what happened: of an event, or of a correlation's group.
Read = Callable[[str], tuple[str, ...]]
Happened = list[tuple[Occurrence, Read]]


def replay(
    ruleset: RuleSet, events: Sequence[tuple[int, Mapping[str, Any]]]
) -> dict[str, list[Occurrence]]:
    """What each rule and correlation of the set makes of `events` ((ms, event), any order)."""
    happened: dict[str, Happened] = defaultdict(list)
    for position, (at, event) in enumerate(events):
        for match in ruleset.match(event):
            occurrence = Occurrence(at, position)
            happened[match.rule.rule.id].append((occurrence, partial(_texts, match.reader)))
    end = max((at for at, _ in events), default=0)
    waiting = list(ruleset.correlations)
    while waiting:
        known = {c.rule.id for c in waiting}
        correlation = next(c for c in waiting if not known & set(c.references))
        waiting.remove(correlation)
        for group, members in _groups(correlation, happened).items():
            recall = partial(_recalled, dict(group))
            found = satisfied(correlation.condition, members, end)
            happened[correlation.rule.id] += [(Occurrence(m.at, m.event), recall) for m in found]
    return {rule: sorted({found for found, _ in hits}) for rule, hits in happened.items() if hits}


def _texts(reader: Reader, name: str) -> tuple[str, ...]:
    return tuple(value.text for value in reader.field(name).values)


def _recalled(group: dict[str, str], name: str) -> tuple[str, ...]:
    return (group[name],) if name in group else ()


def _aliased(correlation: Correlation, rule: str, read: Read, name: str) -> tuple[str, ...]:
    return read(correlation.aliases.get(name, {}).get(rule, name))


def _groups(correlation: Correlation, happened: Mapping[str, Happened]) -> dict[Group, set[Member]]:
    groups: dict[Group, set[Member]] = defaultdict(set)
    for rule in dict.fromkeys(correlation.references):
        for (at, event), read in happened.get(rule, []):
            aliased = partial(_aliased, correlation, rule, read)
            for values in product(*map(aliased, correlation.group_by)):
                group = tuple(zip(correlation.group_by, values, strict=True))
                for value in measured(correlation, str(event), rule, aliased):
                    groups[group].add(Member(at, event, value))
    return groups


def satisfied(condition: Condition, members: Collection[Member], end: int) -> Iterator[Member]:
    """The events of a group that satisfy the condition; `end` is the time of the last of all."""
    if condition.closing is Closing.WINDOW:
        yield from _windows(condition, members, end)
        return
    until = end - (condition.timespan if condition.forbidden else 0)
    for last in sorted(members):
        if last.at > until:
            break
        window = [m for m in members if last.at - condition.timespan < m.at <= last.at]
        if condition.measure == "terms":
            holds = _terms(condition, last, window, members)
        elif condition.measure == "chain":
            holds = condition.holds(_chain(condition.order, window, last))
        else:
            holds = condition.holds(_measure(condition, window) or 0)
        if holds:
            yield last


def _windows(condition: Condition, members: Collection[Member], end: int) -> Iterator[Member]:
    span = condition.timespan
    starts = {m.at // span * span for m in members}
    for start in sorted(starts):
        window = [m for m in members if start <= m.at < start + span]
        found = _measure(condition, window)
        if start + span <= end and found is not None and condition.holds(found):
            yield max(window)
        silent = start + span not in starts
        if silent and start + 2 * span <= end and condition.empty_holds:
            yield max(window)


def _measure(condition: Condition, window: Collection[Member]) -> Number | None:
    match condition.measure:
        case "events":
            return len({m.event for m in window})
        case "values" | "rules":
            return len({m.value for m in window})
        case "chain":
            return max((_chain(condition.order, window, m) for m in window), default=0)
    numbers: list[Fraction] = sorted(Fraction(number(m.value)) for m in window)
    half, odd = divmod(len(numbers), 2)
    match condition.measure:
        case "sum":
            return sum((each for each in numbers if each > 0), Fraction(0))
        case _ if not numbers:
            return None
        case "average":
            return Fraction(sum(numbers)) / len(numbers)
        case "median":
            return numbers[half] if odd else (numbers[half - 1] + numbers[half]) / 2
        case _:
            return next(
                each
                for place, each in enumerate(numbers, 1)
                if place * 100 >= condition.percentile * len(numbers)
            )


def _chain(order: Sequence[str], window: Collection[Member], last: Member) -> int:
    """The most rules of the order that happened one after the other, `last` being the last.

    Events of one instant are in order.
    """
    instants: dict[int, set[str]] = defaultdict(set)
    for member in window:
        instants[member.at].add(member.value)
    before = [0] * len(order)
    for at in sorted(instants):
        now = [0] * len(order)
        for place, rule in enumerate(order):
            if rule in instants[at]:
                now[place] = 1 + max([0, *before[:place], *now[:place]])
        if at == last.at:
            return max([0, *(n for rule, n in zip(order, now, strict=True) if rule == last.value)])
        before = [max(old, new) for old, new in zip(before, now, strict=True)]
    return 0


def _terms(
    condition: Condition, last: Member, window: Collection[Member], members: Collection[Member]
) -> bool:
    near = {m.value for m in members if abs(m.at - last.at) < condition.timespan}
    there = {m.value for m in window}
    for term in condition.terms:
        if last.value not in term.rules or not there >= set(term.rules):
            continue
        ordered = _chain(term.rules, window, last) == len(term.rules)
        if near.isdisjoint(term.without) and (ordered or not condition.ordered):
            return True
    return False
