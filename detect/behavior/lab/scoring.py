"""What detectors made of the attacks: found or not, how soon, and how much noise for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from detect.behavior.lab.company import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from detect.behavior.lab.labels import Label

#: What an alert on something attacked may come later than the attack and still tell of it: a
#: day's total is known at its end. For attacks that touch very many, much less.
AFTER, AFTER_MANY, MANY = DAY, 2 * HOUR, 8
#: Shares of a budget that false alerts should make: less is a detector that hears nothing.
LEAST_SPENT, MOST_SPENT = 0.5, 2.0
#: What is told of a slice may carry the time of its beginning.
BEFORE = 10 * MINUTE


class Told(NamedTuple):
    """A finding, as scoring needs it: `entities` are ids, of whatever kind.

    `at` is when it happened, `known` when it was told (0: at once), in event time, ms.
    """

    detector: str
    at: int
    entities: frozenset[str]
    known: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """How a scenario went: attacks, found ones, their delays in ms, and the missed ones' ids."""

    scenario: str
    attacks: int
    found: int
    delays: tuple[int, ...]
    missed: tuple[str, ...]
    by: Mapping[str, int]

    def row(self) -> dict[str, Any]:
        """As a line of a table; minutes from the first event of the attack."""
        return {
            "scenario": self.scenario,
            "attacks": self.attacks,
            "found": self.found,
            "share": round(self.found / self.attacks, 3),
            "minutes": round(median(self.delays) / MINUTE, 1) if self.delays else None,
            "minutes_worst": round(max(self.delays) / MINUTE, 1) if self.delays else None,
            "by": dict(self.by),
            "missed": list(self.missed),
        }


@dataclass(frozen=True, slots=True)
class Noise:
    """False alerts of a detector: how many a day against what it may spend.

    A `certain` detector is not rarefied: the budget is what is expected at most. `asked` is False
    for one that has scored nothing at all (there is no model, no such events).
    """

    detector: str
    budget: float
    false: int
    days: float
    true: int
    certain: bool = False
    asked: bool = True

    @property
    def within(self) -> bool:
        """Whether it spends between half and twice its budget; a certain one at most twice."""
        least = 0.0 if self.certain else LEAST_SPENT * self.budget
        return least <= self.false / self.days <= MOST_SPENT * self.budget

    def row(self) -> dict[str, Any]:
        """As a line of a table."""
        rate = self.false / self.days
        return {
            "detector": self.detector,
            "budget": self.budget,
            "false_a_day": round(rate, 2),
            "of_budget": round(rate / self.budget, 2) if self.budget else None,
            "true": self.true,
            "certain": self.certain,
            "asked": self.asked,
            "within": self.within if self.asked else None,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """Both tables, and the false alerts themselves for whoever wants to know why."""

    scenarios: tuple[Found, ...]
    detectors: tuple[Noise, ...]
    false: tuple[Told, ...]


def score(
    labels: Sequence[Label],
    told: Iterable[Told],
    budgets: Mapping[str, float],
    begin: int,
    end: int,
    *,
    certain: Collection[str] = (),
    unasked: Collection[str] = (),
) -> Report:
    """Judge findings by the labels; noise is counted in [begin, end), ms.

    An attack is found by the first finding of a detector that its label names on an entity that
    it names, from its beginning on and, if the label has a deadline, before that. Any finding on
    an attacked entity while the attack goes on or soon after is no false alert. `certain` and
    `unasked` name detectors: see Noise.
    """
    about: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        for entity in {id for ids in label.entities.values() for id in ids}:
            about[entity].append(label)
    first: dict[str, Told] = {}
    false: list[Told] = []
    true: Counter[str] = Counter()
    for each in sorted(told, key=lambda told: told.at):
        near = [
            label for id in each.entities for label in about.get(id, ()) if _in(label, id, each.at)
        ]
        if near:
            true[each.detector] += 1
        elif begin <= each.at < end:
            false.append(each)
        for label in near:
            timely = not label.deadline or max(each.at, each.known) < label.deadline
            if each.detector in label.detectors and timely:
                first.setdefault(label.id, each)
    rates = Counter(each.detector for each in false)
    days = max(1.0, (end - begin) / DAY)
    names = sorted({*budgets, *rates, *true})
    return Report(
        tuple(_scenarios(labels, first)),
        tuple(
            Noise(n, budgets.get(n, 0.0), rates[n], days, true[n], n in certain, n not in unasked)
            for n in names
        ),
        tuple(false),
    )


def _in(label: Label, id: str, at: int) -> bool:
    few = sum(map(len, label.entities.values())) <= MANY or id in label.entered
    after = AFTER if few else AFTER_MANY
    return label.start - BEFORE <= at <= label.end + after


def _scenarios(labels: Sequence[Label], first: Mapping[str, Told]) -> Iterable[Found]:
    for name in dict.fromkeys(label.scenario for label in labels):
        mine = [label for label in labels if label.scenario == name]
        found = [label for label in mine if label.id in first]
        yield Found(
            name,
            len(mine),
            len(found),
            tuple(
                max(0, max(first[label.id].at, first[label.id].known) - label.start)
                for label in found
            ),
            tuple(label.id for label in mine if label.id not in first),
            Counter(first[label.id].detector for label in found),
        )
