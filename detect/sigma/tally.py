"""What each rule costs and finds on the stream: candidates, matches, time.

Counting is cheap enough for every evaluation. Time is not, so it is taken on one event of many
and the rest follows from the number of candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

#: One in so many evaluated events is timed.
TIMED_EVERY = 32


@dataclass(slots=True)
class Tally:
    """Counts of one rule in one bucket; `timed` of its candidates took `nanoseconds` together."""

    candidates: int = 0
    matches: int = 0
    timed: int = 0
    nanoseconds: int = 0


class RuleCost(NamedTuple):
    """What one rule did: events it was evaluated on, those it matched, seconds (estimated)."""

    candidates: int = 0
    matches: int = 0
    seconds: float = 0.0

    def plus(self, tally: Tally) -> RuleCost:
        """With what the rule did in one more bucket."""
        each = tally.nanoseconds / tally.timed if tally.timed else 0.0
        return RuleCost(
            self.candidates + tally.candidates,
            self.matches + tally.matches,
            self.seconds + each * tally.candidates / 1e9,
        )

    def both(self, other: RuleCost) -> RuleCost:
        """The sum of two."""
        return RuleCost(
            self.candidates + other.candidates,
            self.matches + other.matches,
            self.seconds + other.seconds,
        )
