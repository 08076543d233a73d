"""How much is usual: amounts of an hour, a day and seven days, with robust location and scale.

Amounts are compared as log10(1 + amount). Location and scale are moving averages that a single
period can pull only as far as three scales (clipped), so that one huge day does not make the next
one usual; the slow location follows in 180 days and is what drift is measured by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log10
from statistics import median
from typing import Any

from detect.behavior.detector import DAY, HOUR

#: Shares of a new period in location and scale; of a day in the slow reference.
_HOURLY, _DAILY, _SLOW = 0.02, 0.07, 0.006
#: Smallest scale, in log10: nothing is so regular that 25 % more means anything.
MIN_SCALE = 0.1
#: Periods of which location is the plain mean, before it moves by shares.
FIRST = 10
#: How far a period may pull, in scales.
CLIP = 3.0


@dataclass(slots=True)
class Level:
    """Location and scale of log10(1 + amount) of a period, and how many periods were seen."""

    location: float = 0.0
    scale: float = 0.5
    count: int = 0

    def score(self, amount: float) -> float:
        """How many scales above what is usual."""
        return (log10(1 + amount) - self.location) / max(self.scale, MIN_SCALE)

    def learn(self, amount: float, share: float) -> None:
        """Take in a finished period."""
        value = log10(1 + amount)
        self.count += 1
        if self.count == 1:
            self.location = value
            return
        if self.count < FIRST:
            share = max(share, 1 / self.count)
        reach = CLIP * max(self.scale, MIN_SCALE)
        off = min(max(value - self.location, -reach), reach)
        self.location += share * off
        self.scale += share * (abs(off) * 1.25 - self.scale)


@dataclass(slots=True)
class Volume:
    """Amounts of one total; periods are aligned, UTC.

    `hour` and `day` are running totals; `week` the totals of the last six finished days.
    """

    hour_at: int = 0
    hour: float = 0.0
    day_at: int = 0
    day: float = 0.0
    week: list[float] = field(default_factory=list)
    hourly: Level = field(default_factory=Level)
    daily: Level = field(default_factory=Level)
    weekly: Level = field(default_factory=Level)
    slow: Level = field(default_factory=Level)

    def add(self, at: int, amount: float) -> None:
        """An amount in the slice that starts at `at` (ms); slices come in order."""
        self.roll(at)
        self.hour += amount
        self.day += amount

    def roll(self, at: int) -> None:
        """Finish the periods that are over at `at` (ms)."""
        hour, day = at // HOUR, at // DAY
        if hour != self.hour_at:
            if self.hour_at:
                self.hourly.learn(self.hour, _HOURLY)
            self.hour_at, self.hour = hour, 0.0
        if day != self.day_at:
            if self.day_at:
                self._finish_day(day)
            self.day_at, self.day = day, 0.0

    def _finish_day(self, day: int) -> None:
        self.daily.learn(self.day, _DAILY)
        self.slow.learn(min(self.day, self._cap()), _SLOW)
        idle = min(day - self.day_at - 1, 6)
        self.week = (self.week + [self.day] + [0.0] * idle)[-6:]
        if self.daily.count >= 7:
            self.weekly.learn(sum(self.week) + self.day, _DAILY)

    def _cap(self) -> float:
        """The slow reference takes in at most what it holds for possible."""
        if self.slow.count < 7:
            return float("inf")
        bound: float = 10 ** (self.slow.location + CLIP * max(self.slow.scale, MIN_SCALE))
        return bound

    def recent(self) -> float:
        """The median of the last six finished days."""
        return median(self.week) if len(self.week) == 6 else 0.0

    def now(self, at: int, amount: float) -> tuple[float, float, float]:
        """Totals of this hour, this day and seven days with `amount` in the slice at `at`."""
        hour = self.hour if at // HOUR == self.hour_at else 0.0
        day = self.day if at // DAY == self.day_at else 0.0
        return hour + amount, day + amount, sum(self.week) + day + amount

    def pack(self) -> list[Any]:
        """As plain JSON."""
        packed: list[Any] = [self.hour_at, _short(self.hour), self.day_at, _short(self.day)]
        packed.append([_short(each) for each in self.week])
        for level in (self.hourly, self.daily, self.weekly, self.slow):
            packed += [round(level.location, 4), round(level.scale, 4), level.count]
        return packed

    @classmethod
    def unpack(cls, packed: list[Any]) -> Volume:
        """What `pack` gave."""
        levels = [Level(*packed[at : at + 3]) for at in range(5, 17, 3)]
        hour_at, hour, day_at, day, week = packed[:5]
        return cls(hour_at, hour, day_at, day, list(week), *levels)


def _short(amount: float) -> float:
    """Whole numbers take less room; amounts above a thousand lose their fractions."""
    return round(amount) if amount >= 1000 or amount == round(amount) else round(amount, 2)
