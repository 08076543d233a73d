"""Rules one after the other, followed as events come in order.

`starts[k][p]` is the latest time at which a chain of k + 1 rules begins that ends at position p of
the order; a window holds such a chain if it began within the window. One more event only touches
the positions of its rule, so that nothing has to be gone through again. The general way, for any
order of arrival, is `detect.conditions.chain_ending`; tests hold both to one definition.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

from detect.conditions import AT, VALUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from detect.conditions import Entry

Starts: TypeAlias = list[list[float]]

_NEVER = float("-inf")
_at = itemgetter(AT)


@lru_cache(1_024)
def places(order: tuple[str, ...]) -> Mapping[str, tuple[int, ...]]:
    """Where each rule stands in the order."""
    return {
        rule: tuple(at for at, each in enumerate(order) if each == rule)
        for rule in dict.fromkeys(order)
    }


def none(length: int, threshold: int) -> Starts:
    """The starts before any event, for an order of that length."""
    return [[_NEVER] * length for _ in range(threshold)]


def after(starts: Starts, entries: Sequence[Entry], where: Mapping[str, Sequence[int]]) -> Starts:
    """The starts after these entries too, which are sorted by time and later."""
    starts = [row.copy() for row in starts]
    if len(entries) == 1:
        follow(starts, where.get(entries[0][VALUE], ()), entries[0][AT])
        return starts
    for at, instant in groupby(entries, key=_at):
        rules = {entry[VALUE] for entry in instant}
        follow(starts, sorted({place for rule in rules for place in where.get(rule, ())}), at)
    return starts


def follow(starts: Starts, positions: Iterable[int], at: int) -> None:
    """An instant, later than all before, has events of the rules at these positions (ascending)."""
    for place in positions:
        shorter = starts[0]
        shorter[place] = at
        for longer in starts[1:]:
            if place:
                best = max(shorter[:place]) if place > 1 else shorter[0]
                if best > longer[place]:
                    longer[place] = best
            shorter = longer


def complete(starts: Starts, positions: Iterable[int], since: int) -> bool:
    """Whether a chain that began after `since` ends at one of the positions."""
    longest = starts[-1]
    for place in positions:  # noqa: SIM110  # a generator costs as much again
        if longest[place] > since:
            return True
    return False
