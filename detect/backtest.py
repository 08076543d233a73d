"""Rules on events of the past: hits, the alerts that would have been, entities, exceptions, cost.

The stages are those of the pipeline, with their state in memory, so an alert here is an alert
there. What is kept for the report is bounded; what did not fit is counted.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import orjson

from detect.alerts import AlertStage
from detect.correlate import CorrelateStage
from detect.match import MatchStage, text_of_record
from detect.sigma.batch import BatchMatcher
from detect.sigma.ruleset import RuleSet
from detect.sigma.tally import RuleCost
from tocsin.contracts import Topics
from tocsin.log.base import Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from detect.sigma.batch import Matched
    from detect.sigma.ruleset import CompiledRule
    from tocsin.log.base import Outgoing

#: Alerts whose ids are remembered, and different entities counted for a rule.
MAX_ALERTS = 500_000
MAX_ENTITIES = 10_000
#: Batches whose time is kept.
MAX_BATCHES = 10_000

#: Entities that a report names, by ECS field.
ENTITIES = ("user.name", "source.ip", "host.name")


@dataclass(slots=True)
class RuleResult:
    """What one rule did: hits, hits that filters took away, alerts by day (UTC), entities."""

    hits: int = 0
    excepted: Counter[str] = field(default_factory=Counter)
    alerts: Counter[str] = field(default_factory=Counter)
    entities: Counter[str] = field(default_factory=Counter)
    cost: RuleCost = field(default_factory=RuleCost)


class Backtest:
    """Feeds events to the stages and keeps what a report needs; `lateness` as configured, ms."""

    def __init__(
        self, ruleset: RuleSet, *, lateness: int, timer: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self.events = 0
        self._batches: list[float] = []
        #: Alerts beyond MAX_ALERTS, which may have been counted twice.
        self.forgotten = 0
        #: Events by UTC day; those without a time stand under "".
        self.days: Counter[str] = Counter()
        self._match = MatchStage(ruleset, BatchMatcher(ruleset, timed_every=1, timer=timer))
        self._correlate = CorrelateStage(ruleset.correlations, lateness=lateness)
        self._alert = AlertStage(lateness=lateness, correlations=ruleset.correlations)
        self._windows, self._alerts = KeyedState(), KeyedState()
        self._offsets: Counter[str] = Counter()
        self._known: set[str] = set()
        self._results: dict[str, RuleResult] = defaultdict(RuleResult)
        self._unfiltered = _unfiltered(ruleset)
        self._filters = {rule.rule.id: rule for rule in ruleset.rules if rule.filters}
        self._timer = timer

    def feed(self, records: Sequence[Record], now: int) -> None:
        """Events in the order they came; `now` in ms."""
        before = self._timer()
        found = self._match.matched(records)
        if records and len(self._batches) < MAX_BATCHES:
            self._batches.append((self._timer() - before) / len(records))
        self.events += len(records)
        self.days.update(map(_day, records))
        for at in found:
            for match in found[at].matches:
                result = self._results[match.rule.rule.id]
                result.hits += 1
                _count(result.entities, found[at].event)
        self._except(records)
        self._alerted(self._match.made(records, found).outputs, now)

    def finish(self, now: int) -> None:
        """There are no more events: what waited for late ones is decided."""
        self._alerted(list(self._correlate.end(self._windows)), now)

    def _except(self, records: Sequence[Record]) -> None:
        """Hits that rules would have without their filters, by the filter that took them away."""
        if self._unfiltered is None:
            return
        found = self._unfiltered.match([text_of_record(record) for record in records])
        for matched in found.values():
            self._excepted(matched)

    def _excepted(self, matched: Matched) -> None:
        for match in matched.matches:
            for each in self._filters[match.rule.rule.id].filters:
                if each.condition.evaluate(match.reader) is None:
                    self._results[match.rule.rule.id].excepted[each.id] += 1

    def _alerted(self, outputs: Sequence[Outgoing], now: int) -> None:
        findings = [o for o in outputs if o.topic == Topics.FINDINGS]
        pending = [o for o in outputs if o.topic == Topics.CORRELATE]
        while pending:
            records = self._records(pending)
            made = self._correlate.process(records, self._windows, now).outputs
            findings += [o for o in made if o.topic == Topics.FINDINGS]
            pending = [o for o in made if o.topic == Topics.CORRELATE]
        if findings:
            batch = self._alert.process(self._records(findings), self._alerts, now)
            for output in (*batch.outputs, *self._alert.tick(0, self._alerts, now)):
                self._note(orjson.loads(output.value))
        self._windows.saved()
        self._alerts.saved()

    def _records(self, outputs: Sequence[Outgoing]) -> list[Record]:
        records = []
        for output in outputs:
            offset = self._offsets[output.topic]
            self._offsets[output.topic] += 1
            records.append(Record(output.topic, 0, offset, output.key, output.value))
        return records

    def _note(self, alert: Mapping[str, Any]) -> None:
        identity = alert["event"]["id"]
        if identity in self._known:
            return
        if len(self._known) < MAX_ALERTS:
            self._known.add(identity)
        else:
            self.forgotten += 1
        day = alert["event"]["start"][:10]
        self._results[alert["rule"]["id"]].alerts[day] += 1

    @property
    def nanoseconds(self) -> float:
        """What matching an event costs, by the median batch: the first ones build databases."""
        return statistics.median(self._batches) if self._batches else 0.0

    def results(self) -> dict[str, RuleResult]:
        """What each rule did that was a candidate, hit or alerted, by id."""
        for rule_id, cost in self._match.costs().items():
            self._results[rule_id].cost = cost
        return dict(self._results)


_TIME = b'"@timestamp":"'


def _day(record: Record) -> str:
    """The day of an event, read out of its text: most events are decoded for nothing else."""
    at = record.value.find(_TIME)
    start = at + len(_TIME)
    return record.value[start : start + 10].decode("ascii", "replace") if at >= 0 else ""


def _count(entities: Counter[str], event: Mapping[str, Any]) -> None:
    for name in ENTITIES:
        node: Any = event
        for key in name.split("."):
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, str) and (node in entities or len(entities) < MAX_ENTITIES):
            entities[node] += 1


def _unfiltered(ruleset: RuleSet) -> BatchMatcher | None:
    """A matcher of the rules that filters apply to, as they are without them."""
    rules = [_bare(rule) for rule in ruleset.rules if rule.filters]
    return BatchMatcher(RuleSet(rules, (), ruleset.taxonomy)) if rules else None


def _bare(rule: CompiledRule) -> CompiledRule:
    return replace(rule, condition=rule.own_condition, filters=())
