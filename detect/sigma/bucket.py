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

from detect.sigma.decide import decision
from detect.sigma.literals import ODD_LETTERS
from detect.sigma.many import explainer
from detect.sigma.scanner import scanner
from detect.sigma.tally import Tally
from detect.sigma.witness import Always, chosen, guess, literals_of, shrink, witness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from detect.sigma.condition import Hits
    from detect.sigma.decide import Decision
    from detect.sigma.event import FieldMap, Reader
    from detect.sigma.literals import Clause
    from detect.sigma.ruleset import CompiledRule
    from detect.sigma.scanner import Scanner
    from detect.sigma.witness import Known, Witness

#: Events seen at which the choice of clauses is made again.
REPLAN_AT = (64, 1_024, 16_384)
#: Texts kept to count over, and their bytes together.
SAMPLE_EVENTS = 256
SAMPLE_BYTES = 1_000_000
#: Most clauses that are scanned for a rule.
MAX_CLAUSES = 3
#: What an evaluation costs, in times of what one reported literal costs.
EVALUATION = 20.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule as the bucket's events meet it: read through `fields`, `holds` if it matches.

    `explain` gives the reasons, `tally` counts what it does.
    """

    rule: CompiledRule
    fields: FieldMap
    holds: Decision
    witness: Witness | None
    explain: Callable[[Reader], Hits | None]
    tally: Tally = field(default_factory=Tally, compare=False)


@dataclass(slots=True)
class Plan:
    """What is scanned for: `first` is each literal's candidates, `rest` their further clauses.

    Behind the literals stand the odd letters, each a literal of its own.
    """

    scan: Scanner | None
    first: list[tuple[int, ...]]
    rest: list[tuple[frozenset[int], ...]]
    unwitnessed: tuple[int, ...]


@dataclass(slots=True)
class Bucket:
    """Candidates of the events that have `known` in common."""

    candidates: tuple[Candidate, ...]
    constant: tuple[Candidate, ...]
    plan: Plan
    seen: int = 0
    sample: list[bytes] = field(default_factory=list)
    sampled: int = 0

    def note(self, texts: Sequence[bytes]) -> None:
        """Count events; keep some, and choose the clauses anew when enough were seen."""
        before, self.seen = self.seen, self.seen + len(texts)
        for text in texts:
            if len(self.sample) < SAMPLE_EVENTS and self.sampled < SAMPLE_BYTES:
                self.sample.append(text.lower())
                self.sampled += len(text)
        if any(before < bound <= self.seen for bound in REPLAN_AT):
            self.plan = planned(self.candidates, self.sample)
            self.sample = self.sample[::4] if self.seen < REPLAN_AT[-1] else []
            self.sampled = sum(map(len, self.sample))


def bucket(pairs: Iterable[tuple[FieldMap, CompiledRule]], known: Known) -> Bucket:
    """The bucket of all events that have `known` in common, for these rules."""
    candidates: list[Candidate] = []
    constant: list[Candidate] = []
    for fields, rule in pairs:
        node = shrink(rule.condition, fields, known)
        if not isinstance(node, Always):
            found = witness(node, fields)
            explain = explainer(rule.condition)
            candidates.append(Candidate(rule, fields, decision(node), found, explain))
        elif node.holds:
            constant.append(Candidate(rule, fields, _always, None, rule.condition.evaluate))
    return Bucket(tuple(candidates), tuple(constant), planned(candidates, ()))


def _always(_reader: Reader) -> bool:
    return True


def planned(candidates: Sequence[Candidate], sample: Sequence[bytes]) -> Plan:
    """Choose the clauses by what the sample shows, and build the database."""
    counts = _Counts(candidates, sample)
    found = [counts.choose(candidate.witness) for candidate in candidates]
    literals = sorted({literal for each in found for clause in each for literal in clause})
    number = {literal: at for at, literal in enumerate(literals)}
    first: list[list[int]] = [[] for _ in literals]
    for at, each in enumerate(found):
        for literal in each[0] if each else ():
            first[number[literal]].append(at)
    return Plan(
        scanner([*literals, *_ODD]) if literals else None,
        [tuple(each) for each in first],
        [
            tuple(frozenset(number[literal] for literal in clause) for clause in each[1:])
            for each in found
        ],
        tuple(at for at, each in enumerate(found) if not each),
    )


_ODD = tuple(letter.encode() for letter in ODD_LETTERS)


class _Counts:
    """In which events of the sample each literal is, as the bits of a number."""

    def __init__(self, candidates: Sequence[Candidate], sample: Sequence[bytes]) -> None:
        self._events = len(sample)
        self._bits: dict[bytes, int] = {}
        if sample:
            self._count(candidates, sample)

    def _count(self, candidates: Sequence[Candidate], sample: Sequence[bytes]) -> None:
        found = (each.witness for each in candidates if each.witness is not None)
        literals = sorted({literal for each in found for literal in literals_of(each)})
        scan = scanner(literals)
        if scan is None:
            return
        for at, text in enumerate(sample):
            for number in {number for _, number in scan(text)}:
                literal = literals[number]
                self._bits[literal] = self._bits.get(literal, 0) | 1 << at

    def _of(self, clause: Clause) -> int:
        bits = 0
        for literal in clause:
            bits |= self._bits.get(literal, 0)
        return bits

    def _cost(self, clause: Clause) -> float:
        return self._of(clause).bit_count() + guess(clause)

    def choose(self, found: Witness | None) -> list[Clause]:
        """The clause that lets the least through, and others while they save more than cost."""
        clauses = [] if found is None else sorted(set(chosen(found, self._cost)), key=self._cost)
        if not clauses or not self._events:
            return clauses[:1]
        taken, left = clauses[:1], self._of(clauses[0])
        for clause in clauses[1:]:
            bits = self._of(clause)
            saved = (left & ~bits).bit_count() * EVALUATION
            if len(taken) < MAX_CLAUSES and saved > bits.bit_count():
                taken.append(clause)
                left &= bits
        if left.bit_count() == self._events:
            return []  # in every event: to evaluate it always is cheaper than to look for it
        return taken
