"""From scores to alerts: how rare a score is among a detector's own, against what it may spend.

A detector's history is a histogram of its scores that decays with a half-life of 14 days. The
p-value of a score is the share of the history at or above it (conformal: the score itself counts);
beyond the 98th percentile the tail is smoothed by an exponential fit to the excesses (peaks over
threshold), so that scores never seen before still differ. An anomaly is told while the expected
number of scores as high in a day, p times scores a day, is within the budget.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, log10
from typing import TYPE_CHECKING, Any

from detect.behavior.budget import Ledger
from detect.behavior.detector import DAY

if TYPE_CHECKING:
    from detect.behavior.detector import Spec

#: Width of a bin and highest score that is told apart.
BIN, HIGHEST = 0.1, 40.0
_BINS = int(HIGHEST / BIN)
#: Where the bins stand in a packed calibration.
_BINS_AT = 7
_FADE = 0.5 ** (1 / 14)
#: Share of the history that is the tail; least scores for a tail, least days with scores before
#: the history is trusted.
TAIL, ENOUGH, DAYS = 0.02, 200, 3
#: Decayed days that a week is, after which who has never scored is known to score seldom.
WEEK = 5.5
#: How long the scores of an entity are no history of a detector that has told of it, ms.
TOLD = 7 * DAY
#: Capped surprise that one anomaly adds to a risk, -log10 p.
CAP = 6.0


@dataclass(slots=True)
class Calibration:
    """The history of one detector's scores, in one partition.

    `bins` maps a bin to its decayed number; `days` counts the days with scores; `told` the
    alerts of the day `day`, `spent` those since the start, `withheld` those that a list suppressed,
    `verdicts` what analysts said of them; `ledger` what the budget buys.
    """

    day: int = -1
    days: int = 0
    bins: dict[int, float] = field(default_factory=dict)
    total: float = 0.0
    rate: float = 0.0
    today: int = 0
    told: int = 0
    spent: int = 0
    withheld: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    verdicts: dict[str, int] = field(default_factory=dict)

    def roll(self, at: int, since: int | None = None) -> None:
        """Let the days since the last score fade; `at` is ms, `since` when watching began."""
        day = at // DAY
        if day <= self.day:
            return
        self.ledger.roll(day, day if since is None else since // DAY, ready=self.ready)
        if self.day >= 0:
            self.rate = self.today if self.days <= 1 else self.rate + (self.today - self.rate) / 7
            fade = _FADE ** (day - self.day)
            self.bins = {
                each: round(count * fade, 3)
                for each, count in self.bins.items()
                if count * fade > 0.01
            }
            self.total = sum(self.bins.values())
        self.day, self.today, self.told = day, 0, 0
        self.days += 1

    def add(self, score: float, entity: str = "") -> None:
        """Count a score of an entity."""
        self.ledger.add(score, entity)
        at = _bin(score)
        self.bins[at] = self.bins.get(at, 0.0) + 1
        self.total += 1
        self.today += 1

    @property
    def ready(self) -> bool:
        """Whether the history is long enough to be trusted: days with scores, or a week without."""
        return self.days > DAYS or self.ledger.days >= WEEK

    def p(self, score: float) -> float:
        """The share of scores at least as high; 1 where nothing is known."""
        if self.total <= 0:
            return 1.0
        at = _bin(score)
        above = sum(count for each, count in self.bins.items() if each >= at)
        if above > TAIL * self.total or self.total < ENOUGH:
            return min(1.0, (above + 1) / (self.total + 1))
        # Where scores lie in heaps the fit alone would call a whole heap improbable.
        return max(self._tail(score), above / (self.total + 1), 1e-12)

    def _tail(self, score: float) -> float:
        """Beyond the threshold: the tail's share times an exponential of the mean excess."""
        wanted, above, threshold, excess = TAIL * self.total, 0.0, 0, 0.0
        for each in sorted(self.bins, reverse=True):
            count = self.bins[each]
            above += count
            threshold = each
            if above >= wanted:
                break
        for each, count in self.bins.items():
            if each >= threshold:
                excess += count * (each - threshold + 0.5) * BIN
        mean = max(excess / above, BIN)
        share = above / (self.total + 1)
        return share * exp(-max(0.0, score - threshold * BIN) / mean)

    def expected(self, score: float, entity: str = "") -> float:
        """How many other entities score as high in a day."""
        return self.ledger.expected(score, entity)

    def tell(self, score: float = 0.0, entity: str = "", *, first: bool = True) -> None:
        """An alert was told; it is paid for if it is the `first` of an incident."""
        self.told += 1
        self.spent += 1
        self.ledger.tell(score, entity)
        if first:
            self.ledger.spent += 1

    def grown(self, score: float, entity: str, step: float) -> bool:
        """Whether a score lies so far above the one that was last told of the entity."""
        return 0 < step <= score - self.ledger.told(entity, score)

    def affordable(self, budget: float) -> float:
        """How many alerts a day the budget buys now, after what was told lately."""
        return self.ledger.affordable(budget)

    def pack(self) -> list[Any]:
        """As plain JSON."""
        bins = {str(each): round(count, 3) for each, count in sorted(self.bins.items())}
        numbers = [self.day, self.days, round(self.rate, 3), self.today]
        told = [self.told, self.spent, self.withheld, bins, self.verdicts]
        return [*numbers, *told, self.ledger.pack()]

    def threshold(self, spec: Spec, budget: float) -> float:
        """The score that would be told now; `budget` is alerts a day."""
        if not spec.calibrated:
            return spec.floor
        if not self.ready:
            return spec.cold
        return max(spec.floor, self.ledger.threshold(budget))

    def brief(self) -> list[Any]:
        """As plain JSON, without the scores but their number: enough for a status."""
        packed = self.pack()
        packed[_BINS_AT] = {"0": round(self.total, 3)} if self.total else {}
        return packed

    @classmethod
    def unpack(cls, packed: list[Any]) -> Calibration:
        """What `pack` or `brief` gave."""
        day, days, rate, today, told, spent, withheld, bins, verdicts, ledger = packed
        made = cls(day, days, {int(k): v for k, v in bins.items()}, 0.0, rate, today)
        made.told, made.spent, made.withheld = told, spent, withheld
        made.verdicts = verdicts
        if isinstance(ledger, list):
            made.ledger = Ledger.unpack(ledger)
        else:  # of before there was a ledger: the budget is learned anew
            made.days = 0
        made.total = sum(made.bins.values())
        return made


def verdict_of(
    spec: Spec, calibration: Calibration, score: float, budget: float, entity: str = ""
) -> tuple[bool, float]:
    """Whether a score is to be told, and its surprise (-log10 p); `budget` is alerts a day.

    The calibration must be of the same day (`roll`) and not have the score yet.
    """
    if score < spec.floor:
        return False, 0.0
    if not spec.calibrated:
        return True, max(capped(calibration.p(score)), 3.0)
    if calibration.ready:
        passes = calibration.expected(score, entity) <= calibration.affordable(budget)
        return passes, capped(calibration.p(score))
    return score >= spec.cold, 3.0 if score >= spec.cold else 0.0


def _bin(score: float) -> int:
    return min(max(int(score / BIN), 0), _BINS)


def capped(p: float) -> float:
    """-log10 p, at most CAP."""
    return min(-log10(max(p, 1e-12)), CAP)
