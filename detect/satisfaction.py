"""Which events of a group satisfy a condition, each by the window that ends with it.

`entries` are sorted by time; candidates are looked at in ascending order, so that what is counted
moves along with the window. This is the exact and general way; detect.windows knows shorter ones
for the usual case.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right, insort
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from detect.conditions import AT, VALUE, amount, chain_ending, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from detect.conditions import Condition, Entry, Number, Term

at_of = itemgetter(AT)


class Found(NamedTuple):
    """A satisfied event: its place, and the window entries[low:high] that ends with it."""

    place: int
    low: int
    high: int


class _Judge(Protocol):
    def holds(self, index: int, low: int, high: int) -> bool: ...


def satisfied(
    condition: Condition, entries: Sequence[Entry], candidates: Iterable[int]
) -> Iterator[Found]:
    """The candidates (ascending indices) that satisfy the condition."""
    judge = _judge(condition, entries)
    for index in candidates:
        at = entries[index][AT]
        low = bisect_right(entries, at - condition.timespan, key=at_of)
        high = bisect_right(entries, at, key=at_of)
        if judge.holds(index, low, high):
            yield Found(index, low, high)


def _judge(condition: Condition, entries: Sequence[Entry]) -> _Judge:
    match condition.measure:
        case "events":
            return _Events(condition.threshold)
        case "values" | "rules":
            return _Distinct(entries, condition.threshold)
        case "chain":
            return _Chain(entries, condition.order, condition.threshold)
        case "sum":
            return _Sum(entries, condition)
        case "terms":
            return _Terms(entries, condition)
        case _:
            return _Typical(entries, condition)


class _Events:
    def __init__(self, threshold: int) -> None:
        self._threshold = threshold

    def holds(self, index: int, low: int, high: int) -> bool:
        return high - low >= self._threshold


class _Moving(ABC):
    """Follows a window whose bounds only grow."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._low = self._high = 0

    def _move(self, low: int, high: int) -> None:
        if self._high <= low:
            self._reset()
            self._low = self._high = low
        for entry in self._entries[self._high : high]:
            self._enter(entry[VALUE])
        for entry in self._entries[self._low : low]:
            self._leave(entry[VALUE])
        self._low, self._high = low, high

    @abstractmethod
    def _reset(self) -> None: ...

    @abstractmethod
    def _enter(self, value: str) -> None: ...

    @abstractmethod
    def _leave(self, value: str) -> None: ...


class _Present(_Moving):
    """Counts the values of the window."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__(entries)
        self._counts: dict[str, int] = {}

    def _reset(self) -> None:
        self._counts.clear()

    def _enter(self, value: str) -> None:
        self._counts[value] = self._counts.get(value, 0) + 1

    def _leave(self, value: str) -> None:
        self._counts[value] -= 1
        if not self._counts[value]:
            del self._counts[value]


class _Distinct(_Present):
    def __init__(self, entries: Sequence[Entry], threshold: int) -> None:
        super().__init__(entries)
        self._threshold = threshold

    def holds(self, index: int, low: int, high: int) -> bool:
        self._move(low, high)
        return len(self._counts) >= self._threshold


class _Chain:
    def __init__(self, entries: Sequence[Entry], order: tuple[str, ...], threshold: int) -> None:
        self._entries = entries
        self._order = order
        self._threshold = threshold
        self._lasting = frozenset(order[threshold - 1 :])

    def holds(self, index: int, low: int, high: int) -> bool:
        rule = self._entries[index][VALUE]
        if rule not in self._lasting:
            return False
        return chain_ending(self._entries, self._order, low, high, rule) >= self._threshold


class _Sum(_Moving):
    def __init__(self, entries: Sequence[Entry], condition: Condition) -> None:
        super().__init__(entries)
        self._condition = condition
        self._total: Number = 0

    def _reset(self) -> None:
        self._total = 0

    def _enter(self, value: str) -> None:
        self._total += amount(value)

    def _leave(self, value: str) -> None:
        self._total -= amount(value)

    def holds(self, index: int, low: int, high: int) -> bool:
        self._move(low, high)
        return self._condition.holds(self._total)


class _Typical(_Moving):
    """Averages, medians and percentiles: the values of the window, sorted."""

    def __init__(self, entries: Sequence[Entry], condition: Condition) -> None:
        super().__init__(entries)
        self._condition = condition
        self._sorted: list[Number] = []

    def _reset(self) -> None:
        self._sorted.clear()

    def _enter(self, value: str) -> None:
        insort(self._sorted, number(value))

    def _leave(self, value: str) -> None:
        del self._sorted[bisect_left(self._sorted, number(value))]

    def holds(self, index: int, low: int, high: int) -> bool:
        self._move(low, high)
        return self._condition.holds(self._condition.typical(self._sorted))


class _Terms(_Present):
    """Rules that are there, and rules that are not within a timespan before or after."""

    def __init__(self, entries: Sequence[Entry], condition: Condition) -> None:
        super().__init__(entries)
        self._condition = condition
        self._times = {
            rule: [entry[AT] for entry in entries if entry[VALUE] == rule]
            for rule in condition.forbidden
        }

    def holds(self, index: int, low: int, high: int) -> bool:
        self._move(low, high)
        rule, at = self._entries[index][VALUE], self._entries[index][AT]
        return any(
            rule in term.rules
            and self._counts.keys() >= set(term.rules)
            and not any(self._near(each, at) for each in term.without)
            and (not self._condition.ordered or self._in_order(term, index, low, high))
            for term in self._condition.terms
        )

    def _near(self, rule: str, at: int) -> bool:
        times, span = self._times[rule], self._condition.timespan
        place = bisect_right(times, at - span)
        return place < len(times) and times[place] < at + span

    def _in_order(self, term: Term, index: int, low: int, high: int) -> bool:
        rule = self._entries[index][VALUE]
        if rule != term.rules[-1]:
            return False
        return chain_ending(self._entries, term.rules, low, high, rule) == len(term.rules)
