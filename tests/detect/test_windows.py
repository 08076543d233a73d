"""Windows against definitions that remember everything: any order, repetition, crash, restart."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect import groups, slices
from detect.conditions import Bound, Condition, Term
from detect.expiry import REDELIVERY
from tests.detect.windowing import (
    AT_ONCE,
    CONDITIONS,
    LATENESS,
    LATER,
    SPAN,
    Driver,
    Event,
    at_least,
    compared,
    copy,
    name,
    oracle,
    union,
    valued,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detect.windows import Firing
    from tocsin.state import KeyedState

#: Behind everything that these tests do.
END = 100 * SPAN


@st.composite
def arrivals(draw: st.DrawFn) -> list[Event]:
    """Distinct events in any order, some delivered again."""
    spans = draw(st.sampled_from([8, 25, 60]))
    drawn = draw(st.lists(st.tuples(st.integers(-5, spans), st.sampled_from("abcd")), max_size=30))
    events = [Event(at, f"e{i:02}", value) for i, (at, value) in enumerate(drawn)]
    again = draw(st.lists(st.sampled_from(events), max_size=10)) if events else []
    return draw(st.permutations(events + again))


def everything(driver: Driver, events: Sequence[Event], stride: int = 1) -> list[Firing]:
    return [f for _, f in driver.run(events, stride=stride)] + driver.finish(END)


@given(
    st.sampled_from(CONDITIONS),
    arrivals(),
    st.sampled_from([1, REDELIVERY]),
    st.sampled_from([1, 4, 100]),
)
@settings(max_examples=400, deadline=None)
def test_any_order_and_repetition_gives_what_the_definition_says(
    condition: Condition, events: list[Event], stride: int, batch: int
) -> None:
    """With the long stride everything emitted is durable at once, and dropped where it may be."""
    events = valued(condition, events)
    driver = Driver(condition, batch=batch)
    assert union(everything(driver, events, stride)) == oracle(condition, events)


@given(st.sampled_from(CONDITIONS), arrivals(), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_order_within_the_lateness_and_restarts_do_not_show(
    condition: Condition, events: list[Event], chance: random.Random
) -> None:
    """Windows close while events come in, none later than allowed; nothing decided is lost."""
    lateness = 7
    events = sorted(set(valued(condition, events)))
    late = sorted(events, key=lambda event: event.at + chance.randint(0, lateness))
    driver = Driver(condition, lateness=lateness, batch=chance.randint(1, 5))
    made: list[Firing] = []
    done = 0
    while done < len(late):
        size = chance.randint(1, len(late) - done)
        made += [f for _, f in driver.run(late[done : done + size], done)]
        done += size
        if chance.randrange(2):
            driver.state = copy(driver.state)
            driver.open()
    assert not driver.late
    end = max((event.at for event in events), default=0) - lateness
    assert union(made) == oracle(condition, events, end)
    assert union(made + driver.finish(END)) == oracle(condition, events)


@given(st.sampled_from(CONDITIONS), arrivals(), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_outputs_lost_with_their_effect_in_the_state_are_emitted_again(
    condition: Condition, events: list[Event], chance: random.Random
) -> None:
    """Crashes: what was emitted since the commit is lost, the state is as of then or later."""
    lateness = 70  # all of the events, so that none is late in any order
    events = valued(condition, events)
    driver = Driver(condition, lateness=lateness, batch=1)
    durable: list[Firing] = []
    committed = 0
    for _ in range(4):
        reached = chance.randint(committed, len(events))
        saved = chance.randint(committed, reached)
        driver.run(events[committed:saved], committed)
        driver.state = copy(driver.state)
        driver.open()
        done = chance.randint(committed, saved)
        durable += [f for _, f in driver.run(events[committed:done], committed)]
        committed = done
    durable += [f for _, f in driver.run(events[committed:], committed)]
    assert union(durable + driver.finish(END)) == oracle(condition, events)


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("condition", LATER, ids=name)
def test_what_a_crash_lost_of_closed_windows_is_found_again(
    condition: Condition, restarted: bool
) -> None:
    """Windows close on the way; the state holds that, and the outputs were lost."""
    draw = random.Random(name(condition))  # noqa: S311
    for _ in range(60):
        events = valued(condition, _spread(draw))
        driver = Driver(condition, lateness=5, batch=draw.randrange(1, 4))
        done = draw.randrange(len(events))
        durable = driver.run(events[:done])
        driver.run(events[done:], done)
        if restarted:
            driver.state = copy(driver.state)
            driver.open()
        durable += driver.run(events[done:], done)
        end = events[-1].at - 5
        assert union(firing for _, firing in durable) == oracle(condition, events, end)


def _spread(draw: random.Random) -> list[Event]:
    return sorted(
        Event(draw.choice([*range(8), *range(90)]), f"e{i:02}", draw.choice("aaabcd"))
        for i in range(draw.randrange(4, 40))
    )


@pytest.mark.parametrize("condition", AT_ONCE, ids=name)
def test_events_in_order_are_followed_from_slice_to_slice(condition: Condition) -> None:
    """What is counted along with events that come in order, and again where one does not."""
    draw = random.Random(name(condition))  # noqa: S311
    for _ in range(40):
        events = valued(condition, _spread(draw))
        arrived = events.copy()
        if draw.randrange(2):
            arrived.insert(draw.randrange(len(events)), arrived.pop())
        assert union(everything(Driver(condition), arrived)) == oracle(condition, events)


DENSE = (
    at_least("events", 2),
    at_least("events", 3),
    at_least("values", 2),
    at_least("values", 3),
    at_least("rules", 2),
    Condition("terms", SPAN, terms=(Term(("a", "b")), Term(("c",)))),
)


@pytest.mark.parametrize("condition", DENSE, ids=name)
@pytest.mark.parametrize("stride", [1, REDELIVERY])
def test_stragglers_find_what_they_need_in_full_slices(
    condition: Condition, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full slices in order, from which all that may be dropped was, and then the late ones."""
    monkeypatch.setattr(groups, "FEW", 0)
    draw = random.Random(name(condition))  # noqa: S311
    for _ in range(150):
        events = [
            Event(draw.choice([*range(8), *range(25)]), f"e{i:02}", draw.choice("aaabc"))
            for i in range(draw.randrange(4, 30))
        ]
        draw.shuffle(events)
        late = draw.randrange(1, 4)
        arrived = sorted(events[late:]) + events[:late]
        assert union(everything(Driver(condition), arrived, stride)) == oracle(condition, events)


@pytest.mark.parametrize("condition", DENSE, ids=name)
def test_what_a_crash_lost_in_full_slices_is_found_again(
    condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state holds it all, also what was dropped since, and the outputs were lost."""
    monkeypatch.setattr(groups, "FEW", 0)
    draw = random.Random(name(condition))  # noqa: S311
    for _ in range(150):
        events = [
            Event(draw.choice([*range(8), *range(25)]), f"e{i:02}", draw.choice("aaabc"))
            for i in range(draw.randrange(4, 40))
        ]
        driver, done = Driver(condition), draw.randrange(len(events))
        durable = driver.run(events[:done])
        driver.run(events[done:], done)
        durable += driver.run(events[done:], done)
        assert union(firing for _, firing in durable) == oracle(condition, events)


def sizes(state: KeyedState) -> list[int]:
    return [len(v["entries"]) for k, v in state.items() if k.startswith(("slice|", "closing|"))]


def test_a_flood_keeps_few_of_its_events_and_loses_nothing() -> None:
    condition = Condition("events", 1_000, (Bound("gte", 5),))
    driver = Driver(condition, batch=100)
    events = [Event(i // 3, f"e{i:04}", "") for i in range(3_000)]
    assert union(everything(driver, events)) == _of_a_flood(events, 5)
    (size,) = sizes(driver.state)
    assert size < 40
    assert len(driver.state) < 40


def _of_a_flood(events: Sequence[Event], threshold: int) -> object:
    """All events of the first instant that reaches the threshold, and all after it."""
    at = sorted(event.at for event in events)[threshold - 1]
    fired = frozenset(event.event_id for event in events if event.at >= at)
    return (fired, frozenset(), frozenset(event.event_id for event in events))


def test_a_flood_in_reverse_is_dropped_once_it_cannot_be_processed_again() -> None:
    driver = Driver(Condition("events", 1_000, (Bound("gte", 5),)), batch=100)
    driver.run([Event(at, f"e{at:02}", "") for at in range(60, 0, -1)])
    assert sizes(driver.state) == [60]
    driver.run([Event(0, f"f{i:02}", "") for i in range(80)], 60 + REDELIVERY)
    assert sizes(driver.state)[0] < 100


def test_repeated_values_beyond_the_cap_are_counted_and_detection_stays_exact() -> None:
    driver = Driver(Condition("values", 10_000, (Bound("gte", 3),)), batch=100)
    count = groups.MAX_SLICE + 300
    assert not driver.run([Event(i, f"e{i:03}", "ab"[i % 2]) for i in range(count)])
    assert driver.evicted > 100
    assert max(sizes(driver.state)) <= groups.MAX_SLICE + groups.SLACK
    ((_, firing),) = driver.run([Event(9_999, "x", "c")], count)
    assert firing.event.event_id == "x"


def test_a_sum_of_many_events_keeps_the_largest() -> None:
    driver = Driver(Condition("sum", 100_000, (Bound("gte", 10**6),)), batch=100)
    events = [Event(i, f"e{i:05}", str(i % 7)) for i in range(2 * groups.MAX_NUMBERS)]
    assert not driver.run(events)
    assert max(sizes(driver.state)) <= groups.MAX_NUMBERS + groups.SLACK
    assert driver.evicted > 0
    ((_, firing),) = driver.run([Event(99_999, "x", str(10**6))], len(events))
    assert firing.event.event_id == "x"


@pytest.mark.parametrize("measure", ["sum", "average", "median"])
def test_what_is_kept_of_many_values_does_not_depend_on_their_order(measure: str) -> None:
    condition = Condition(measure, 100_000, (Bound("lt", 10**9),))  # type: ignore[arg-type]
    events = [Event(i, f"e{i:05}", str(i * i % 977)) for i in range(groups.MAX_NUMBERS + 500)]
    found = []
    for seed in range(2):
        arrived = events.copy()
        random.Random(seed).shuffle(arrived)  # noqa: S311
        driver = Driver(condition, batch=100, lateness=10**6)
        driver.run(arrived)
        found.append(union(driver.finish(10**7)))
        assert len(found[-1].evidence) == groups.MAX_NUMBERS
    assert found[0] == found[1]


def test_long_values_are_told_apart() -> None:
    events = [Event(1, "a", "x" * 999 + "1"), Event(2, "b", "x" * 999 + "2")]
    assert union(everything(Driver(at_least("values", 2)), events)).fired == {"b"}


@pytest.mark.parametrize("condition", CONDITIONS, ids=name)
def test_values_in_the_state_are_never_mutated(condition: Condition) -> None:
    events = valued(condition, [Event(at, f"e{at:02}", "abcd"[at % 4]) for at in range(0, 60, 3)])
    driver = Driver(condition, lateness=5)
    driver.run(events[:8])
    before = copy(driver.state)
    driver.state.savepoint()
    driver.run(events[8:], 8)
    driver.state.rollback()
    assert dict(copy(driver.state)) == dict(before)


@pytest.mark.parametrize("condition", CONDITIONS, ids=name)
def test_everything_is_forgotten_once_time_has_passed(condition: Condition) -> None:
    events = valued(condition, _spread(random.Random(1)))  # noqa: S311
    driver = Driver(condition, lateness=5)
    driver.run([*events, Event(10 * END, "x", "1" if condition.numeric else "a")])
    driver.run([Event(10 * END, "y", "1" if condition.numeric else "a")], REDELIVERY + 100)
    assert len(sizes(driver.state)) == 1
    driver.open()
    assert len(sizes(driver.state)) == 1


@pytest.mark.parametrize("condition", LATER, ids=name)
def test_what_comes_too_late_changes_nothing_that_is_decided(condition: Condition) -> None:
    events = valued(condition, _spread(random.Random(2)))  # noqa: S311
    driver = Driver(condition, lateness=5)
    made = [f for _, f in driver.run(events)]
    last = max(event.at for event in events)
    late = valued(condition, [Event(at, f"l{at:02}", "a") for at in range(-40, last - 30)])
    offset = len(events)
    assert not driver.run(late, offset)
    assert driver.late == len(late)
    decided = oracle(condition, events, last - 5)
    assert union(made) == decided


def test_an_event_that_is_late_still_counts_in_a_window_that_is_open() -> None:
    driver = Driver(compared("events", "eq", 3), lateness=2)
    made = driver.run([Event(1, "a", ""), Event(9, "b", ""), Event(2, "late", "")])
    made += driver.run([Event(30, "d", "")], 3)
    assert [firing.window for _, firing in made] == [0]
    assert not driver.late


def test_the_oldest_slices_are_given_up_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "MAX_SLICES", 10)
    driver = Driver(at_least("events", 2))
    driver.run([Event(at * SPAN, f"e{at:02}", "") for at in range(0, 60, 2)])
    assert len(sizes(driver.state)) == 10
    assert driver.evicted == 20
    starts = sorted(int(k.rpartition("|")[2]) for k in driver.state if k.startswith("slice|"))
    assert starts == [at * SPAN for at in range(40, 60, 2)]


def test_silence_is_noticed_once() -> None:
    driver = Driver(compared("events", "lt", 1), lateness=5)
    made = driver.run([Event(3, "e1", ""), Event(57, "e2", ""), Event(95, "e3", "")])
    assert [firing.window for _, firing in made] == [10, 60]
    assert [firing.event.event_id for _, firing in made] == ["e1", "e2"]


@pytest.mark.parametrize(
    ("measure", "timespan", "bounds", "more"),
    [
        ("events", 0, (Bound("gte", 1),), {}),
        ("events", 1, (Bound("gte", 0),), {}),
        ("events", 1, (), {}),
        ("sum", 1, (Bound("gte", 0),), {}),
        ("chain", 1, (Bound("gte", 1),), {}),
        ("terms", 1, (), {}),
        ("terms", 1, (), {"terms": (Term((), frozenset("a")),)}),
    ],
)
def test_a_condition_without_meaning_is_refused(
    measure: str, timespan: int, bounds: tuple[Bound, ...], more: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="window"):
        Condition(measure, timespan, bounds, **more)  # type: ignore[arg-type]


def test_the_lateness_of_these_tests_holds_all_of_them() -> None:
    assert LATENESS > END / 2
    assert {condition.closing for condition in AT_ONCE}.isdisjoint(c.closing for c in LATER)
