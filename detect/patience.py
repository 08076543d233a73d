"""How long after its time an event of a correlation may still come.

An event is as late as the allowed lateness; one that another correlation made is later by as much
as that one waits before it decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detect.conditions import Closing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detect.model import Correlation


def patience(correlations: Sequence[Correlation], lateness: int) -> dict[str, int]:
    """For each correlation how long (ms) its events may come late; `lateness` without a chain.

    What refers to itself is left out.
    """
    waiting = {correlation.rule.id: correlation for correlation in correlations}
    found: dict[str, int] = {}
    later: dict[str, int] = {}
    while ready := [c for c in waiting.values() if waiting.keys().isdisjoint(c.references)]:
        for correlation in ready:
            behind = max(later.get(reference, 0) for reference in correlation.references)
            found[correlation.rule.id] = lateness + behind
            later[correlation.rule.id] = behind + _waits(correlation, lateness + behind)
            del waiting[correlation.rule.id]
    return found


def _waits(correlation: Correlation, patience: int) -> int:
    """How long after an event's time the correlation decides about it at the latest."""
    condition = correlation.condition
    match condition.closing:
        case Closing.AT_ONCE:
            return 0
        case Closing.WINDOW:
            return patience + 2 * condition.timespan
        case _:
            return patience + (condition.timespan if condition.forbidden else 0)


def reach(correlations: Sequence[Correlation], lateness: int) -> int:
    """How much older than the newest events evidence of correlations may be, ms."""
    return max(
        (
            found + correlation.timespan + _waits(correlation, found)
            for correlation in correlations
            if (found := patience(correlations, lateness).get(correlation.rule.id)) is not None
        ),
        default=lateness,
    )
