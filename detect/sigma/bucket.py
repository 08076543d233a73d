"""The rules that concern the events of one bucket, and the literals that find their candidates.

A bucket is what events have in common that rules name: logsources, and the values of the fields
that decide about them. Its rules are shrunk by that knowledge; each rule that is left has a
witness, of which one to three clauses are scanned for. Which ones is decided by counting over a
sample of the bucket's events and decided again when more of them were seen: a poor choice costs
time, never a match.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from detect.sigma.many import explainer
from detect.sigma.plan import Plan, Wanted, planned, shape
from detect.sigma.rows import Cells, row_decision
from detect.sigma.tally import Tally
from detect.sigma.witness import Always, shrink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from detect.sigma.batch import EventText
    from detect.sigma.condition import Hits
    from detect.sigma.event import FieldMap, Reader
    from detect.sigma.rows import Row, RowDecision
    from detect.sigma.ruleset import CompiledRule
    from detect.sigma.shape import Shape
    from detect.sigma.witness import Known

#: Events seen at which the choice of clauses is made again.
REPLAN_AT = (64, 1_024, 16_384)
#: Texts kept to count over, and their bytes together.
SAMPLE_EVENTS = 256
SAMPLE_BYTES = 1_000_000
#: Evaluations of rules that do not match, for each event since the last choice, at which a new one
#: is worth its build.
WASTE = 0.1


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule as the bucket's events meet it: read through its map `slot`, `holds` if it matches.

    `explain` gives the reasons, `tally` counts what it does.
    """

    rule: CompiledRule
    rule_id: str
    slot: int
    holds: RowDecision
    wanted: Wanted | None
    explain: Callable[[Reader], Hits | None]
    tally: Tally = field(default_factory=Tally, compare=False)


@dataclass(slots=True)
class Bucket:
    """Candidates of the events that have something in common.

    `cells` are the fields that their rows have, `shape` cuts out what the rules name; `decisions`
    are those of the candidates once more, where the innermost loop finds them; `columned` says
    which cells are filled from which of the plan's columns.
    """

    candidates: tuple[Candidate, ...]
    constant: tuple[Candidate, ...]
    cells: Cells
    plan: Plan
    shape: Shape
    decisions: tuple[RowDecision, ...] = ()
    columned: list[int] = field(default_factory=list)
    seen: int = 0
    #: How often clauses were chosen by what was seen.
    choices: int = 0
    sample: list[bytes] = field(default_factory=list)
    sampled: int = 0
    #: Evaluations that found nothing, matches, and events, since the clauses were chosen.
    wasted: int = 0
    matched: int = 0
    since: int = 0

    def note(self, members: Sequence[int], texts: Sequence[EventText]) -> None:
        """Count events; keep some, and choose the clauses anew when enough were seen."""
        before, self.seen = self.seen, self.seen + len(members)
        self.since += len(members)
        if before >= REPLAN_AT[-1]:
            return
        for at in members:
            if len(self.sample) >= SAMPLE_EVENTS or self.sampled >= SAMPLE_BYTES:
                break
            self.sample.append(texts[at].text)
            self.sampled += len(texts[at].text)
        if any(before < bound <= self.seen for bound in REPLAN_AT):
            if self.wasted > WASTE * self.since:
                self._choose()
            self.wasted = self.matched = self.since = 0
            self.sample = self.sample[::4] if self.seen < REPLAN_AT[-1] else []
            self.sampled = sum(map(len, self.sample))

    def _choose(self) -> None:
        self.choices += 1
        matching = self.matched / self.since
        self.plan = planned(_wanted(self.candidates), self.sample, matching=matching)
        columns = self.plan.columns
        self.columned = [] if columns is None else self.cells.columned(columns)


def bucket(pairs: Iterable[tuple[FieldMap, CompiledRule]], known: Known) -> Bucket:
    """The bucket of all events that have `known` in common, for these rules."""
    candidates: list[Candidate] = []
    constant: list[Candidate] = []
    maps: dict[int, int] = {}
    cells = Cells()
    for fields, rule in pairs:
        if id(fields) not in maps:
            maps[id(fields)] = cells.add(fields)
        slot = maps[id(fields)]
        node = shrink(rule.condition, fields, known)
        if not isinstance(node, Always):
            explain = explainer(rule.condition)
            wanted = Wanted(node, fields)
            candidates.append(
                Candidate(
                    rule, rule.rule.id, slot, row_decision(node, cells, slot), wanted, explain
                )
            )
        elif node.holds:
            constant.append(
                Candidate(rule, rule.rule.id, slot, _always, None, rule.condition.evaluate)
            )
    rules = _wanted(candidates)
    cutting = shape(rules)
    cells.read_by(cutting)
    return Bucket(
        tuple(candidates),
        tuple(constant),
        cells,
        planned(rules, ()),
        cutting,
        tuple(each.holds for each in candidates),
    )


def _wanted(candidates: Iterable[Candidate]) -> list[Wanted]:
    return [each.wanted for each in candidates if each.wanted is not None]


def _always(_row: Row) -> bool:
    return True
