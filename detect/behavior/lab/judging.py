"""The lab's experiment: a stream with attacks, the detectors over it, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from detect.behavior.detectors.table import all_detectors
from detect.behavior.lab.company import DAY, START, found
from detect.behavior.lab.places import KNOWN_EGRESS
from detect.behavior.lab.scenarios import SCENARIOS, attacks
from detect.behavior.lab.scoring import Report, Told, score
from detect.behavior.lab.simulate import background, heard, injected
from detect.behavior.lab.world import instant, of_company, of_events
from detect.behavior.options import Options
from detect.behavior.replaying import Replay
from detect.behavior.surroundings import egress_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from detect.behavior.lab.company import Company
    from detect.behavior.lab.labels import Attack, Label
    from tocsin.contracts import Document, Finding

#: Names of the scenarios.
NAMES = tuple(SCENARIOS)
#: Days that nothing is held against a detector: everything is new then.
LEARNING = 7
#: Detectors of places, of hours, and of amounts.
PLACES = frozenset({"impossible_travel", "auth_rare_country_for_a_user"})
HOURS = frozenset({"auth_rare_hour_for_a_user"})
SILENCES = frozenset({"log_silence"})


@dataclass(frozen=True, slots=True)
class Plan:
    """A stream (made anew with each call of `events`), its labels, and what the site knows.

    Noise is counted in [begin, end), ms. `company` is None for a real stream.
    """

    events: Callable[[], Iterator[Document]]
    labels: Sequence[Label]
    egress: tuple[str, ...]
    begin: int
    end: int
    company: Company | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """The report, how much was read and told, and alerts on habits that must not alarm."""

    report: Report
    events: int
    findings: int
    habits: Mapping[str, int] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "events": self.events,
            "findings": self.findings,
            "scenarios": [each.row() for each in self.report.scenarios],
            "detectors": [each.row() for each in self.report.detectors],
            "habits": dict(self.habits),
        }


def simulated(
    seed: int,
    users: int = 500,
    days: int = 30,
    scenarios: Sequence[str] = (),
    times: int | None = None,
) -> Plan:
    """The simulated company of a seed with attacks."""
    company = found(seed, users, days)
    plan = attacks(of_company(company), seed, scenarios or NAMES, times)
    learned = START + min(LEARNING, days // 2) * DAY

    def events() -> Iterator[Document]:
        return injected(background(company), plan)

    return Plan(events, _labels(plan), KNOWN_EGRESS, learned, company.end, company)


def into(
    documents: Sequence[Document], seed: int, scenarios: Sequence[str] = (), times: int | None = 1
) -> Plan:
    """A real stream (ECS documents) with attacks; each once, unless `times` says otherwise."""
    world = of_events(documents)
    plan = attacks(world, seed, scenarios or NAMES, 1 if times is None else times)
    timed = sorted(
        ((at, each) for each in documents if (at := instant(each)) is not None), key=itemgetter(0)
    )

    def events() -> Iterator[Document]:
        return injected(timed, plan)

    return Plan(events, _labels(plan), (), world.quiet, world.end)


def written(
    documents: Sequence[Document], labels: Sequence[Label], egress: Iterable[str] = ()
) -> Plan:
    """A stream that was written before, with its labels."""
    times = [at for each in documents if (at := instant(each)) is not None]
    begin, end = min(times, default=0), max(times, default=0) + 1
    learned = begin + min(LEARNING * DAY, (end - begin) // 2)
    return Plan(lambda: iter(documents), labels, tuple(egress) or KNOWN_EGRESS, learned, end)


def _labels(plan: Sequence[Attack]) -> list[Label]:
    """The truth about attacks of which something is to be heard."""
    return [attack.label for attack in plan if heard(attack, plan)]


def judge(plan: Plan, options: Options | None = None) -> Judged:
    """Run all detectors over the stream, and score what they tell."""
    detectors = all_detectors()
    options = options or Options(egress=plan.egress)
    replay = Replay(detectors, options)
    count, latest = 0, ""

    def counted() -> Iterator[Document]:
        nonlocal count, latest
        for document in plan.events():
            count += 1
            latest = document.get("@timestamp", latest)
            yield document

    told = [
        _told(finding, instant({"@timestamp": latest}) or finding.at)
        for finding in replay.take(counted())
    ]
    told += [_told(finding, plan.end) for finding in replay.end()]
    specs = replay.stage.decider.specs
    budgets = {name: options.budgets.get(name, spec.budget) for name, spec in specs.items()}
    report = score(
        *(plan.labels, told, budgets, plan.begin, plan.end),
        certain={name for name, spec in specs.items() if not spec.calibrated},
        unasked={name for name in specs if not replay.memory.calibration(name).total},
    )
    habits = {} if plan.company is None else _habits(plan.company, report.false, plan.egress)
    return Judged(report, count, len(told), habits)


def _told(finding: Finding, known: int) -> Told:
    ids = {value for values in finding.entities.values() for value in values}
    return Told(finding.rule.id.removeprefix("behavior."), finding.at, frozenset(ids), known)


def _habits(company: Company, false: Sequence[Told], egress: Iterable[str]) -> dict[str, int]:
    """False alerts that have to do with what must not alarm: see the names."""
    ours = egress_of(egress)
    nights = {person.name for person in company.people if person.night}
    phones = {person.name for person in company.people if person.on_mobile}
    away = {person.name for person in company.people if person.trip[0] >= 0}
    holidays = _holidays(company)
    return {
        "places: known egress": sum(
            told.detector in PLACES and any(map(ours, told.entities)) for told in false
        ),
        "places: jittering phones": sum(
            told.detector == "impossible_travel" and bool(told.entities & phones - away)
            for told in false
        ),
        "hours: night shifts": sum(
            told.detector in HOURS and bool(told.entities & nights - away) for told in false
        ),
        "silence: holidays and weekends": sum(
            told.detector in SILENCES and (told.at - START) // DAY in holidays for told in false
        ),
    }


def _holidays(company: Company) -> set[int]:
    """Days on which somebody's site is at rest."""
    sites = {person.site.holiday for person in company.people}
    return sites | {day for day in range(company.days) if day % 7 >= 5}
