"""The alert stage: windows, counts, revisions, duplicates, restarts."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect import alert_state
from detect.alert_state import MAX_ENTITIES, PROMPT, SHOWN
from detect.alerts import LATEST, AlertStage, parse_alert_document
from detect.expiry import REDELIVERY
from tests.detect.flow import (
    FAILED,
    HOUR,
    LATENESS,
    MINUTE,
    NOW,
    SECOND,
    START,
    Login,
    Worker,
    documents,
    finding,
    reloaded,
)
from tocsin.contracts import Alert, Finding, Reason, Topics
from tocsin.errors import BadInput
from tocsin.ids import alert_id
from tocsin.log.base import Outgoing, Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KEY = "sshd-failed|source.ip=203.0.113.9|user.name=root"


def record(found: Finding, offset: int = 0) -> Record:
    return Record(Topics.FINDINGS, 0, offset, found.key.encode(), found.encode())


def logins(count: int, every: int = SECOND, first: int = 0) -> list[Login]:
    return [Login(START + i * every, i) for i in range(first, first + count)]


def feed(
    stage: AlertStage, state: KeyedState, found: Iterable[Finding], first: int = 0
) -> list[Alert]:
    """Each finding in a batch of its own; the alerts that went out."""
    sent = []
    for offset, one in enumerate(found, first):
        batch = stage.process([record(one, offset)], state, NOW)
        assert batch.accounted == 1
        sent += alerts(batch.outputs)
    return sent


def alerts(outputs: Sequence[Outgoing]) -> list[Alert]:
    assert {output.topic for output in outputs} <= {Topics.ALERTS}
    parsed = [parse_alert_document(orjson.loads(output.value)) for output in outputs]
    assert [output.key for output in outputs] == [alert.id.encode() for alert in parsed]
    return parsed


def settled(found: Iterable[Finding]) -> dict[str, Alert]:
    """The final alerts, by id."""
    stage, state = AlertStage(lateness=LATENESS), KeyedState()
    sent = feed(stage, state, found)
    return {alert.id: alert for alert in [*sent, *alerts(stage.tick(0, state, NOW))]}


def test_a_finding_is_an_alert_at_once() -> None:
    (alert,) = feed(AlertStage(lateness=LATENESS), KeyedState(), [finding(Login(START, 1))])
    assert alert.id == alert_id(FAILED.hash, KEY, START)
    assert (alert.count, alert.revision) == (1, 1)
    assert alert.first_seen == alert.last_seen == START
    assert alert.fields == {"source.ip": "203.0.113.9", "user.name": "root"}
    assert alert.evidence[0].original == "sshd[1]: Failed SSH login for root"
    assert alert.message == "Failed SSH login: 1 event for user root from 203.0.113.9"
    assert alert.rule == FAILED


def test_revisions_go_out_one_by_one_then_at_milestones_and_with_ticks() -> None:
    stage, state = AlertStage(lateness=LATENESS), KeyedState()
    sent = feed(stage, state, map(finding, logins(120)))
    assert [alert.revision for alert in sent] == [*range(1, PROMPT + 1), 20, 50, 100]
    (last,) = alerts(stage.tick(0, state, NOW))
    assert last.revision == last.count == 120
    assert last.message.endswith("120 events for user root from 203.0.113.9 in 1m 59s")
    assert not stage.tick(0, state, NOW)


def test_a_batch_sends_the_newest_revision_only() -> None:
    stage, state = AlertStage(lateness=LATENESS), KeyedState()
    batch = stage.process([record(finding(login)) for login in logins(7)], state, NOW)
    assert [alert.revision for alert in alerts(batch.outputs)] == [7]


def test_the_first_and_last_events_are_shown_and_all_are_counted() -> None:
    (alert,) = settled(map(finding, logins(100))).values()
    shown = [int(evidence.event_id, 16) for evidence in alert.evidence]
    assert shown == [*range(SHOWN), *range(100 - SHOWN, 100)]
    assert alert.count == 100


def test_an_event_falls_into_the_window_of_its_own_time() -> None:
    edge = [Login(START + HOUR - 1, 1), Login(START + HOUR, 2)]
    both = finding(edge[0]).model_copy(
        update={"evidence": tuple(finding(login).evidence[0] for login in edge)}
    )
    found = settled([both])
    assert sorted(alert.window_start for alert in found.values()) == [START, START + HOUR]
    assert {alert.count for alert in found.values()} == {1}


def test_entities_are_the_smallest_of_all() -> None:
    many = [
        finding(login).model_copy(update={"entities": {"user.name": (f"user-{i:03}",)}})
        for i, login in enumerate(logins(MAX_ENTITIES + 20))
    ]
    random.Random(3).shuffle(many)  # noqa: S311
    (alert,) = settled(many).values()
    assert alert.entities["user.name"] == tuple(f"user-{i:03}" for i in range(MAX_ENTITIES))


def test_the_reasons_are_those_of_the_first_event() -> None:
    reasoned = [
        finding(login).model_copy(
            update={"reasons": (Reason(selection="s", field="f", value=str(login.number)),)}
        )
        for login in logins(3)
    ]
    for order in (reasoned, reasoned[::-1]):
        (alert,) = settled(order).values()
        assert alert.reasons[0].value == "0"


def test_a_known_event_changes_nothing_and_is_sent_again() -> None:
    stage, state = AlertStage(lateness=LATENESS), KeyedState()
    first = feed(stage, state, map(finding, logins(3)))
    again = feed(stage, state, map(finding, logins(3)))
    assert again == [first[-1]] * 3
    assert not stage.tick(0, state, NOW)


def test_after_a_restart_what_had_not_gone_out_goes_out() -> None:
    stage, state = AlertStage(lateness=LATENESS), KeyedState()
    feed(stage, state, map(finding, logins(15)))
    again = AlertStage(lateness=LATENESS)
    (alert,) = alerts(again.tick(0, reloaded(state), NOW))
    assert alert.revision == 15
    feed(stage, state, map(finding, logins(5, first=15)), 15)
    assert not AlertStage(lateness=LATENESS).tick(0, reloaded(state), NOW)


def test_ticks_do_not_change_the_state() -> None:
    stage, state = AlertStage(lateness=LATENESS), KeyedState()
    feed(stage, state, map(finding, logins(15)))
    state.saved()
    assert stage.tick(0, state, NOW)
    assert not state.changes()


def test_batches_that_were_rolled_back_leave_nothing_behind() -> None:
    stage, state = AlertStage(lateness=LATENESS), KeyedState()
    feed(stage, state, map(finding, logins(11)))
    before = dict(reloaded(state))
    state.savepoint()
    feed(stage, state, map(finding, logins(5, first=11)), 11)
    state.rollback()
    assert dict(state) == before
    (alert,) = alerts(stage.tick(0, state, NOW))
    assert alert.revision == 11


def test_an_alert_is_forgotten_after_its_window_with_its_last_revision() -> None:
    stage, state = AlertStage(lateness=LATENESS), KeyedState()
    feed(stage, state, map(finding, logins(12)))
    late = START + HOUR + LATENESS
    feed(stage, state, [finding(Login(late - 1, 100)), finding(Login(late, 101))], 12)
    (again,) = feed(stage, state, [finding(Login(late, 102))], 12 + REDELIVERY)
    assert again.window_start == START + HOUR
    last, _ = feed(stage, state, [finding(Login(late, 103))], 13 + REDELIVERY)
    assert (last.window_start, last.revision) == (START, 12)
    assert not any(last.id in key for key in state)
    assert sum(key.startswith("event|") for key in state) == 4


def test_late_findings_are_alerts_and_are_counted() -> None:
    stage, state = AlertStage(lateness=LATENESS), KeyedState()
    feed(stage, state, [finding(Login(START + HOUR, 1))])
    assert len(feed(stage, state, [finding(Login(START, 2))], 1)) == 1
    assert stage.counters["late"] == 1


def test_events_beyond_the_bound_move_the_alert_but_are_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alert_state, "MAX_COUNTED", 60)
    found = [finding(login) for login in logins(100)]
    results = []
    for order in (found, found[::-1], [*found, *found[:30], *found[70:]]):
        stage, state = AlertStage(lateness=LATENESS), KeyedState()
        sent = feed(stage, state, order) + alerts(stage.tick(0, state, NOW))
        results.append(sent[-1])
        assert stage.counters["uncounted"] >= 40
        assert sum(key.startswith("event|") for key in state) <= 60 + 2 * SHOWN
    alert = results[0]
    assert results == [alert] * 3
    assert (alert.count, alert.first_seen, alert.last_seen) == (60, START, START + 99 * SECOND)
    assert "at least 60 events" in alert.message


def test_a_hostile_name_is_shown_harmlessly() -> None:
    hostile = "root\x1b[2J\n" + "x" * 500
    (alert,) = settled([finding(Login(START, 1, user=hostile))]).values()
    assert alert.message.isprintable()
    assert len(alert.message) < 250
    assert alert.fields["user.name"] == hostile


def test_what_is_no_finding_is_bad_input_and_leaves_the_state_alone() -> None:
    stage, state = AlertStage(lateness=LATENESS), KeyedState()
    good = finding(Login(START, 1))
    beyond = good.evidence[0].model_copy(update={"at": LATEST + 1})
    for bad in (
        Record(Topics.FINDINGS, 0, 1, None, b"[]"),
        record(good.model_copy(update={"evidence": ()})),
        record(good.model_copy(update={"window": 0})),
        record(good.model_copy(update={"evidence": (beyond,)})),
    ):
        with pytest.raises(BadInput):
            stage.process([record(good), bad], state, NOW)
    assert not state
    last = good.evidence[0].model_copy(update={"at": LATEST})
    assert stage.process(
        [record(good.model_copy(update={"evidence": (last,)}))], state, NOW
    ).outputs


FINDINGS = st.lists(
    st.builds(
        Login,
        at=st.integers(0, 40).map(lambda step: START + 50 * MINUTE + step * 15 * SECOND),
        number=st.integers(0, 60),
        user=st.sampled_from(["root", "admin"]),
    ),
    max_size=70,
    unique_by=lambda login: login.number,
)


@given(FINDINGS, st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_final_alerts_are_a_function_of_the_set_of_events(
    made: list[Login], chance: random.Random
) -> None:
    found = [finding(login) for login in made]
    expected = {alert.id: alert for alert in settled(found).values()}
    for alert in expected.values():
        assert alert.revision == alert.count
    assert sum(alert.count for alert in expected.values()) == len(made)
    shuffled = found + chance.sample(found, len(found) // 3)
    chance.shuffle(shuffled)
    worker = Worker(AlertStage(lateness=LATENESS), chance)
    worker.feed([Outgoing(Topics.FINDINGS, one.encode()) for one in shuffled])
    sent = worker.run()
    worker.restart()
    sent += worker.stage.tick(0, worker.state, NOW)
    final = {key: parse_alert_document(orjson.loads(v)) for key, v in documents(sent).items()}
    assert final == expected
