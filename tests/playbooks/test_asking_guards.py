"""Guards that ask people, shares of the fleet, quiet hours, leases that people end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from playbooks import act_state
from playbooks.act_keeping import Keeping
from playbooks.act_model import Invocation, Outcome, Place, Policy, Route
from playbooks.act_records import read_lease
from playbooks.act_undo import begin_expiry
from playbooks.approving import shown
from playbooks.expiring import OWN_ACTIONS, PLAYBOOK
from playbooks.guard_hours import SiteQuiet, is_quiet
from playbooks.guards import SiteGuards, evaluate
from playbooks.guards import count as count_effect
from playbooks.journal import MAX_OBJECTED
from playbooks.leases import ASK_AGAIN
from playbooks.ranges import NamedList
from playbooks.run_state import RunState, StepStatus
from tests.playbooks.doubles import ACTIONS
from tests.playbooks.effects_on_trial import HOUR, T0, block, block_action
from tests.playbooks.worlds import MINUTE, Stage, written
from tocsin.clock import parse_iso
from tocsin.contracts import (
    Asked,
    Effect,
    EffectStatus,
    Guard,
    Hold,
    LeaseState,
    Mode,
    Quiet,
    Rate,
    Returned,
    Share,
    Start,
    Topics,
    Verdict,
)
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from tocsin.log.base import Outgoing

LIMITED = """\
metadata: {id: limited}
trigger: {when: true}
approvers: {group: soc, exclude: [alert.user.name]}
channels: ["slack:soc"]
limits: {deadline: 2h}
steps:
  - {id: block, action: firewall.block_ip, with: {ip: !cel alert.source.ip, comment: secret text},
     hold: {ttl: 1h}, guard: {rate: {max: 1, per: 1h, exceed: approval}}}
  - {id: look, action: geoip.lookup, with: {ip: !cel alert.source.ip}}
"""
REFUSED = (
    Verdict(guard="target", allowed=True),
    Verdict(guard="rate:playbook", allowed=False, reason="30 in the last 600 s", asks=True),
)


def refused(*verdicts: Verdict, mode: Mode = Mode.ENFORCE) -> tuple[Stage, str]:
    stage = Stage(written(LIMITED), mode=mode)
    run = stage.start(user={"name": "mallory"})
    stage.answer(stage.effects[0], "refused", verdicts=verdicts or REFUSED)
    return stage, run


def test_a_guard_that_asks_tells_exactly_what_it_would_let_through() -> None:
    stage, run = refused()
    (event,) = [e for e in stage.events if e.kind == "approval_requested"]
    assert event.step == "block"
    assert "30 in the last 600 s" in event.data["message"]
    (action,) = event.data["actions"]
    assert (action["verb"], action["target"]) == ("firewall.block_ip", "203.0.113.9")
    assert action["inputs"] == {"ip": "203.0.113.9", "comment": "secret text"}
    assert (event.data["group"], event.data["channels"]) == ("soc", ["slack:soc"])
    assert event.data["excluded"] == ["mallory"]
    assert stage.run(run).step("block").status is StepStatus.WAITING
    assert list(stage.run(run).unanswered()) == []


def test_a_yes_lets_this_one_effect_past_this_guard() -> None:
    stage, run = refused()
    stage.decide(run, "block", by="mallory")
    stage.decide(run, "block", by="zoe", groups=("sales",))
    assert len(stage.effects) == 1
    stage.decide(run, "block", by="ana")
    again = stage.effects[-1]
    assert (again.id, again.attempt) == (stage.effects[0].id, 2)
    assert again.guard.waived == ("rate:playbook",)
    stage.answer(again, at=3 * MINUTE)
    assert stage.run(run).step("block").status is StepStatus.OK
    # Another guard that asks is another question, and the first yes is not forgotten.
    stage, run = refused()
    stage.decide(run, "block")
    hours = Verdict(guard="hours:site", allowed=False, reason="night", asks=True)
    stage.answer(stage.effects[-1], "refused", at=2 * MINUTE, verdicts=(hours,))
    stage.decide(run, "block", by="bor", at=3 * MINUTE)
    assert stage.effects[-1].guard.waived == ("rate:playbook", "hours:site")


def test_a_no_and_no_answer_leave_it_refused_and_the_run_goes_on() -> None:
    for silent in (False, True):
        stage, run = refused()
        if silent:
            stage.timer(run, "approval/block")
        else:
            stage.decide(run, "block", approve=False)
        state = stage.run(run)
        assert state.step("block").status is StepStatus.REFUSED
        assert ("nobody answered" if silent else "denied by ana") in state.step("block").reason
        assert stage.effects[-1].verb == "geoip.lookup"


def test_what_may_not_be_overruled_is_not_asked() -> None:
    never = Verdict(guard="never:own", allowed=False, reason="ours")
    stage, run = refused(*REFUSED, never)
    assert stage.run(run).step("block").status is StepStatus.REFUSED
    stage, run = refused(mode=Mode.DRY_RUN)
    assert stage.run(run).step("block").status is StepStatus.REFUSED


def test_a_waiting_guard_survives_being_stored_and_ends_with_the_run() -> None:
    stage, run = refused()
    state = stage.run(run)
    assert RunState.from_json(state.to_json()) == state
    stage.timer(run, "deadline")
    assert stage.run(run).step("block").status is StepStatus.TIMED_OUT


def test_many_wrong_answers_do_not_lock_an_approver_out() -> None:
    stage, run = refused()
    for number in range(3 * MAX_OBJECTED):
        stage.decide(run, "block", by=f"stranger{number}", groups=("sales",))
    answered = [e for e in stage.events if e.kind == "answered"]
    assert len(answered) == MAX_OBJECTED
    stage.decide(run, "block", by="ana")
    assert stage.effects[-1].guard.waived == ("rate:playbook",)


def test_secrets_are_not_shown() -> None:
    told = shown({"user": "ana", "new_password": "hunter2", "data": {"API_Token": ["t"], "n": 1}})
    assert told == {
        "user": "ana", "new_password": "(not shown)", "data": {"API_Token": "(not shown)", "n": 1},
    }  # fmt: skip


# the guards themselves


def verdicts(site: SiteGuards, state: Any, now: int = T0, **changes: Any) -> dict[str, Verdict]:
    return {
        each.guard: each for each in evaluate(block(**changes), block_action(), site, [state], now)
    }


def test_only_guards_that_ask_can_be_waived() -> None:
    site = SiteGuards(
        lists={"own": NamedList.parse("own", ["203.0.113.66"])},
        never=("own",),
        rates={"firewall.block_ip": Rate(max=1, per=HOUR)},
    )
    guard = Guard(
        rate=Rate(max=1, per=HOUR, exceed="approval"),
        waived=("rate:playbook", "rate:site", "never:own"),
    )
    state = KeyedState()
    count_effect(block("198.51.100.1", run="other", guard=guard), site, state, T0)
    found = verdicts(site, state, guard=guard)
    assert found["rate:playbook"].allowed
    assert "overruled" in found["rate:playbook"].reason
    assert not found["rate:site"].allowed
    assert not found["never:own"].allowed


def test_a_share_of_the_fleet() -> None:
    fleet = NamedList.parse("fleet", ["192.0.2.0/28", "192.0.2.8/29", "192.0.2.100", "web1"])
    assert fleet.size(addresses=True) == 17
    assert fleet.size(addresses=False) == 1
    site = SiteGuards(lists={"fleet": fleet})
    guard = Guard(share=Share(percent=12, exceed="approval"))  # two of 17
    state = KeyedState()
    assert verdicts(site, state, guard=guard)["share:playbook"].allowed  # not of the fleet
    for number, fits in ((1, True), (2, True), (3, False)):
        one = block(f"192.0.2.{number}", run=f"r{number}", guard=guard)
        (found,) = [
            v
            for v in evaluate(one, block_action(), site, [state], T0)
            if v.guard == "share:playbook"
        ]
        assert (found.allowed, found.asks) == (fits, not fits), number
        if fits:
            count_effect(one, site, state, T0)
    again = verdicts(site, state, target="192.0.2.1", guard=guard)
    assert again["share:playbook"].allowed
    assert not verdicts(SiteGuards(), state, guard=guard)["share:playbook"].allowed


def test_one_may_always_be_held_however_small_the_fleet() -> None:
    site = SiteGuards(
        lists={"fleet": NamedList.parse("fleet", ["192.0.2.1", "192.0.2.2"])},
        shares={"firewall.block_ip": Share(percent=5)},
    )
    state = KeyedState()
    one = block("192.0.2.1")
    assert verdicts(site, state, target="192.0.2.1")["share:site"].allowed
    count_effect(one, site, state, T0)
    assert not verdicts(site, state, target="192.0.2.2", run="other")["share:site"].allowed


@pytest.mark.parametrize(
    ("quiet", "inside", "outside"),
    [
        # 2026-01-02 is a Friday.
        (Quiet(since=22 * 60, until=6 * 60, days=(4,)),
         ["2026-01-02T22:00:00Z", "2026-01-03T05:59:00Z"],
         ["2026-01-02T05:00:00Z", "2026-01-03T06:00:00Z", "2026-01-03T22:30:00Z"]),
        (Quiet(days=(5, 6)), ["2026-01-03T00:00:00Z", "2026-01-04T23:59:00Z"],
         ["2026-01-02T23:59:00Z", "2026-01-05T00:00:00Z"]),
        (Quiet(since=8 * 60, until=9 * 60, zone="America/New_York"),
         ["2026-01-02T13:30:00Z", "2026-07-02T12:30:00Z"],
         ["2026-01-02T12:30:00Z", "2026-07-02T13:30:00Z"]),
    ],
)  # fmt: skip
def test_quiet_hours_go_by_the_clock_on_the_wall(
    quiet: Quiet, inside: list[str], outside: list[str]
) -> None:
    assert all(is_quiet(quiet, parse_iso(at)) for at in inside)
    assert not any(is_quiet(quiet, parse_iso(at)) for at in outside)


def test_quiet_hours_of_the_site_are_for_some_verbs_or_all() -> None:
    always = Quiet()
    state = KeyedState()
    for verbs, quiet in (((), True), (("firewall.block_ip",), True), (("host.isolate",), False)):
        found = verdicts(SiteGuards(quiet=(SiteQuiet(always, verbs),)), state)
        assert ("hours:site" in found) is quiet
    own = Guard(quiet=(Quiet(exceed="approval"),))
    assert verdicts(SiteGuards(), state, guard=own)["hours:playbook"].asks


# leases that people end

ASK = Asked(group="soc", excluded=("mallory", 'o"brien'))
HELD = Hold(ttl=HOUR, max=HOUR, on_expiry="approval", ask=ASK)


def _policy() -> Policy:
    route = Route("firewall", block_action(native_ttl=True))
    return Policy(
        routes={"firewall.block_ip": route},
        undoers={("firewall", "firewall.block_ip"): route},
        site=SiteGuards(),
        mode=Mode.ENFORCE,
    )


def _applied(state: KeyedState, effect: Effect, now: int = T0) -> Invocation:
    step = act_state.begin(state, effect, Place(0, 0, now), _policy(), [state])
    assert step.invocation is not None
    act_state.finish(state, effect, Place(0, 0, now), step.invocation, Outcome({"rule": 1}))
    return step.invocation


def _asks(state: KeyedState, now: int) -> list[Start]:
    outputs: list[Outgoing] = []
    for effect in Keeping(state).due(now):
        step = begin_expiry(state, effect, Place(0, 1, now), _policy())
        assert step.invocation is None
        outputs += step.outputs
    return [Start.decode(o.value) for o in outputs if o.topic == Topics.COMMANDS]


def test_time_alone_does_not_end_it_and_people_are_asked() -> None:
    state = KeyedState()
    call = _applied(state, block(hold=HELD)).call
    assert call.ttl is None  # nor may the product end it by itself
    assert _asks(state, T0 + HOUR - 1) == []
    (start,) = _asks(state, T0 + HOUR)
    assert _asks(state, T0 + HOUR + 1) == []
    lease = read_lease(state, "firewall.block_ip", "203.0.113.66")
    assert lease is not None
    assert lease.state is LeaseState.ASKING

    stage = Stage(written("metadata: {id: x}\ntrigger: {when: true}\nsteps: [{id: s, stop: x}]"))
    stage.world.actions = {**ACTIONS, **OWN_ACTIONS}
    stage.give(start)
    (asked,) = [e for e in stage.events if e.kind == "approval_requested"]
    assert "firewall.block_ip on 203.0.113.66 is up" in asked.data["message"]
    assert (asked.data["group"], asked.data["excluded"]) == ("soc", ["mallory", 'o"brien'])
    assert stage.run(start.run_id).playbook == PLAYBOOK

    stage.decide(start.run_id, "ask", by="ana", at=(start.at - 1_767_225_600_000) + MINUTE)
    (release,) = stage.effects
    assert (release.operation, release.target) == ("release", "203.0.113.66")
    later = T0 + HOUR + 2 * MINUTE
    step = act_state.begin(state, release, Place(0, 2, later), _policy(), [state])
    assert step.invocation is not None
    assert step.invocation.undo
    done = act_state.finish(state, release, Place(0, 2, later), step.invocation, Outcome({}))
    assert done.result is not None
    assert done.result.status is EffectStatus.OK
    stage.give(Returned(run_id=release.run_id, result=done.result, at=later))
    assert stage.run(start.run_id).outcome == "completed"
    after = read_lease(state, "firewall.block_ip", "203.0.113.66")
    assert after is not None
    assert after.state is LeaseState.RELEASED


def test_without_a_yes_it_stays_and_is_asked_again_a_day_later() -> None:
    state = KeyedState()
    _applied(state, block(hold=HELD))
    (first,) = _asks(state, T0 + HOUR)
    (second,) = _asks(state, T0 + HOUR + ASK_AGAIN)
    assert first.run_id != second.run_id
    stage = Stage(written("metadata: {id: x}\ntrigger: {when: true}\nsteps: [{id: s, stop: x}]"))
    stage.world.actions = {**ACTIONS, **OWN_ACTIONS}
    stage.give(first)
    stage.timer(first.run_id, "approval/ask")
    assert stage.effects == []
    assert stage.run(first.run_id).outcome == "completed"


def test_a_yes_to_an_old_question_does_not_end_a_new_hold() -> None:
    state = KeyedState()
    _applied(state, block(hold=HELD))
    (start,) = _asks(state, T0 + HOUR)
    _applied(state, block(run="run-2", hold=HELD), T0 + HOUR + 5)
    release = Effect(
        id="r", operation="release", run_id=start.run_id, step="release", verb="firewall.block_ip",
        target="203.0.113.66", inputs={"scope": "all", "generation": 1}, requested=T0,
    )  # fmt: skip
    step = act_state.begin(state, release, Place(0, 3, T0 + HOUR + 9), _policy(), [state])
    assert step.result is not None
    assert step.result.output["released"] is False
    lease = read_lease(state, "firewall.block_ip", "203.0.113.66")
    assert lease is not None
    assert (lease.state, lease.generation) == (LeaseState.ACTIVE, 2)


def test_a_person_ends_it_at_any_time() -> None:
    state = KeyedState()
    _applied(state, block(hold=HELD))
    _asks(state, T0 + HOUR)
    release = Effect(
        id="r", operation="release", run_id="", step="released by ana", verb="firewall.block_ip",
        target="203.0.113.66", inputs={"scope": "all"}, requested=T0,
    )  # fmt: skip
    step = act_state.begin(state, release, Place(0, 3, T0 + HOUR + 9), _policy(), [state])
    assert step.invocation is not None
    assert step.invocation.undo
