"""The correlate stage: thresholds, chains, keys, and one result whatever the order and crashes."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from itertools import pairwise

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect import expiry, sliding, windows
from detect.conditions import Bound, Condition
from detect.correlate import CorrelateStage
from detect.correlated import MAX_EVIDENCE
from detect.expiry import REDELIVERY
from detect.keys import group_key
from detect.model import AlertPolicy
from detect.patience import patience
from tests.detect.flow import (
    BREAK_IN,
    BRUTE_FORCE,
    CORRELATIONS,
    FEW,
    HOUR,
    LATENESS,
    LATER,
    MINUTE,
    NOW,
    SECOND,
    SPRAYING,
    START,
    Login,
    failures,
    fed,
    grouped,
    pipeline,
    records,
    reloaded,
    run,
    staged,
)
from tocsin.contracts import GroupedFinding, Topics
from tocsin.errors import BadInput, ConfigError
from tocsin.log.base import Outgoing, Record
from tocsin.state import KeyedState


def test_a_threshold_that_is_reached_fires_with_its_evidence() -> None:
    findings, chained = run(fed(failures(5), BRUTE_FORCE), [BRUTE_FORCE])
    assert [len(found.evidence) for found in findings] == [4, 1]
    assert findings[0].at == START + 30 * SECOND
    assert findings[0].severity == 73
    assert findings[0].fields == {"source.ip": "203.0.113.9"}
    assert findings[0].key == "brute-force|source.ip=203.0.113.9"
    assert findings[0].message == "Brute-force: from 203.0.113.9"
    assert findings[0].entities["user.name"] == ("root",)
    assert findings[0].reasons[0].value == "at least 4 in 5m"
    assert len({found.id for found in findings}) == 2
    assert not chained


def test_a_threshold_that_is_missed_by_a_millisecond_does_not_fire() -> None:
    logins = [*failures(3), Login(START + 5 * MINUTE, 9)]
    assert run(fed(logins, BRUTE_FORCE), [BRUTE_FORCE]) == ([], [])
    logins[-1] = Login(START + 5 * MINUTE - 1, 9)
    assert len(run(fed(logins, BRUTE_FORCE), [BRUTE_FORCE])[0]) == 1


def test_groups_are_counted_apart() -> None:
    logins = [Login(START + i, i, source=f"203.0.113.{i % 2}") for i in range(6)]
    assert run(fed(logins, BRUTE_FORCE), [BRUTE_FORCE]) == ([], [])


def test_one_user_failing_often_is_no_spraying() -> None:
    assert run(fed(failures(20), SPRAYING), [SPRAYING]) == ([], [])
    users = [Login(START + i, i, user=f"user-{i}") for i in range(3)]
    (found,) = run(fed(users, SPRAYING), [SPRAYING])[0]
    assert found.entities["user.name"] == ("user-0", "user-1", "user-2")


def test_success_after_failures_fires_through_the_chain() -> None:
    login = Login(START + 2 * MINUTE, 99, accepted=True)
    findings, chained = run(fed([*failures(5), login], *CORRELATIONS))
    assert [g.group for g in chained] == ["break-in|source.ip=203.0.113.9"] * 2
    assert [g.value for g in chained] == ["brute-force"] * 2
    final = [found for found in findings if found.rule.id == "break-in"]
    assert {e.event_id for found in final for e in found.evidence} == {
        Login(0, number).event_id for number in (3, 4, 99)
    }


@pytest.mark.parametrize("seconds", [-1, 25])
def test_success_before_the_failures_are_enough_is_no_break_in(seconds: int) -> None:
    login = Login(START + seconds * SECOND, 99, accepted=True)
    findings, _ = run(fed([*failures(5), login], *CORRELATIONS))
    assert not [found for found in findings if found.rule.id == "break-in"]


def test_a_correlation_only_referred_to_does_not_alert_itself() -> None:
    silent = replace(BRUTE_FORCE, alerts=False)
    findings, chained = run(fed(failures(5), silent), [silent, BREAK_IN])
    assert not findings
    assert len(chained) == 2


def test_a_chain_groups_by_other_names_through_aliases() -> None:
    counted = replace(BRUTE_FORCE, group_by=("src",))
    chain = replace(
        BREAK_IN, group_by=("attacker",), aliases={"attacker": {counted.rule.id: "src"}}
    )
    group = group_key(counted.rule.id, {"src": "203.0.113.9"})
    inputs = []
    for login in failures(4):
        original = GroupedFinding.decode(grouped(login, counted).value)
        renamed = original.model_copy(update={"group": group})
        inputs.append(Outgoing(Topics.CORRELATE, renamed.encode(), group.encode()))
    _, chained = run(inputs, [counted, chain])
    assert [g.group for g in chained] == ["break-in|attacker=203.0.113.9"]
    assert chained[0].group_fields == {"source.ip": "203.0.113.9"}


def test_a_chain_without_its_field_is_counted_and_not_grouped() -> None:
    chain = replace(BREAK_IN, group_by=("host.name",))
    stage = CorrelateStage([BRUTE_FORCE, chain], lateness=LATENESS)
    batch = stage.process(
        records(fed(failures(4), BRUTE_FORCE), Topics.CORRELATE), KeyedState(), NOW
    )
    assert [o.topic for o in batch.outputs] == [Topics.FINDINGS]
    assert stage.counters["ungrouped"] == 1


def test_tenants_are_kept_apart_along_the_chain() -> None:
    group = group_key(BRUTE_FORCE.rule.id, {"source.ip": "203.0.113.9", "tocsin.tenant": "blue"})
    inputs = []
    for login in failures(4):
        original = GroupedFinding.decode(grouped(login, BRUTE_FORCE).value)
        owned = original.model_copy(
            update={
                "group": group,
                "group_fields": {**original.group_fields, "tocsin.tenant": "blue"},
                "finding": original.finding.model_copy(update={"tenant": "blue"}),
            }
        )
        inputs.append(Outgoing(Topics.CORRELATE, owned.encode(), group.encode()))
    findings, chained = run(inputs)
    assert findings[0].tenant == chained[0].finding.tenant == "blue"
    assert findings[0].fields == {"source.ip": "203.0.113.9"}
    assert findings[0].key == "brute-force|source.ip=203.0.113.9|tocsin.tenant=blue"
    assert chained[0].group == "break-in|source.ip=203.0.113.9|tocsin.tenant=blue"


def test_evidence_of_two_alert_windows_makes_two_findings() -> None:
    policy = AlertPolicy(window=MINUTE, severity=5)
    split = replace(BRUTE_FORCE, policy=policy)
    findings, _ = run(fed(failures(4, every=25 * SECOND), split), [split])
    assert [[e.at - START for e in found.evidence] for found in findings] == [
        [0, 25_000, 50_000],
        [75_000],
    ]
    assert {found.severity for found in findings} == {5}
    assert len({found.id for found in findings}) == 2


def test_a_finding_never_holds_more_than_its_share_of_evidence() -> None:
    many = Condition("events", 5 * MINUTE, (Bound("gte", 2 * MAX_EVIDENCE + 1),))
    big = replace(BRUTE_FORCE, condition=many)
    findings, _ = run(fed(failures(2 * MAX_EVIDENCE + 1, every=SECOND // 2), big), [big])
    assert [len(found.evidence) for found in findings] == [MAX_EVIDENCE, MAX_EVIDENCE, 1]
    assert len({found.id for found in findings}) == 3


def test_what_is_known_is_filtered_and_what_is_unknown_is_counted() -> None:
    stage, state = CorrelateStage([BRUTE_FORCE], lateness=LATENESS), KeyedState()
    once = fed(failures(1), BRUTE_FORCE)
    strange = fed(failures(1), SPRAYING)
    batch = stage.process(records([*once, *once, *strange], Topics.CORRELATE), state, NOW)
    assert batch.sent == 1
    assert batch.filtered == {"duplicate": 1, "unknown_correlation": 1}


def test_late_events_still_count_and_are_counted() -> None:
    stage, state = CorrelateStage([BRUTE_FORCE], lateness=LATENESS), KeyedState()
    logins = [Login(START + HOUR, 100), *failures(4)]
    batch = stage.process(records(fed(logins, BRUTE_FORCE), Topics.CORRELATE), state, NOW)
    assert stage.counters["late"] == 4
    assert len(batch.outputs) == 1


def test_state_is_forgotten_when_nothing_in_time_can_need_it() -> None:
    stage, state = CorrelateStage([BRUTE_FORCE], lateness=LATENESS), KeyedState()
    old = records(fed([Login(START, 0)], BRUTE_FORCE), Topics.CORRELATE)
    stage.process(old, state, NOW)
    state = reloaded(state)
    (first,) = slices(state)
    new = fed([Login(START + HOUR, i) for i in range(1, 7)], BRUTE_FORCE)
    stage.process(records(new[:3], Topics.CORRELATE, 1), state, NOW)
    assert first in state
    stage.process(records(new[3:], Topics.CORRELATE, 1 + REDELIVERY), state, NOW)
    assert len(slices(state)) == 1
    assert first not in state


def slices(state: KeyedState) -> list[str]:
    return [key for key in state if key.startswith("slice|")]


def record(value: bytes) -> Record:
    return Record(Topics.CORRELATE, 0, 0, b"k", value)


def test_what_cannot_be_correlated_is_bad_input_and_leaves_the_state_alone() -> None:
    stage, state = CorrelateStage([BRUTE_FORCE], lateness=LATENESS), KeyedState()
    good = GroupedFinding.decode(grouped(Login(START, 0), BRUTE_FORCE).value)
    bare = good.finding.model_copy(update={"evidence": ()})
    for bad in (
        b"{}",
        b"\xff",
        good.model_copy(update={"group": "another|a=b"}).encode(),
        good.model_copy(update={"group": "brute-force|nonsense"}).encode(),
        good.model_copy(update={"finding": bare}).encode(),
    ):
        with pytest.raises(BadInput):
            stage.process([record(good.encode()), record(bad)], state, NOW)
    assert not state


def test_correlations_in_a_circle_are_refused() -> None:
    circle = replace(BRUTE_FORCE, references=(BREAK_IN.rule.id,))
    with pytest.raises(ConfigError, match=r"brute-force -> break-in -> brute-force"):
        CorrelateStage([circle, BREAK_IN], lateness=LATENESS)


LOGINS = st.lists(
    st.builds(
        Login,
        at=st.integers(0, 40).map(lambda step: START + 14 * MINUTE + step * 15 * SECOND),
        number=st.integers(0, 1_000),
        source=st.sampled_from(["203.0.113.9", "198.51.100.7"]),
        user=st.sampled_from(["root", "admin", "deploy", "backup"]),
        accepted=st.integers(0, 5).map(lambda dice: dice == 0),
    ),
    max_size=25,
    unique_by=lambda login: login.number,
)


@given(LOGINS, st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_final_alerts_are_the_same_for_any_order_batches_and_crashes(
    logins: list[Login], chance: random.Random
) -> None:
    """All events are within the lateness of each other, so every order is one that may happen."""
    inputs = fed(sorted(logins, key=lambda login: login.at), *CORRELATIONS)
    expected = pipeline(inputs)
    shuffled = inputs + chance.sample(inputs, len(inputs) // 4)
    chance.shuffle(shuffled)
    assert pipeline(shuffled, chance=chance) == expected


@pytest.mark.parametrize("seed", range(10))
def test_forgetting_changes_no_alert(seed: int) -> None:
    """Hours of events, each out of order and reprocessed by less than what is kept for that."""
    draw = random.Random(seed)  # noqa: S311
    arrivals = []
    for minutes in range(0, 240, 4):
        logins = [
            Login(
                START + minutes * MINUTE + draw.randrange(4 * MINUTE),
                number=minutes * 100 + i,
                user=draw.choice(["root", "admin", "backup"]),
                accepted=draw.randrange(6) == 0,
            )
            for i in range(draw.randrange(7))
        ]
        arrivals.append(fed(logins, *CORRELATIONS))
    with pytest.MonkeyPatch.context() as patch:
        expected, everything = staged(arrivals, lateness=30 * 24 * HOUR)
        for module in (expiry, sliding, windows):
            patch.setattr(module, "REDELIVERY", 50)
        found, left = staged(arrivals, chance=draw, calm=30)
    assert found == expected
    assert left < everything * 3 / 4


@pytest.mark.parametrize("seed", range(8))
def test_what_is_decided_later_is_the_same_for_any_order_batches_and_crashes(seed: int) -> None:
    """Hours of events, none later than the lateness, which is short: windows close on the way."""
    draw = random.Random(seed)  # noqa: S311
    lateness = 2 * MINUTE
    logins = sorted(
        (
            Login(START + draw.randrange(3 * HOUR), number, accepted=draw.randrange(5) == 0)
            for number in range(1, 80)
        ),
        key=lambda login: login.at,
    )
    logins.append(Login(START + 9 * HOUR, 1_000, source="198.51.100.7"))
    expected, _ = staged([fed(logins, *LATER)], LATER, lateness=lateness)
    late = sorted(logins, key=lambda login: login.at + draw.randrange(lateness))
    cuts = sorted(draw.randrange(len(late)) for _ in range(12))
    arrivals = [late[a:b] for a, b in pairwise([0, *cuts, len(late)])]
    inputs = [fed(part, *LATER) for part in arrivals]
    found, _ = staged(inputs, LATER, draw, lateness=lateness, calm=12)
    assert found == expected
    names = {orjson.loads(document)["rule"]["id"] for document in found.values()}
    assert names == {correlation.rule.id for correlation in LATER}


def test_findings_say_what_was_compared() -> None:
    logins = [Login(START, 1), Login(START + HOUR, 2)]
    findings, _ = run(fed(logins, FEW), [FEW])
    reasons = [found.reasons[0] for found in findings]
    assert {reason.value for reason in reasons} == {"less than 2 in 5m"}
    assert {(reason.modifier, reason.expected) for reason in reasons} == {("lt", "2")}
    assert len({found.id for found in findings}) == len(findings) == 2


def test_a_chain_waits_for_what_it_refers_to() -> None:
    found = patience(LATER, 2 * MINUTE)
    assert found["few"] == found["average"] == found["unanswered"] == 2 * MINUTE
    assert found["often-few"] == 2 * MINUTE + 2 * MINUTE + 2 * 5 * MINUTE


@given(st.permutations([*failures(6), Login(START + 2 * MINUTE, 99, accepted=True)]))
@settings(max_examples=50, deadline=None)
def test_a_break_in_is_found_in_every_order(logins: list[Login]) -> None:
    found = pipeline(fed(logins, *CORRELATIONS))
    assert found == pipeline(fed(sorted(logins, key=lambda login: login.at), *CORRELATIONS))
    rules = sorted(orjson.loads(document)["rule"]["id"] for document in found.values())
    assert rules == ["break-in", "brute-force"]


def test_throughput_in_memory() -> None:
    """A figure to look at, and a bound that only a quadratic would miss."""
    logins = [
        Login(START + i * 20, i, source=f"203.0.113.{i % 200}", user=f"user-{i % 7}")
        for i in range(4_000)
    ]
    inputs = records(fed(logins, BRUTE_FORCE, SPRAYING), Topics.CORRELATE)
    stage, state = CorrelateStage([BRUTE_FORCE, SPRAYING], lateness=LATENESS), KeyedState()
    begun = time.process_time()
    outputs = 0
    for first in range(0, len(inputs), 1_000):
        outputs += len(stage.process(inputs[first : first + 1_000], state, NOW).outputs)
    rate = len(inputs) / (time.process_time() - begun)
    print(f"{rate:,.0f} grouped findings/s, {outputs} outputs")  # noqa: T201
    assert outputs > 0
    assert rate > 500
