"""What a budget buys: how many entities a day score as high, and how much was told lately.

An alert is of an entity, so entities are counted, not scores: each day each entity counts with its
highest score only. Somebody whose every slice is unusual is one alert, and hides nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log2
from typing import Any

from detect.behavior.sketches import short

#: What is left of a day's peaks after a day (half-life 14 days), and of what was told (7 days).
_FADE, _PAID = 0.5 ** (1 / 14), 0.5 ** (1 / 7)
#: Entities of one day whose peaks are kept; bins for each doubling of 1 + score.
KEPT, STEPS = 48, 96
#: How far the controller may move a budget.
LEAST, MOST = 0.02, 4.0
#: Alerts that the controller does not mind: with one or two nobody knows yet how many come.
SLACK = 2.0


@dataclass(slots=True)
class Ledger:
    """The peaks and the spending of one detector in one partition.

    `bins` maps a bin to decayed entity-days, of `days` decayed days; `today` the highest scores of
    the running day by entity; `spent` the decayed number of alerts in `paid` decayed days;
    `heights` the scores that were told last; `least` what a score must exceed to be one of today's.
    """

    day: int = -1
    days: float = 0.0
    bins: dict[int, float] = field(default_factory=dict)
    today: dict[str, float] = field(default_factory=dict)
    spent: float = 0.0
    paid: float = 0.0
    heights: dict[str, float] = field(default_factory=dict)
    least: float = 0.0

    def roll(self, day: int, since: int, *, ready: bool) -> None:
        """Begin the day `day`; a new ledger knows of nothing since the day `since`.

        Days on which it was not `ready` to tell by its budget save nothing up.
        """
        if self.day < 0:
            self.day = min(since, day)
        passed = day - self.day
        if passed <= 0:
            return
        fade, paid = _FADE**passed, _PAID**passed
        for score in self.today.values():
            at = _bin(score)
            self.bins[at] = self.bins.get(at, 0.0) + 1
        self.bins = {at: round(n * fade, 3) for at, n in self.bins.items() if n * fade > 0.02}
        self.days = round(self.days * fade + _FADE * (1 - fade) / (1 - _FADE), 3)
        self.spent = round(self.spent * paid, 3)
        earned = _PAID * (1 - paid) / (1 - _PAID) if ready else 0.0
        self.paid = round(self.paid * paid + earned, 3)
        self.day, self.today, self.least = day, {}, 0.0

    def add(self, score: float, entity: str) -> None:
        """Count a score of today; only the highest of an entity, and of the day, stay."""
        if score <= self.least:
            return
        today, name = self.today, short(entity)
        if today.get(name, 0.0) >= score:
            return
        today[name] = round(score, 3)
        if len(today) > KEPT:
            del today[min(today, key=lambda each: (today[each], each))]
        if len(today) == KEPT:
            self.least = min(today.values())

    def expected(self, score: float, entity: str = "") -> float:
        """How many other entities score as high in a day; of the same bin half of them do."""
        at = _bin(score)
        above = sum(n if each > at else n / 2 for each, n in self.bins.items() if each >= at)
        name = short(entity)
        above += sum(1 for each, n in self.today.items() if n >= score and each != name)
        return above / max(self.days, 1.0)

    def threshold(self, budget: float) -> float:
        """The score that is told now: fewer than the affordable number are expected above it."""
        wanted, above, last = self.affordable(budget) * max(self.days, 1.0), 0.0, 0.0
        for at in sorted(self.bins, reverse=True):
            if above + self.bins[at] / 2 > wanted:
                return last or _score(at + 1)
            above += self.bins[at]
            last = _score(at)
        return 0.0

    def tell(self, score: float, entity: str) -> None:
        """Remember the score with which an entity was told."""
        name = short(entity)
        self.heights.pop(name, None)
        self.heights[name] = round(score, 3)
        if len(self.heights) > KEPT:
            del self.heights[next(iter(self.heights))]

    def told(self, entity: str, default: float) -> float:
        """The score with which the entity was told last."""
        return self.heights.get(short(entity), default)

    def affordable(self, budget: float) -> float:
        """The budget, moved by what was told in the last weeks: less than due buys more."""
        due = budget * self.paid
        gain = ((due + SLACK) / (self.spent + SLACK)) ** 2
        return min(0.75 * KEPT, budget * min(MOST, max(LEAST, gain)))

    def pack(self) -> list[Any]:
        """As plain JSON."""
        bins = {str(at): n for at, n in sorted(self.bins.items())}
        today = dict(sorted(self.today.items()))
        heights = list(self.heights.items())
        return [self.day, self.days, bins, today, self.spent, self.paid, heights]

    @classmethod
    def unpack(cls, packed: list[Any]) -> Ledger:
        """What `pack` gave."""
        day, days, bins, today, spent, paid, heights = packed
        peaks = {int(at): n for at, n in bins.items()}
        made = cls(day, days, peaks, dict(today), spent, paid, dict(heights))
        made.least = min(made.today.values()) if len(made.today) >= KEPT else 0.0
        return made


def _bin(score: float) -> int:
    return int(STEPS * log2(1 + max(0.0, score)))


def _score(at: int) -> float:
    """The lower end of a bin."""
    return float(2 ** (at / STEPS)) - 1
