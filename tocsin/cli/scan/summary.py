"""What a report says of all hits together, in bounded memory however many there are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from detect.lint.attack import tactics, techniques
from tocsin.clock import parse_iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tocsin.cli.scan.matching import Hit

#: Sigma's levels, from the least to the most severe.
LEVELS = ("informational", "low", "medium", "high", "critical")
#: Hits that are shown one by one, for each level kept.
MAX_HITS = 2_000
#: Different hosts, users and addresses that are counted.
MAX_ENTITIES = 10_000
#: Different stretches of time that are counted before they are made longer.
MAX_SPANS = 5_000

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@dataclass(slots=True)
class RuleSummary:
    """What one rule hit: how often, first and last, where."""

    rule: str
    title: str
    level: str
    tags: tuple[str, ...]
    count: int = 0
    first: Hit | None = None
    last: str = ""
    hosts: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Summary:
    """Hits as they come, counted by everything that a report shows."""

    hits: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    rules: dict[str, RuleSummary] = field(default_factory=dict)
    entities: dict[str, Counter[str]] = field(
        default_factory=lambda: {"host": Counter(), "user": Counter(), "source": Counter()}
    )
    #: Hits by tactic and technique, as rules are tagged.
    attack: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Hits by the start of a stretch of `span` ms, and level.
    times: Counter[tuple[int, str]] = field(default_factory=Counter)
    span: int = MINUTE
    kept: dict[str, list[Hit]] = field(default_factory=lambda: {level: [] for level in LEVELS})
    #: The tactics of techniques, as far as the rules tell them.
    places: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def add(self, hits: Iterable[Hit]) -> None:
        """Count hits."""
        for hit in hits:
            self.hits += 1
            self.levels[hit.level] += 1
            self._rule(hit)
            for kind, value in (("host", hit.host), ("user", hit.user), ("source", hit.source)):
                _count(self.entities[kind], value)
            for cell in cells(hit.tags, self.places):
                self.attack[cell] += 1
            self._time(hit)
            if len(self.kept[hit.level]) < MAX_HITS:
                self.kept[hit.level].append(hit)

    def _rule(self, hit: Hit) -> None:
        rule = self.rules.get(hit.rule)
        if rule is None:
            rule = self.rules[hit.rule] = RuleSummary(hit.rule, hit.title, hit.level, hit.tags)
        rule.count += 1
        if rule.first is None or hit.at < rule.first.at:
            rule.first = hit
        rule.last = max(rule.last, hit.at)
        _count(rule.hosts, hit.host)

    def _time(self, hit: Hit) -> None:
        try:
            at = parse_iso(hit.at)
        except (ValueError, OverflowError):
            return
        self.times[at // self.span * self.span, hit.level] += 1
        if len(self.times) > MAX_SPANS:
            self._coarsen()

    def _coarsen(self) -> None:
        """Longer stretches: hours, days, then as long as it takes."""
        self.span = next((s for s in (HOUR, DAY) if s > self.span), self.span * 2)
        coarse: Counter[tuple[int, str]] = Counter()
        for (at, level), count in self.times.items():
            coarse[at // self.span * self.span, level] += count
        self.times = coarse

    def by_severity(self) -> list[RuleSummary]:
        """The rules, the most severe first, then those with most hits."""
        return sorted(
            self.rules.values(), key=lambda r: (-LEVELS.index(r.level), -r.count, r.title, r.rule)
        )

    def shown(self) -> list[Hit]:
        """Hits to be shown one by one: the most severe ones, in the order of time."""
        chosen: list[Hit] = []
        for level in reversed(LEVELS):
            chosen += self.kept[level][: MAX_HITS - len(chosen)]
        return sorted(chosen, key=lambda hit: (hit.at, hit.file, hit.record))


def _count(counter: Counter[str], value: str) -> None:
    if value and (value in counter or len(counter) < MAX_ENTITIES):
        counter[value] += 1


def cells(
    tags: Sequence[str], places: Mapping[str, frozenset[str]] = MappingProxyType({})
) -> list[tuple[str, str]]:
    """Where a rule stands in the ATT&CK matrix: tactic and technique.

    A technique stands under those tactics of the rule that are its own (`places`), as far as that
    is known, one without a tactic under "", and a tactic without technique has the technique "".
    """
    own, found = tactics(tags), techniques(tags)
    pairs: list[tuple[str, str]] = []
    for name in found:
        known = places.get(name.partition(".")[0]) or places.get(name) or frozenset(own)
        pairs += [(tactic, name) for tactic in own if tactic in known] or [("", name)]
    taken = {tactic for tactic, _ in pairs}
    return pairs + [(tactic, "") for tactic in own if tactic not in taken and not found]
