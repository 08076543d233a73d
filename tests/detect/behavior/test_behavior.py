"""The behavior stage: a function of the set of observations, whatever happens to it."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from detect.behavior.behavior import BehaviorStage
from detect.behavior.detectors.table import all_detectors
from detect.behavior.observe import ObserveStage
from detect.behavior.options import Options, Suppression
from detect.behavior.replaying import run
from detect.behavior.verdicts import Verdict
from tests.detect.behavior.events import (
    ABROAD,
    DAY,
    HOUR,
    MONDAY,
    event,
    flow,
    logon,
    process,
    records,
    working_days,
)
from tocsin.contracts import Finding, Topics
from tocsin.errors import BadInput
from tocsin.log.base import Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tocsin.contracts import Document
    from tocsin.log.base import Outgoing

_FOREVER = 2**60
OPTIONS = Options(max_entities=1_000)


def month() -> list[Document]:
    """A month of three people, and an account taken over at its end."""
    made: list[Document] = []
    for morning in working_days(26):
        for number, user in enumerate(("ada", "bob", "eve")):
            at = morning + number * 60_000
            made += [logon(at, user), process(at + 5_000, "mail.exe", user, f"ws-{user}")]
            made += [flow(at + 9_000, 2_000, host=f"ws-{user}")]
    taken = MONDAY + 24 * DAY + 9 * HOUR
    made += [logon(taken + at * 1_000, "ada", ABROAD, ok=False) for at in range(12)]
    made += [logon(taken + 20_000, "ada", ABROAD, device="phone")]
    return sorted(made, key=lambda each: each["@timestamp"])


def told(outgoing: Iterable[Outgoing], *, partition: int = 0, first: int = 0) -> list[Record]:
    return [
        Record(each.topic, partition, at, each.key, each.value, (), each.timestamp or 0)
        for at, each in enumerate(outgoing, first)
    ]


def observations(events: Sequence[Document], size: int) -> list[Record]:
    stage, given, state = ObserveStage(), records(events), KeyedState()
    made: list[Outgoing] = []
    for at in range(0, len(given), size):
        made += stage.process(given[at : at + size], state, 0).outputs
    return told(made)


def decided(given: Sequence[Record], size: int, *, restart: bool = False) -> set[str]:
    """The findings of observations in batches; with `restart` each batch by a new process."""
    stage = BehaviorStage(all_detectors(), OPTIONS)
    stored: dict[str, bytes] = {}
    state = KeyedState()
    found: set[str] = set()
    for at in range(0, len(given), size):
        if restart:
            stage = BehaviorStage(all_detectors(), OPTIONS)
            state = KeyedState(stored)
        batch = stage.process(given[at : at + size], state, _FOREVER)
        assert batch.accounted == len(given[at : at + size])
        found |= {each.value.decode() for each in batch.outputs}
        if restart:
            for key, value in state.changes().items():
                if value is None:
                    del stored[key]
                else:
                    stored[key] = value
    for each in stage.end(state):
        clock = told([each], first=len(given))
        found |= {o.value.decode() for o in stage.process(clock, state, _FOREVER).outputs}
    return found


def rules(found: Iterable[str]) -> set[str]:
    return {Finding.decode(each.encode()).rule.id.removeprefix("behavior.") for each in found}


def test_cuts_order_and_restarts_do_not_show() -> None:
    events = month()
    expected = decided(observations(events, 50), 40)
    assert {"impossible_travel", "brute_force_success"} <= rules(expected)
    assert decided(observations(events, 7), 9) == expected
    assert decided(observations(events, 50), 25, restart=True) == expected
    shuffled = sorted(events, key=_jumbled(5 * 60_000))
    assert shuffled != events
    assert decided(observations(shuffled, 11), 13) == expected


def _jumbled(most: int) -> Any:
    random = Random(7)  # noqa: S311  (an order, not a secret)

    def key(each: Document) -> int:
        at = int(each["tocsin"]["origin"].rpartition("/")[2])
        return at + random.randrange(most)

    return key


def test_the_same_in_memory() -> None:
    found = {each.encode().decode() for each in run(month(), options=OPTIONS)}
    assert found == decided(observations(month(), 1_000), 10_000)


def test_delivered_again_counts_once() -> None:
    events = month()
    once = observations(events, 50)
    again: list[Record] = []
    for at in range(0, len(once), 20):  # each batch of records twice, as after a crash
        again += once[at : at + 20] + once[at : at + 20]
    assert decided(told_again(again), 40) == decided(once, 40)


def told_again(given: Sequence[Record]) -> list[Record]:
    return [
        Record(each.topic, 0, at, each.key, each.value, (), each.timestamp)
        for at, each in enumerate(given)
    ]


def test_observed_again_in_other_cuts_counts_once() -> None:
    """What observes crashed before its offset was committed, and begins again at another cut."""
    failures = [logon(MONDAY + at * 1_000, ok=False, id=f"f{at}") for at in range(30)]
    given, stage = records(failures), ObserveStage()
    first = [stage.process(given[a:b], {}, 0).outputs for a, b in ((0, 10), (10, 20), (20, 30))]
    again = [stage.process(given[a:b], {}, 0).outputs for a, b in ((10, 25), (25, 30))]
    state: dict[str, Any] = {}
    behavior = BehaviorStage((), OPTIONS)
    everything = told([each for part in (*first, *again) for each in part])
    behavior.process(everything, state, _FOREVER)
    clock = told(behavior.end(state), first=len(everything))
    behavior.process(clock, state, _FOREVER)
    assert '"logon.failures"' in state["profile|default|user|ada"]
    companion = BehaviorStage((), OPTIONS)._companions
    with companion.of(0, state) as memory:
        profile = memory.known(next(e for e in _entities(memory) if e.kind == "user"))
        assert profile is not None
        assert profile.seen == 30


def _entities(memory: Any) -> list[Any]:
    from detect.behavior.observation import Entity

    return [Entity(*key.split("|", 2)) for key in memory._order]


def test_what_is_too_late_is_counted_and_changes_nothing() -> None:
    stage, state = BehaviorStage((), OPTIONS), KeyedState()
    given = observations([logon(MONDAY), logon(MONDAY + HOUR), logon(MONDAY + 1)], 1)
    batch = stage.process(given, state, _FOREVER)
    late = sum(1 for each in observations([logon(MONDAY + 1)], 1))
    assert batch.filtered["late"] == late == stage.counters["late"]


def test_the_clock_decides_where_no_event_does() -> None:
    stage, state = BehaviorStage((), OPTIONS), KeyedState()
    stage.process(observations([logon(MONDAY)], 1), state, MONDAY)
    assert stage.tick(0, state, MONDAY + 1) == ()
    (clock,) = stage.tick(0, state, MONDAY + HOUR)
    assert clock.topic == Topics.OBSERVATIONS
    assert clock.partition == 0
    stage.process(told([clock], first=9), state, MONDAY + HOUR)
    assert not [key for key in state if key.startswith("open|")]
    assert [key for key in state if key.startswith("profile|default|user")]


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"verdict": "maybe"}', b'{"clock": "x"}'])
def test_what_is_no_observation_is_refused(value: bytes) -> None:
    stage = BehaviorStage((), OPTIONS)
    with pytest.raises(BadInput):
        stage.process([Record(Topics.OBSERVATIONS, 0, 0, None, value, (), 0)], {}, 0)


def test_suppressed_until_a_day() -> None:
    taken = MONDAY + 24 * DAY
    found = {each.rule.id for each in run(month(), options=OPTIONS)}
    assert "behavior.impossible_travel" in found
    for until, silent in ((taken + DAY, True), (taken, False)):
        rule = Suppression("impossible_travel", "ada", until)
        left = {each.rule.id for each in run(month(), options=Options(suppress=(rule,)))}
        assert ("behavior.impossible_travel" not in left) is silent
    assert "behavior.impossible_travel" not in {
        each.rule.id for each in run(month(), options=Options(egress=("203.0.113.0/24",)))
    }


def test_verdicts_go_back_to_the_profile() -> None:
    stage, state = BehaviorStage(all_detectors(), OPTIONS), KeyedState()
    given = observations(month(), 100)
    stage.process(given, state, _FOREVER)
    (clock,) = stage.end(state)
    stage.process(told([clock], first=len(given)), state, _FOREVER)
    with stage._companions.of(0, state) as memory:
        (ada,) = [e for e in _entities(memory) if e.id == "ada"]
        profile = memory.known(ada)
        assert profile is not None
        assert profile.frozen > MONDAY + 24 * DAY
    verdict = Verdict("false_positive", ada, "impossible_travel", "a1", MONDAY + 25 * DAY, "bob")
    stage.process(told([verdict.outgoing()], first=len(given) + 1), state, _FOREVER)
    with stage._companions.of(0, state) as memory:
        profile = memory.known(ada)
        assert profile is not None
        assert profile.frozen == 0
        assert profile.quiet["impossible_travel"] == MONDAY + 32 * DAY
        assert memory.calibration("impossible_travel").verdicts == {"false_positive": 1}


def test_the_entity_that_acted_longest_ago_goes_first() -> None:
    options = Options(max_entities=3)
    stage, state = BehaviorStage((), options), KeyedState()
    many = [event(MONDAY + at * HOUR, "x", tocsin={"source": f"log{at}"}) for at in range(9)]
    batch = stage.process(observations(many, 1), state, _FOREVER)
    kept = sorted(key for key in state if key.startswith("profile|"))
    assert [key[-4:] for key in kept] == ["log5", "log6", "log7"]
    assert batch.noted["evicted"] == stage.counters["evicted"] == 5


def test_a_finding_can_be_read_aloud() -> None:
    (found,) = [
        each
        for each in run(month(), options=OPTIONS)
        if each.rule.id == "behavior.impossible_travel"
    ]
    assert found.message.startswith(
        "Impossible travel: user ada signed in from 203.0.113.77 60 minutes after"
    )
    assert found.evidence[0].event_id == f"logon-ada-{MONDAY + 24 * DAY + 9 * HOUR + 20_000}"
    assert found.fields == {"user.name": "ada", "source.ip": "203.0.113.77"}
    assert {each.field for each in found.reasons} >= {"speed", "tocsin.behavior.confidence"}
