"""What becomes of events: the alerts that the stages make of them, and what a test expects.

The stages are those of the pipeline, fed in memory, so a title or deduplication key that a test
sees is the one that an analyst will.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from detect.alerts import AlertStage, parse_alert_document
from detect.correlate import CorrelateStage
from detect.match import MatchStage
from tocsin.contracts import SEVERITY, Topics
from tocsin.log.base import Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from detect.sigma.ruleset import RuleSet
    from tocsin.contracts import Alert
    from tocsin.log.base import Outgoing

#: How late an event may be in a test, ms; tests write their events in order.
LATENESS = 600_000

_KEYS = {"title", "severity", "key", "count"}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a test says of the alert: each only where it says it."""

    title: str | None
    severity: int | None
    key: dict[str, str] | None
    count: int | None


def expected(given: Any) -> Expected:
    """The expectation as a test writes it down; raises ValueError for what is none."""
    if not isinstance(given, dict) or not given or not set(given) <= _KEYS:
        raise ValueError(f"alert has {', '.join(sorted(_KEYS))}, at least one")
    severity = given.get("severity")
    if isinstance(severity, str):
        if severity not in SEVERITY:
            raise ValueError("alert.severity is a number from 0 to 100, or a level")
        severity = SEVERITY[severity]
    key = given.get("key")
    if key is not None and not isinstance(key, dict):
        raise ValueError("alert.key maps ECS fields to values")
    for name, value, kind in (
        ("title", given.get("title"), str),
        ("severity", severity, int),
        ("count", given.get("count"), int),
    ):
        if value is not None and not isinstance(value, kind):
            raise ValueError(f"alert.{name} is no {kind.__name__}")
    fields = None if key is None else {str(name): str(value) for name, value in key.items()}
    return Expected(given.get("title"), severity, fields, given.get("count"))


class Flow:
    """Match, correlate and alert over one rule set, in memory; one test after the other."""

    def __init__(self, ruleset: RuleSet) -> None:
        self._ruleset = ruleset
        self._match = MatchStage(ruleset)

    def alerts(self, events: Sequence[tuple[int, Mapping[str, Any]]]) -> list[Alert]:
        """The alerts of the events ((ms, event), in order of time), each in its last form."""
        correlations = self._ruleset.correlations
        correlate = CorrelateStage(correlations, lateness=LATENESS)
        alert = AlertStage(lateness=LATENESS, correlations=correlations)
        inputs = [
            Record(Topics.EVENTS, 0, n, b"", orjson.dumps(event), timestamp=at)
            for n, (at, event) in enumerate(events)
        ]
        now = events[-1][0] if events else 0
        outputs = list(self._match.process(inputs, KeyedState(), now).outputs)
        state, offset = KeyedState(), 0
        pending = _records(outputs, Topics.CORRELATE, 0)
        ended = False
        while pending:
            made = correlate.process(pending, state, now + 1).outputs
            offset += len(pending)
            outputs += made
            pending = _records(made, Topics.CORRELATE, offset)
            if not pending and not ended:
                pending, ended = _records(correlate.end(state), Topics.CORRELATE, offset), True
        alerts = KeyedState()
        documents = alert.process(_records(outputs, Topics.FINDINGS, 0), alerts, now).outputs
        documents = [*documents, *alert.tick(0, alerts, now)]
        last: dict[str, Alert] = {}
        for document in documents:
            if document.topic == Topics.ALERTS:
                found = parse_alert_document(orjson.loads(document.value))
                last[found.id] = found
        return list(last.values())


def _records(outputs: Iterable[Outgoing], topic: str, first: int) -> list[Record]:
    chosen = (output for output in outputs if output.topic == topic)
    return [
        Record(o.topic, 0, first + n, o.key, o.value, timestamp=o.timestamp or 0)
        for n, o in enumerate(chosen)
    ]


def difference(wanted: Expected, alerts: Sequence[Alert]) -> str:
    """Why none of the rule's alerts is as expected; "" if one is."""
    if not alerts:
        return "no alert: the rule only feeds correlations, is disabled, or has tocsin.alert: false"
    found = [_unlike(wanted, alert) for alert in alerts]
    return "" if "" in found else min(found, key=len)


def _unlike(wanted: Expected, alert: Alert) -> str:
    parts = (
        ("title", wanted.title, alert.message),
        ("severity", wanted.severity, alert.severity),
        ("key", wanted.key, alert.fields),
        ("count", wanted.count, alert.count),
    )
    return "; ".join(
        f"the alert's {name} is {got!r}, not {want!r}"
        for name, want, got in parts
        if want is not None and want != got
    )
