"""Time that passes over correlations: the clock of silent partitions, and what comes too late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from detect.correlate import CorrelateStage
from detect.correlated import Clock
from tests.detect.flow import (
    CORRELATIONS,
    FEW,
    HOUR,
    LATENESS,
    LATER,
    MINUTE,
    NOW,
    SECOND,
    START,
    Login,
    failures,
    fed,
    records,
    reloaded,
    run,
)
from tocsin.contracts import Topics
from tocsin.log.base import Outgoing, Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    import random


def test_what_is_decided_at_once_needs_no_clock() -> None:
    stage, state = CorrelateStage(CORRELATIONS, lateness=LATENESS), KeyedState()
    stage.process(records(fed(failures(12), *CORRELATIONS), Topics.CORRELATE), state, NOW)
    assert not stage.tick(0, state, NOW + 30 * 24 * HOUR)


def told(stage: CorrelateStage, state: KeyedState, at: int) -> list[Record]:
    """What the stage tells itself in a tick at this time."""
    made = stage.tick(0, state, at)
    assert [output.partition for output in made] == [0] * len(made)
    return records(made, Topics.CORRELATE, 1_000)


def test_where_all_is_silent_the_clock_decides() -> None:
    stage, state = CorrelateStage([FEW], lateness=LATENESS), KeyedState()
    last = records(fed([Login(START, 1)], FEW), Topics.CORRELATE)
    stage.process(last, state, START)
    wide = FEW.timespan
    assert not told(stage, state, START + LATENESS - 1), "quiet for too short a time"
    assert not told(stage, state, START + LATENESS), "its window is open to late events"
    due = START + wide + LATENESS
    (clock,) = told(stage, state, due)
    assert not told(stage, state, due + LATENESS - 1), "told once in that time"
    batch = stage.process([clock], state, due)
    assert batch.filtered == {"clock": 1}
    assert batch.accounted == 1
    assert [output.topic for output in batch.outputs] == [Topics.FINDINGS]
    again = CorrelateStage([FEW], lateness=LATENESS)
    assert again.process([clock], reloaded(state), due).outputs == batch.outputs


def test_after_a_restart_the_clock_waits_for_what_may_be_on_its_way() -> None:
    stage, state = CorrelateStage([FEW], lateness=LATENESS), KeyedState()
    stage.process(records(fed([Login(START, 1)], FEW), Topics.CORRELATE), state, START)
    stage, state, later = CorrelateStage([FEW], lateness=LATENESS), reloaded(state), START + HOUR
    assert not told(stage, state, later)
    stage.process(records(fed([Login(START + SECOND, 2)], FEW), Topics.CORRELATE, 1), state, later)
    assert not told(stage, state, later + LATENESS - 1)
    assert told(stage, state, later + LATENESS)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_clock_decides_what_a_later_event_would_have(
    minutes: list[int], chance: random.Random
) -> None:
    logins = [Login(START + minute * MINUTE, n) for n, minute in enumerate(minutes)]
    end = START + 10 * HOUR
    other = Login(end, 99, source="198.51.100.7")
    by_event, _ = run([*fed(logins, *LATER), *fed([other], *LATER)], LATER)
    chance.shuffle(logins)
    clock = Outgoing(Topics.CORRELATE, Clock(end).encode())
    by_clock, _ = run([*fed(logins, *LATER), clock], LATER)
    theirs = {found.id for found in by_event if "198.51.100.7" not in found.key}
    assert {found.id for found in by_clock} == theirs


def test_what_comes_too_late_for_a_closed_window_is_filtered_and_noted() -> None:
    stage, state = CorrelateStage([FEW], lateness=MINUTE), KeyedState()
    logins = [Login(START, 1), Login(START + HOUR, 2), Login(START + MINUTE, 3)]
    batch = stage.process(records(fed(logins, FEW), Topics.CORRELATE), state, NOW)
    assert batch.filtered == {"late": 1}
    assert batch.noted == {"late": 1}
    assert batch.accounted == 3
