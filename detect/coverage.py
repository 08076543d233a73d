"""What a rule set covers: ATT&CK techniques, and logsources that events come from."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from detect.lint.attack import techniques

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from detect.sigma.ruleset import RuleSet
    from tocsin.contracts import Rule

#: Version of ATT&CK Navigator's layer format (MITRE's own specification of it).
LAYER_VERSION = "4.5"
#: Most rules that a technique's comment names.
MAX_NAMED = 20


class SourceRow(NamedTuple):
    """A logsource of the taxonomy: rules evaluated on it, those that alert, events seen.

    `events` is None where no events were looked at.
    """

    logsource: str
    rules: int
    alerting: int
    events: int | None


class Covered(NamedTuple):
    """A technique and the rules that are tagged with it; `fed` of them have events."""

    technique: str
    rules: tuple[Rule, ...]
    fed: int


class Coverage:
    """Counts events by logsource and says what the rules cover."""

    def __init__(self, ruleset: RuleSet) -> None:
        self._ruleset = ruleset
        self._seen: Counter[int] = Counter()
        self.events = 0
        #: Events that belong to no logsource.
        self.strangers = 0

    def see(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Count events."""
        for event in events:
            route = self._ruleset.taxonomy.route(event)
            self.events += 1
            self.strangers += not route
            self._seen.update(route)

    def sources(self) -> list[SourceRow]:
        """Every logsource that has rules or events, those with most events first."""
        taxonomy = self._ruleset.taxonomy
        rules: dict[str, set[str]] = defaultdict(set)
        alerting: dict[str, set[str]] = defaultdict(set)
        seen: Counter[str] = Counter()
        for position, entry in enumerate(taxonomy.entries):
            seen[str(entry.logsource)] += self._seen[position]
        for rule in self._ruleset.rules:
            for position in taxonomy.bind(rule.logsource):
                logsource = str(taxonomy.entries[position].logsource)
                rules[logsource].add(rule.rule.id)
                if rule.alerts:
                    alerting[logsource].add(rule.rule.id)
        rows = [
            SourceRow(
                name,
                len(rules[name]),
                len(alerting[name]),
                seen[name] if self.events else None,
            )
            for name in seen
            if rules[name] or seen[name]
        ]
        return sorted(rows, key=lambda row: (-(row.events or 0), -row.rules, row.logsource))

    def fed(self) -> set[str]:
        """Ids of the rules some of whose events were seen, correlations by what they refer to."""
        taxonomy = self._ruleset.taxonomy
        found = {
            rule.rule.id
            for rule in self._ruleset.rules
            if any(self._seen[position] for position in taxonomy.bind(rule.logsource))
        }
        for correlation in self._ruleset.correlations:  # in the order of ids, chains in any
            if found & set(correlation.references):
                found.add(correlation.rule.id)
        return found

    def techniques(self) -> list[Covered]:
        """Every technique that a rule or correlation is tagged with."""
        found: dict[str, list[Rule]] = defaultdict(list)
        every = [rule.rule for rule in self._ruleset.rules]
        for rule in [*every, *(c.rule for c in self._ruleset.correlations)]:
            for technique in dict.fromkeys(techniques(rule.tags)):
                found[technique].append(rule)
        fed = self.fed()
        return [
            Covered(name, tuple(rules), sum(rule.id in fed for rule in rules))
            for name, rules in sorted(found.items())
        ]


def layer(name: str, covered: Sequence[Covered], *, by_events: bool) -> dict[str, Any]:
    """An ATT&CK Navigator layer: a technique's score is the number of its rules.

    `by_events`: only of rules some of whose events were seen; techniques that have rules but no
    events are then shown with a score of 0.
    """
    scores = {each.technique: each.fed if by_events else len(each.rules) for each in covered}
    parents = {name.partition(".")[0] for name in scores if "." in name}
    return {
        "name": name,
        "versions": {"layer": LAYER_VERSION},
        "domain": "enterprise-attack",
        "description": "Rules by technique"
        + (", of those whose logsources have events" if by_events else ""),
        "sorting": 3,
        "techniques": [
            {
                "techniqueID": each.technique,
                "score": scores[each.technique],
                "enabled": True,
                "comment": _comment(each.rules),
                "showSubtechniques": each.technique in parents,
            }
            for each in covered
        ],
        "gradient": {
            "colors": ["#f4f4f2", "#9cc9a3", "#1f6f43"],
            "minValue": 0,
            "maxValue": max(10, *scores.values()) if scores else 10,
        },
        "legendItems": [],
    }


def _comment(rules: Sequence[Rule]) -> str:
    named = "\n".join(f"{rule.name} ({rule.level})" for rule in rules[:MAX_NAMED])
    more = len(rules) - MAX_NAMED
    return f"{named}\nand {more} more" if more > 0 else named
