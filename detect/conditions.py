"""When a group of events satisfies a correlation, and when that can be known.

A correlation measures the events of a window (how many, how many different values or rules, how
many rules in their order, a sum, an average, a percentile) and compares, or asks for rules that
are there and rules that are not. What is compared with `gt` and `gte`, and what asks for rules, is
looked for in the window that ends with an event, (t - timespan, t]. What is compared otherwise is
measured in windows that follow each other from the epoch on, because part of a window always
holds less than the whole.

What more events only make more true is known at once, whatever the order they come in: the others
wait until no event in time can come any more.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Operator: TypeAlias = Literal["gte", "gt", "lte", "lt", "eq", "neq"]
Number: TypeAlias = int | Fraction

#: What is measured: events, different values, different rules, rules in their order, the sum, the
#: average, the median or a percentile of values; or which rules are there at all.
Measure: TypeAlias = Literal[
    "events", "values", "rules", "chain", "sum", "average", "median", "percentile", "terms"
]

#: [at, event id, value, offset, fired, shown, member]; see detect.sliding and detect.slices.
Entry: TypeAlias = Sequence[Any]
AT, EVENT, VALUE, OFFSET, FIRED, SHOWN, MEMBER = range(7)

_COMPARE: dict[Operator, Callable[[Number, Number], bool]] = {
    "gte": operator.ge,
    "gt": operator.gt,
    "lte": operator.le,
    "lt": operator.lt,
    "eq": operator.eq,
    "neq": operator.ne,
}
_GROWING = ("gte", "gt")
_NUMERIC = ("sum", "average", "median", "percentile")
#: A window without events has this measure: none, for what is nothing without values.
_EMPTY: dict[Measure, int] = {"events": 0, "values": 0, "rules": 0, "chain": 0, "sum": 0}


class Bound(NamedTuple):
    """A comparison of the measure with a number."""

    operator: Operator
    number: Number

    def holds(self, measured: Number) -> bool:
        return _COMPARE[self.operator](measured, self.number)


class Term(NamedTuple):
    """Rules that must be there (in this order, where the condition is ordered), and must not."""

    rules: tuple[str, ...]
    without: frozenset[str] = frozenset()


class Closing(Enum):
    """When a condition is decided: at once, when the event is passed, when its window is."""

    AT_ONCE = "at once"
    PASSED = "passed"
    WINDOW = "window"


@dataclass(frozen=True, slots=True)
class Condition:
    """What a group must satisfy within `timespan` (ms).

    `order` is for the measure "chain", `terms` (alternatives) for "terms", where `ordered` asks
    for their rules in order; `percentile` (0 to 100) for "percentile".
    """

    measure: Measure
    timespan: int
    bounds: tuple[Bound, ...] = ()
    order: tuple[str, ...] = ()
    terms: tuple[Term, ...] = ()
    ordered: bool = False
    percentile: Number = 0
    #: When it is known whether an event, or a window, satisfies this.
    closing: Closing = field(init=False, compare=False, repr=False)
    #: A number of different values, or events, below which no window satisfies this.
    least: int = field(init=False, compare=False, repr=False)
    #: Rules that some alternative must be without.
    forbidden: frozenset[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.timespan <= 0:
            raise ValueError("a window needs a timespan above zero")
        if self.measure == "chain" and not self.order:
            raise ValueError("an ordered window needs the order of its rules")
        if self.measure == "terms":
            if not self.terms or not all(term.rules for term in self.terms):
                raise ValueError("each alternative of a window needs a rule that must be there")
        elif not self.bounds:
            raise ValueError("a window needs a number to compare with")
        forbidden = frozenset(rule for term in self.terms for rule in term.without)
        object.__setattr__(self, "forbidden", forbidden)
        object.__setattr__(self, "closing", self._closing())
        object.__setattr__(self, "least", self._least())
        if self.empty_holds and self.closing is not Closing.WINDOW:
            raise ValueError("a window needs a threshold above zero")

    def _closing(self) -> Closing:
        if self.measure == "terms":
            return Closing.PASSED if self.forbidden else Closing.AT_ONCE
        if any(bound.operator not in _GROWING for bound in self.bounds):
            return Closing.WINDOW
        steady = self.measure in ("average", "median", "percentile")
        return Closing.PASSED if steady else Closing.AT_ONCE

    @property
    def threshold(self) -> int:
        """The least whole number that satisfies what is compared with gt and gte."""
        least = 1
        for bound in self.bounds:
            if bound.operator == "gte":
                least = max(least, ceil(bound.number))
            elif bound.operator == "gt":
                least = max(least, floor(bound.number) + 1)
        return least

    def _least(self) -> int:
        match self.measure:
            case "terms":
                return min(len(set(term.rules)) for term in self.terms)
            case "chain" if len(set(self.order)) < len(self.order):
                return 1
            case "sum" | "average" | "median" | "percentile":
                return 1
            case _:
                return self.threshold

    @property
    def enough(self) -> int:
        """A count from which on more of them change nothing."""
        return max(max(ceil(bound.number) for bound in self.bounds), 0) + 1

    @property
    def numeric(self) -> bool:
        """Whether values are numbers."""
        return self.measure in _NUMERIC

    @property
    def empty_holds(self) -> bool:
        """Whether a window without any event satisfies this."""
        empty = _EMPTY.get(self.measure)
        return empty is not None and self.holds(empty)

    def holds(self, measured: Number) -> bool:
        """Whether a window with this measure satisfies the comparisons."""
        for bound in self.bounds:  # noqa: SIM110  # asked for each event of a sum
            if not _COMPARE[bound.operator](measured, bound.number):
                return False
        return True

    def measured(self, entries: Sequence[Entry]) -> Number | None:
        """The measure of all of these entries; None for the average of nothing."""
        match self.measure:
            case "events":
                return len({entry[EVENT] for entry in entries})
            case "values" | "rules":
                return len({entry[VALUE] for entry in entries})
            case "chain":
                return longest(entries, self.order)
            case "sum":
                return sum(amount(entry[VALUE]) for entry in entries)
            case _ if not entries:
                return None
            case _:
                return self.typical(sorted(number(entry[VALUE]) for entry in entries))

    def typical(self, ordered: Sequence[Number]) -> Number:
        """The average, median or percentile of sorted values, of which there is one at least."""
        match self.measure:
            case "average":
                return Fraction(sum(ordered), len(ordered))
            case "median":
                return middle(ordered)
            case _:
                return rank(ordered, self.percentile)


@lru_cache(maxsize=65_536)
def number(text: str) -> Number:
    """The number that a value spells, exactly; raises ValueError for what spells none."""
    return int(text) if text.isdecimal() else Fraction(text)


@lru_cache(maxsize=65_536)
def amount(text: str) -> Number:
    """The number that a value adds to a sum: none below zero, so that sums only grow."""
    return max(number(text), 0)


def middle(ordered: Sequence[Number]) -> Number:
    """The median: of an even number of values the mean of the two in the middle."""
    half, odd = divmod(len(ordered), 2)
    return ordered[half] if odd else Fraction(ordered[half - 1] + ordered[half], 2)


def rank(ordered: Sequence[Number], percentile: Number) -> Number:
    """The least value that at least so many percent of the values do not exceed."""
    return ordered[max(ceil(Fraction(percentile) * len(ordered) / 100), 1) - 1]


def longest(entries: Sequence[Entry], order: Sequence[str]) -> int:
    """How many rules of the order come one after the other; events of one instant are in order."""
    best = _lengths(entries, order, 0, len(entries))
    return max(best, default=0)


def _lengths(entries: Sequence[Entry], order: Sequence[str], low: int, high: int) -> list[int]:
    """For each position of the order, the longest chain that ends there in entries[low:high]."""
    best = [0] * len(order)
    at = low
    while at < high:
        instant, now = set[str](), entries[at][AT]
        while at < high and entries[at][AT] == now:
            instant.add(entries[at][VALUE])
            at += 1
        _extend(best, order, instant)
    return best


def _extend(best: list[int], order: Sequence[str], instant: set[str]) -> None:
    before = 0
    for position, rule in enumerate(order):
        if rule in instant:
            best[position] = max(best[position], before + 1)
        before = max(before, best[position])


def chain_ending(
    entries: Sequence[Entry], order: Sequence[str], low: int, high: int, rule: str
) -> int:
    """The longest chain in entries[low:high] that ends at its last instant with `rule`."""
    last = high
    while last > low and entries[last - 1][AT] == entries[high - 1][AT]:
        last -= 1
    best = _lengths(entries, order, low, last)
    instant = {entry[VALUE] for entry in entries[last:high]}
    found, before = 0, 0
    for position, each in enumerate(order):
        now = before + 1 if each in instant else 0
        if each == rule:
            found = max(found, now)
        before = max(before, best[position], now)
    return found
