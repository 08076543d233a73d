"""The rules that can be evaluated, and the plain matcher over them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from detect.sigma.condition import Hits, Node, Step, explain
from detect.sigma.event import FieldMap, Reader
from tocsin.errors import ContentErrors, Place, RuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from detect.model import AlertPolicy, Correlation
    from detect.sigma.taxonomy import Logsource, Taxonomy
    from tocsin.contracts import Rule


@dataclass(frozen=True, slots=True)
class Filter:
    """A Sigma filter: its condition is added to every rule that it names (`rules` None: any)."""

    id: str
    title: str
    logsource: Logsource
    condition: Node
    digest: str
    rules: frozenset[str] | None
    place: Place

    def applies(self, rule_id: str, logsource: Logsource) -> bool:
        """Whether the rule of that id and logsource is filtered."""
        named = self.rules is None or rule_id in self.rules
        return named and self.logsource.covers(logsource)


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A Sigma rule ready to be evaluated.

    The condition speaks Sigma's field names; the taxonomy entry that an event came by says where
    they live, so one compiled rule serves every logsource that it covers. `alerts` is False for
    a rule that only feeds correlations. `fields` replaces the entry's field map where the rule
    says that it speaks another taxonomy than Sigma's. The conditions of `filters` are part of
    `condition` already.
    """

    rule: Rule
    logsource: Logsource
    condition: Node
    policy: AlertPolicy
    alerts: bool
    place: Place
    fields: FieldMap | None = None
    tests: tuple[Any, ...] = ()
    filters: tuple[Filter, ...] = ()

    @property
    def own_condition(self) -> Node:
        """The condition that stands in the rule, without those of filters."""
        return self.condition.children()[0] if self.filters else self.condition


class Unevaluated(NamedTuple):
    """A rule that was loaded but cannot be evaluated, and why."""

    id: str
    title: str
    reason: str


class Readers(Protocol):
    """An event that can be read through several field maps."""

    def reader(self, slot: int) -> Reader:
        """The event, read through the map of that number."""
        ...


class Match:
    """A rule matched an event: why, and the event read through the entry's field map."""

    __slots__ = ("_hits", "_read", "_slot", "rule")

    def __init__(
        self,
        rule: CompiledRule,
        hits: Hits | Callable[[Reader], Hits | None],
        read: Reader | Readers,
        slot: int = 0,
    ) -> None:
        """The reasons, or what finds them when they are asked for; the reader, or one of several.

        A stream has many matches, of which some are never looked into.
        """
        self.rule = rule
        self._hits = hits
        self._read = read
        self._slot = slot

    @property
    def reader(self) -> Reader:
        """The event, read through the field map by which the rule saw it."""
        read = self._read
        return read if isinstance(read, Reader) else read.reader(self._slot)

    @property
    def hits(self) -> Hits:
        """The reasons; a rule that only excludes has none."""
        if callable(self._hits):
            self._hits = self._hits(self.reader) or ()
        return self._hits


class Explanation(NamedTuple):
    """How a rule saw an event: the logsource it was read as, the verdict, every step."""

    logsource: Logsource
    matched: bool
    steps: tuple[Step, ...]


class RuleSet:
    """Rules with their taxonomy: `match` is a function of the event alone."""

    def __init__(
        self,
        rules: Sequence[CompiledRule],
        correlations: Sequence[Correlation],
        taxonomy: Taxonomy,
        *,
        errors: Sequence[RuleError] = (),
        unsupported: Sequence[Unevaluated] = (),
        correlation_tests: Mapping[str, tuple[Any, ...]] | None = None,
        filters: Sequence[Filter] = (),
        places: Mapping[str, Place] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """`correlation_tests` and `places` are the tests and places of correlations, by id.

        `names` maps what rules may be called to their ids.
        """
        self.rules = tuple(sorted(rules, key=lambda rule: rule.rule.id))
        self.correlations = tuple(sorted(correlations, key=lambda c: c.rule.id))
        self.taxonomy = taxonomy
        self.errors = tuple(errors)
        self.unsupported = tuple(sorted(unsupported))
        self.correlation_tests = dict(correlation_tests or {})
        self.filters = tuple(filters)
        self.places = {**(places or {}), **{rule.rule.id: rule.place for rule in self.rules}}
        self.names = {**(names or {}), **{rule_id: rule_id for rule_id in self.places}}
        self._by_id = {rule.rule.id: rule for rule in self.rules}
        buckets: list[list[tuple[FieldMap, CompiledRule]]] = [[] for _ in taxonomy.entries]
        for rule in self.rules:
            for position in taxonomy.bind(rule.logsource):
                fields = rule.fields or taxonomy.entries[position].fields
                buckets[position].append((fields, rule))
        self._buckets = tuple(map(tuple, buckets))
        referring: dict[str, list[Correlation]] = defaultdict(list)
        for correlation in self.correlations:
            for reference in dict.fromkeys(correlation.references):
                referring[reference].append(correlation)
        self._referring = {key: tuple(found) for key, found in referring.items()}

    def pairs(self, route: Iterable[int]) -> Iterator[tuple[FieldMap, CompiledRule]]:
        """The rules that concern events of these logsources, each with its field map."""
        for position in route:
            yield from self._buckets[position]

    def rule(self, rule_id: str) -> CompiledRule | None:
        """The rule of that id, None if there is none that can be evaluated."""
        return self._by_id.get(rule_id)

    def referring(self, rule_id: str) -> tuple[Correlation, ...]:
        """The correlations that refer to a rule (or to another correlation)."""
        return self._referring.get(rule_id, ())

    def check(self) -> RuleSet:
        """This set; raises ContentErrors if anything in it was wrong."""
        if self.errors:
            raise ContentErrors(self.errors)
        return self

    def match(self, event: Mapping[str, Any]) -> list[Match]:
        """Every rule that matches the event, in the order of their ids."""
        found: dict[str, Match] = {}
        readers: dict[int, Reader] = {}
        for position in self.taxonomy.route(event):
            for fields, rule in self._buckets[position]:
                reader = readers.get(id(fields))
                if reader is None:
                    reader = readers[id(fields)] = Reader(event, fields)
                hits = rule.condition.evaluate(reader)
                if hits is not None:
                    found.setdefault(rule.rule.id, Match(rule, hits, reader))
        return [found[rule_id] for rule_id in sorted(found)]

    def explain(self, event: Mapping[str, Any], rule_id: str) -> list[Explanation]:
        """How the rule sees the event, once for each logsource by which it reaches the rule.

        Empty if the event belongs to none of them; raises KeyError for an unknown rule.
        """
        rule = self._by_id[rule_id]
        route = set(self.taxonomy.route(event)) & set(self.taxonomy.bind(rule.logsource))
        explanations: list[Explanation] = []
        for position in sorted(route):
            entry = self.taxonomy.entries[position]
            reader = Reader(event, rule.fields or entry.fields)
            steps = tuple(explain(rule.condition, reader))
            explanations.append(Explanation(entry.logsource, steps[0].held, steps))
        return explanations
