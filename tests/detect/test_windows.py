"""Windows against a naive oracle that remembers everything: any order, any repetition."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect import windows
from detect.expiry import REDELIVERY
from detect.windows import Condition, Firing, Occurrence, add
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SPAN = 10


class Event(NamedTuple):
    at: int
    event_id: str
    value: str


class Emitted(NamedTuple):
    """What came out, or should have: satisfied events, and all evidence."""

    fired: frozenset[str]
    evidence: frozenset[str]


def oracle(condition: Condition, events: Iterable[Event]) -> Emitted:
    """The definition, word by word."""
    all_events = set(events)
    fired: set[str] = set()
    evidence: set[str] = set()
    for event in all_events:
        window = [e for e in all_events if event.at - condition.timespan < e.at <= event.at]
        if satisfied(condition, event, window):
            fired.add(event.event_id)
            evidence.update(e.event_id for e in window)
    return Emitted(frozenset(fired), frozenset(evidence))


def satisfied(condition: Condition, event: Event, window: Sequence[Event]) -> bool:
    if condition.type == "event_count":
        return len({e.event_id for e in window}) >= condition.threshold
    if condition.type != "temporal_ordered":
        return len({e.value for e in window}) >= condition.threshold
    if event.value != condition.order[-1]:
        return False
    since = event.at - condition.timespan
    for rule in condition.order:
        times = [e.at for e in window if e.value == rule and e.at >= since]
        if not times:
            return False
        since = min(times)
    return True


def run(
    condition: Condition,
    events: Sequence[Event],
    state: KeyedState,
    first_offset: int = 0,
    stride: int = 1,
) -> list[Firing]:
    firings: list[Firing] = []
    for number, event in enumerate(events, first_offset):
        occurrence = Occurrence(event.at, event.event_id, event.value, number * stride)
        firings += add(state, "g", condition, occurrence, {"id": event.event_id}).firings
    return firings


def union(firings: Iterable[Firing]) -> Emitted:
    listed = list(firings)
    for firing in listed:
        assert firing.event in firing.evidence
        assert all(shown.member["id"] == shown.event_id for shown in firing.evidence)
    return Emitted(
        frozenset(firing.event.event_id for firing in listed),
        frozenset(shown.event_id for firing in listed for shown in firing.evidence),
    )


CONDITIONS = st.one_of(
    st.builds(Condition, st.just("event_count"), st.just(SPAN), st.integers(1, 4)),
    st.builds(Condition, st.just("value_count"), st.just(SPAN), st.integers(1, 4)),
    st.just(Condition("temporal", SPAN, 2)),
    st.just(Condition("temporal_ordered", SPAN, 2, ("a", "b"))),
    st.just(Condition("temporal_ordered", SPAN, 3, ("a", "b", "c"))),
)


@st.composite
def arrivals(draw: st.DrawFn) -> list[Event]:
    """Distinct events in any order, some delivered again."""
    spans = draw(st.sampled_from([8, 25, 60]))
    drawn = draw(st.lists(st.tuples(st.integers(-5, spans), st.sampled_from("abcd")), max_size=40))
    events = [Event(at, f"e{i}", value) for i, (at, value) in enumerate(drawn)]
    again = draw(st.lists(st.sampled_from(events), max_size=10)) if events else []
    return draw(st.permutations(events + again))


@given(CONDITIONS, arrivals(), st.sampled_from([1, REDELIVERY]))
@settings(max_examples=200, deadline=None)
def test_any_order_and_repetition_gives_what_the_definition_says(
    condition: Condition, events: list[Event], stride: int
) -> None:
    """With the long stride everything emitted is durable at once, and dropped where it may be."""
    firings = run(condition, events, KeyedState(), stride=stride)
    assert union(firings) == oracle(condition, events)


@given(CONDITIONS, arrivals(), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_outputs_lost_with_their_effect_in_the_state_are_emitted_again(
    condition: Condition, events: list[Event], chance: random.Random
) -> None:
    """Crashes: what was emitted since the commit is lost, the state is as of then or later."""
    state = KeyedState()
    durable: list[Firing] = []
    committed = 0
    for _ in range(4):
        reached = chance.randint(committed, len(events))
        saved = chance.randint(committed, reached)
        run(condition, events[committed:saved], state, committed)
        snapshot = copy(state)
        run(condition, events[saved:reached], state, saved)
        state = snapshot
        done = chance.randint(committed, saved)
        durable += run(condition, events[committed:done], state, committed)
        committed = done
    durable += run(condition, events[committed:], state, committed)
    assert union(durable) == oracle(condition, events)


DENSE = (
    Condition("event_count", SPAN, 2),
    Condition("event_count", SPAN, 3),
    Condition("value_count", SPAN, 2),
    Condition("value_count", SPAN, 3),
    Condition("temporal", SPAN, 2),
)


@pytest.mark.parametrize("condition", DENSE, ids=lambda c: f"{c.type}-{c.threshold}")
@pytest.mark.parametrize("stride", [1, REDELIVERY])
def test_stragglers_find_what_they_need_in_full_slices(condition: Condition, stride: int) -> None:
    """Full slices in order, from which all that may be dropped was, and then the late ones."""
    draw = random.Random(condition.threshold)  # noqa: S311
    for _ in range(150):
        events = [
            Event(draw.choice([*range(8), *range(25)]), f"e{i}", draw.choice("aaabc"))
            for i in range(draw.randrange(4, 20))
        ]
        draw.shuffle(events)
        late = draw.randrange(1, 4)
        arrived = sorted(events[late:]) + events[:late]
        firings = run(condition, arrived, KeyedState(), stride=stride)
        assert union(firings) == oracle(condition, events)


@pytest.mark.parametrize("condition", DENSE, ids=lambda c: f"{c.type}-{c.threshold}")
def test_what_a_crash_lost_in_full_slices_is_found_again(condition: Condition) -> None:
    """The state holds it all, also what was dropped since, and the outputs were lost."""
    draw = random.Random(condition.threshold)  # noqa: S311
    for _ in range(150):
        events = [
            Event(draw.choice([*range(8), *range(25)]), f"e{i}", draw.choice("aaabc"))
            for i in range(draw.randrange(4, 30))
        ]
        state, done = KeyedState(), draw.randrange(len(events))
        durable = run(condition, events[:done], state)
        run(condition, events[done:], state, done)
        durable += run(condition, events[done:], state, done)
        assert union(durable) == oracle(condition, events)


def copy(state: KeyedState) -> KeyedState:
    """Through JSON, as a state is saved and loaded."""
    clone = KeyedState()
    clone.update(dict(state))
    return KeyedState({k: v for k, v in clone.changes().items() if v is not None})


def slice_sizes(state: KeyedState) -> list[int]:
    return [len(v["entries"]) for k, v in state.items() if k.startswith("slice|")]


def test_a_flood_keeps_twice_the_threshold_and_loses_nothing() -> None:
    condition = Condition("event_count", 1_000, 5)
    state = KeyedState()
    events = [Event(i // 3, f"e{i:04}", "") for i in range(3_000)]
    assert union(run(condition, events, state)) == oracle_of_a_flood(events, 5)
    assert slice_sizes(state) == [10]
    assert len(state) == 11


def test_a_flood_in_reverse_is_dropped_once_it_cannot_be_processed_again() -> None:
    condition = Condition("event_count", 1_000, 5)
    state = KeyedState()
    run(condition, [Event(at, f"e{at:02}", "") for at in range(60, 0, -1)], state)
    assert slice_sizes(state) == [60]
    run(condition, [Event(0, "e00", "")], state, 60 + REDELIVERY)
    assert slice_sizes(state) == [10]


def oracle_of_a_flood(events: Sequence[Event], threshold: int) -> Emitted:
    """All events of the first instant that reaches the threshold, and all after it."""
    at = sorted(event.at for event in events)[threshold - 1]
    fired = frozenset(event.event_id for event in events if event.at >= at)
    return Emitted(fired, frozenset(event.event_id for event in events))


def test_repeated_values_beyond_the_cap_are_counted_and_detection_stays_exact() -> None:
    condition = Condition("value_count", 10_000, 3)
    state = KeyedState()
    evicted = 0
    for offset in range(windows.MAX_SLICE + 100):
        occurrence = Occurrence(offset, f"e{offset}", "ab"[offset % 2], offset)
        added = add(state, "g", condition, occurrence, {"id": f"e{offset}"})
        assert not added.firings
        evicted += added.evicted
    assert evicted == 100
    assert max(slice_sizes(state)) == windows.MAX_SLICE
    last = add(state, "g", condition, Occurrence(9_999, "x", "c", 10_000), {"id": "x"})
    assert [firing.event.event_id for firing in last.firings] == ["x"]


def test_long_values_are_told_apart() -> None:
    condition = Condition("value_count", SPAN, 2)
    events = [Event(1, "a", "x" * 999 + "1"), Event(2, "b", "x" * 999 + "2")]
    assert union(run(condition, events, KeyedState())).fired == {"b"}


def test_values_in_the_state_are_never_mutated() -> None:
    condition = Condition("event_count", SPAN, 2)
    state = KeyedState()
    run(condition, [Event(1, "a", "")], state)
    before = copy(state)
    state.savepoint()
    run(condition, [Event(2, "b", ""), Event(3, "c", "")], state, 1)
    state.rollback()
    assert dict(state) == dict(before)


@pytest.mark.parametrize(
    ("timespan", "threshold", "order"), [(0, 1, ("a",)), (1, 0, ("a",)), (1, 1, ())]
)
def test_a_condition_without_meaning_is_refused(
    timespan: int, threshold: int, order: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="window"):
        Condition("temporal_ordered", timespan, threshold, order)


def test_a_slice_is_due_when_no_event_in_time_can_need_it() -> None:
    condition = Condition("event_count", SPAN, 2)
    state = KeyedState()
    added = add(state, "g", condition, Occurrence(25, "a", "", 0), {})
    (key,) = added.created
    assert windows.slice_due(key) == 40
    assert windows.slice_due("watermark") is None
    windows.delete_slice(state, key)
    assert not state
