"""The replay and the correlate stage give every answer of the vectors about correlations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from detect.correlate import CorrelateStage
from detect.match import MatchStage
from detect.sigma.replay import replay
from tests.detect.conformance.cases import BASE, CORRELATED, events, identify, loaded
from tests.detect.sigma.support import rule
from tests.detect.sigma.test_correlations import correlation
from tocsin.clock import iso
from tocsin.contracts import GroupedFinding, Topics
from tocsin.log.base import Outgoing, Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LATENESS = 3_600_000
#: A rule and a correlation of its own that move time on without satisfying anything.
TICK = rule(50, name="tick", detection={"s": {"is": "tick"}, "condition": "s"})
NEVER = {"type": "event_count", "timespan": "1m", "condition": {"gte": 1_000_000}}


def probe(number: int, name: str) -> dict[str, Any]:
    """A correlation whose input shows what satisfies `name`."""
    return correlation(number, **{**NEVER, "rules": [name], "group-by": None}, name=f"of {name}")


@pytest.mark.parametrize("case", CORRELATED, ids=identify)
def test_the_replay(case: dict[str, Any], tmp_path: Path) -> None:
    rules = loaded(tmp_path, case)
    assert not rules.unsupported
    until = (BASE + case["until"] * 1000, {"is": "nothing"})
    found = replay(rules, [*events(case), until])
    names = {found.rule.id: found.rule.name for found in rules.correlations}
    satisfied = {
        names[rule_id]: [occurrence.event for occurrence in occurrences]
        for rule_id, occurrences in found.items()
        if rule_id in names
    }
    assert {name: sorted(found) for name, found in satisfied.items()} == case["satisfied"]


@pytest.mark.parametrize("batch", [1, 100])
@pytest.mark.parametrize("case", CORRELATED, ids=identify)
def test_the_correlate_stage(case: dict[str, Any], batch: int, tmp_path: Path) -> None:
    probes = [probe(n, each["name"]) for n, each in enumerate(case["correlations"], 201)]
    rules = loaded(tmp_path, case, TICK, probe(200, "tick"), *probes)
    ids = {found.rule.id: found.rule.name for found in rules.correlations}
    names = {f"Correlation {n}": each["name"] for n, each in enumerate(case["correlations"], 201)}
    tick = BASE + case["until"] * 1000 + LATENESS
    last = (tick, {"is": "tick", "@timestamp": iso(tick), "event": {"id": "f" * 32}})
    inputs = _matched(rules, [*events(case), last])
    stage = CorrelateStage(
        [replace(each, alerts=True) for each in rules.correlations], lateness=LATENESS
    )
    satisfied: dict[str, set[int]] = {}
    state, offset = KeyedState(), 0
    while inputs:
        records = _records(inputs[:batch], offset)
        offset += len(records)
        made = stage.process(records, state, tick).outputs
        chained = [output for output in made if output.topic == Topics.CORRELATE]
        inputs = inputs[batch:] + chained
        for output in chained:
            grouped = GroupedFinding.decode(output.value)
            if (name := names.get(ids[grouped.correlation])) is not None:
                satisfied.setdefault(name, set()).add(int(grouped.value.partition("@")[0], 16))
    assert {name: sorted(found) for name, found in satisfied.items()} == case["satisfied"]


def _matched(rules: Any, given: Sequence[tuple[int, dict[str, Any]]]) -> list[Outgoing]:
    records = [
        Record(Topics.EVENTS, 0, offset, None, orjson.dumps(event))
        for offset, (_, event) in enumerate(given)
    ]
    made = MatchStage(rules).process(records, KeyedState(), 0)
    return [output for output in made.outputs if output.topic == Topics.CORRELATE]


def _records(outputs: Sequence[Outgoing], first: int) -> list[Record]:
    return [
        Record(output.topic, 0, offset, output.key, output.value)
        for offset, output in enumerate(outputs, first)
    ]


@pytest.mark.parametrize("case", [c for c in CORRELATED if "alerting" in c], ids=identify)
def test_what_alerts_itself(case: dict[str, Any], tmp_path: Path) -> None:
    rules = loaded(tmp_path, case)
    ids = {each["name"]: each["name"] for each in case["correlations"]}
    rule_names = dict(zip(["Rule 1", "Rule 2", "Rule 3", "Rule 4"], "abcd", strict=True))
    alerting = {rule_names[found.rule.name] for found in rules.rules if found.alerts}
    alerting |= {ids[found.rule.name] for found in rules.correlations if found.alerts}
    assert alerting == set(case["alerting"])
