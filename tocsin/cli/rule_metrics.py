"""Per-rule metrics: what each rule was evaluated on, matched, and cost.

Rules that were never a candidate are left out: of thousands of rules, few meet their events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from detect.sigma.tally import RuleCost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from detect.match import MatchStage

_NOTHING = RuleCost()


class RuleCosts(Collector):
    """Collects the costs of the match stages of a process when they are asked for."""

    def __init__(self, stages: Callable[[], Iterable[MatchStage]]) -> None:
        self._stages = stages

    def costs(self) -> dict[str, RuleCost]:
        """What each rule did in all of the stages together, by id."""
        total: dict[str, RuleCost] = {}
        for stage in self._stages():
            for rule_id, cost in stage.costs().items():
                total[rule_id] = total.get(rule_id, _NOTHING).both(cost)
        return total

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The families, as prometheus_client asks for them."""
        costs = self.costs()
        for name, text, part in (
            ("candidates", "events that a rule was evaluated on", "candidates"),
            ("matches", "events that a rule matched", "matches"),
            ("seconds", "time spent evaluating a rule, from a sample", "seconds"),
        ):
            family = CounterMetricFamily(f"tocsin_rule_{name}", text, labels=["rule"])
            for rule_id, cost in sorted(costs.items()):
                family.add_metric([rule_id], float(getattr(cost, part)))
            yield family
