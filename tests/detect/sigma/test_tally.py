"""What a rule costs is counted, its time estimated, and nothing of it changes what matches."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import orjson

from detect.match import MatchStage
from detect.sigma.batch import BatchMatcher, EventText
from detect.sigma.tally import TIMED_EVERY
from tests.detect.sigma.support import load, rule
from tocsin.contracts import Topics
from tocsin.log.base import Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from pathlib import Path

RARE = rule(1, detection={"s": {"field|contains": "needle"}, "condition": "s"})
OFTEN = rule(
    2, detection={"s": {"field|contains": "event", "other": "never there"}, "condition": "s"}
)


def texts(*fields: str) -> list[EventText]:
    return [EventText(orjson.dumps({"field": field})) for field in fields]


def test_candidates_and_matches_are_counted_by_rule(tmp_path: Path) -> None:
    matcher = BatchMatcher(load(tmp_path, RARE, OFTEN))
    matcher.match(texts("a needle", "an event", "needle again"))
    assert matcher.costs()[RARE["id"]][:2] == (2, 2)
    assert OFTEN["id"] not in matcher.costs()


def test_time_is_taken_on_some_events_and_stands_for_all(tmp_path: Path) -> None:
    ticks = count(0, 1_000)  # each look at the timer is a microsecond later
    matcher = BatchMatcher(load(tmp_path, RARE), timer=lambda: next(ticks))
    for number in range(TIMED_EVERY * 4):
        matcher.match(texts(f"needle {number}"))
    cost = matcher.costs()[RARE["id"]]
    assert cost.candidates == cost.matches == TIMED_EVERY * 4
    assert round(cost.seconds * 1e6) == TIMED_EVERY * 4


def record(offset: int, field: str) -> Record:
    return Record(Topics.EVENTS, 0, offset, b"", orjson.dumps({"field": field}), timestamp=1)


def test_other_rules_are_used_from_the_next_batch_on(tmp_path: Path) -> None:
    before = load(tmp_path, RARE)
    changed = rule(1, detection={"s": {"field|contains": "event"}, "condition": "s"})
    after = load(tmp_path, changed, rule(3))
    stage = MatchStage(before)
    assert stage.process([record(0, "needle")], KeyedState(), 1).sent == 1
    matcher = stage.matcher_like(after)
    assert stage.process([record(1, "event")], KeyedState(), 1).sent == 0
    stage.use(after, matcher)
    assert stage.process([record(2, "event")], KeyedState(), 1).sent == 1
    assert stage.process([record(3, "needle")], KeyedState(), 1).sent == 0
    assert stage.costs()[RARE["id"]].matches == 2  # what both sets did


def test_the_kinds_of_events_that_came_are_prepared(tmp_path: Path) -> None:
    stage = MatchStage(load(tmp_path, RARE))
    stage.process([record(0, "needle")], KeyedState(), 1)
    prepared = stage.matcher_like(load(tmp_path, RARE))
    assert len(prepared._buckets) == len(stage._matcher._buckets) == 1
    prepared.match(texts("needle"))
    assert len(prepared._buckets) == 1
