"""What runs have to do with each other: places at a gate, starting again, common questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playbooks.run_state import Outcome, Phase, StepStatus
from playbooks.turn import MAX_EPOCHS
from tests.playbooks.worlds import MINUTE, Stage, alert, written
from tocsin.contracts import Cancel, Start
from tocsin.ids import canonical_json

if TYPE_CHECKING:
    from playbooks.program import Playbook

LIMITED = """\
metadata: {id: limited}
trigger:
  when: true
  concurrency: {key: alert.source.ip, max: 1, overflow: %s}
steps: [{id: look, action: geoip.lookup, with: {ip: !cel alert.source.ip}}]
"""


def test_a_place_at_a_time_in_the_order_they_came() -> None:
    stage = Stage(written(LIMITED % "queue"))
    a, b, c = (stage.start(name, at=number) for number, name in enumerate("abc"))
    other = stage.start("d", source={"ip": "203.0.113.10"})
    assert [stage.run(r).phase.value for r in (a, b, c, other)] == [
        "main", "queued", "queued", "main",
    ]  # fmt: skip
    for mine, next_one in ((a, b), (b, c)):
        effect = next(e for e in stage.effects if e.run_id == mine)
        stage.answer(effect)
        assert stage.run(mine).outcome is Outcome.COMPLETED
        assert stage.run(next_one).phase is Phase.MAIN
    stage.answer(next(e for e in stage.effects if e.run_id == c))
    stage.answer(next(e for e in stage.effects if e.run_id == other))
    assert stage.world.meetings == {}
    assert stage.kinds(b)[:3] == ["started", "queued", "requested"]


def test_no_place_and_no_queue_is_an_end_with_its_reason() -> None:
    stage = Stage(written(LIMITED % "drop"))
    stage.start("a")
    b = stage.start("b")
    state = stage.run(b)
    assert (state.phase, state.outcome) == (Phase.FINISHED, Outcome.STOPPED)
    assert "under way" in state.reason
    assert stage.kinds(b) == ["started", "queued", "dropped", "finished"]
    assert [e.run_id for e in stage.effects] == [stage.effects[0].run_id]


def test_whoever_waits_too_long_or_is_cancelled_leaves_the_queue() -> None:
    stage = Stage(written(LIMITED % "queue"))
    a, b, c, d = (stage.start(name) for name in "abcd")
    stage.timer(b, "deadline")
    assert stage.run(b).outcome is Outcome.TIMED_OUT
    stage.give(Cancel(run_id=c, by="ana", reason="x", at=stage.run(c).started + 1))
    assert stage.run(c).outcome is Outcome.CANCELLED
    stage.answer(next(e for e in stage.effects if e.run_id == a))
    assert stage.run(d).phase is Phase.MAIN
    assert "deadline" in stage.run(d).timers


def test_a_key_without_a_value_still_limits() -> None:
    stage = Stage(written((LIMITED % "queue").replace("key: alert.source.ip", "key: alert.nope")))
    stage.start("a")
    assert stage.run(stage.start("b")).phase is Phase.QUEUED


# starting again

AGAIN = """\
metadata: {id: again}
trigger:
  when: true
  dedup: {key: alert.rule.id, window: 1h, on_duplicate: restart}
steps:
  - {id: block, action: firewall.block_ip, with: {ip: !cel alert.source.ip}, hold: {ttl: 1h}}
  - {id: look, action: geoip.lookup, with: {ip: !cel alert.source.ip}}
  - {id: report, always: true, action: case.report}
"""


def test_another_alert_calls_the_run_off_and_starts_it_again() -> None:
    stage = Stage(written(AGAIN))
    run = stage.start("a", key="k")
    first = stage.last("firewall.block_ip")
    stage.answer(first)
    stage.start("b", key="k", at=2000, source={"ip": "203.0.113.10"})
    # The old epoch gives up what it holds and runs its always-steps first.
    assert [e.operation for e in stage.effects if e.verb == first.verb] == ["apply", "release"]
    assert stage.run(run).epoch == 0
    stage.answer(stage.last("case.report"), at=3000)
    state = stage.run(run)
    assert (state.epoch, state.phase, state.alert_id) == (1, Phase.MAIN, "b")
    second = stage.last("firewall.block_ip")
    assert second.id != first.id
    assert (second.target, second.epoch) == ("203.0.113.10", 1)
    # A late result of the old epoch is not one of the new.
    stage.answer(first, at=4000)
    assert stage.run(run).step("block").status is StepStatus.RUNNING
    stage.answer(second, at=5000)
    stage.answer(stage.last("geoip.lookup"), at=6000)
    stage.answer(stage.last("case.report"), at=7000)
    assert stage.run(run).outcome is Outcome.COMPLETED
    events = [e for e in stage.events if e.run_id == run]
    assert [e.seq for e in events] == list(range(len(events)))
    assert [e.kind for e in events].count("finished") == 2


def test_a_newer_revision_or_the_same_alert_again_starts_nothing_anew() -> None:
    stage = Stage(written(AGAIN))
    run = stage.start("a", key="k")
    for revision in (1, 2, 3):
        stage.start("a", key="k", revision=revision)
    assert stage.run(run).epoch == 0
    stage.start("b", key="k")
    stage.start("b", key="k")
    stage.answer(stage.last("case.report"))
    stage.start("a", key="k", revision=9)
    assert stage.run(run).epoch == 1


def test_the_newest_of_many_that_come_meanwhile_is_the_next() -> None:
    stage = Stage(written(AGAIN))
    run = stage.start("a", key="k")
    for name in "bcd":
        stage.start(name, key="k")
    stage.answer(stage.last("case.report"))
    assert (stage.run(run).epoch, stage.run(run).alert_id) == (1, "d")


def test_a_finished_run_starts_again_and_keeps_what_it_holds() -> None:
    stage = Stage(written(AGAIN))
    run = stage.start("a", key="k")
    stage.answer(stage.last("firewall.block_ip"))
    stage.answer(stage.last("geoip.lookup"))
    stage.answer(stage.last("case.report"))
    assert stage.run(run).phase is Phase.FINISHED
    stage.start("b", key="k", at=60_000)
    state = stage.run(run)
    assert (state.phase, state.epoch) == (Phase.MAIN, 1)
    assert "retention" not in state.timers
    assert "release" not in [e.operation for e in stage.effects]


def test_it_does_not_start_again_for_ever() -> None:
    stage = Stage(written(AGAIN))
    run = stage.start("a", key="k")
    for number in range(3 * MAX_EPOCHS):
        stage.start(f"n{number}", key="k")
        if stage.run(run).phase is Phase.ALWAYS:
            stage.answer(stage.last("case.report"))
    assert stage.run(run).epoch == MAX_EPOCHS


def test_a_person_who_cancels_ends_it_whoever_waits() -> None:
    stage = Stage(written(AGAIN))
    run = stage.start("a", key="k")
    stage.start("b", key="k")
    stage.give(Cancel(run_id=run, by="ana", reason="enough", at=stage.run(run).started + 9))
    stage.answer(stage.last("case.report"))
    state = stage.run(run)
    assert (state.epoch, state.outcome) == (0, Outcome.CANCELLED)


# common questions

TOGETHER = """\
metadata: {id: storm}
trigger: {when: true}
limits: {deadline: 2h}
steps:
  - id: ask
    approval:
      message: "Shut {{ alert.source.ip }} out?"
      approvers: {group: soc}
      timeout: 30m
      together: alert.rule.id
  - {id: block, if: steps.ask.decision == "approved", action: firewall.block_ip,
     with: {ip: !cel alert.source.ip}, hold: {ttl: 1h}}
"""


def _storm(size: int, made: Playbook) -> tuple[Stage, list[str]]:
    stage = Stage(made)
    runs = [
        stage.start(f"a{number}", source={"ip": f"198.51.100.{number % 250}"})
        for number in range(size)
    ]
    return stage, runs


def _asked(stage: Stage) -> list[dict[str, Any]]:
    return [event.data for event in stage.events if event.kind == "approval_requested"]


def test_case_16_a_storm_without_dedup_asks_once_and_then_once_for_all_the_rest() -> None:
    stage, runs = _storm(60, written(TOGETHER))
    assert len(_asked(stage)) == 1
    leader = next(r for r in runs if stage.run(r).step("ask").approval)
    stage.decide(leader, "ask")
    # The first question was about one run only: what nobody has seen, nobody has approved.
    assert [e.run_id for e in stage.effects] == [leader]
    first, second = _asked(stage)
    assert "runs" not in first
    assert second["runs"] == 59
    assert "59" not in first["message"]
    assert "58 other runs" in second["message"]
    assert len({action["target"] for action in second["actions"]}) == 50
    assert len(canonical_json(second)) < 64 * 1024
    leader = next(
        r for r in runs if (a := stage.run(r).step("ask").approval) is not None and not a.decision
    )
    stage.decide(leader, "ask", at=2 * MINUTE)
    assert sorted(e.run_id for e in stage.effects) == sorted(runs)
    assert len(_asked(stage)) == 2
    assert stage.world.meetings == {}


def test_a_no_is_a_no_for_all_that_were_asked_about() -> None:
    stage, runs = _storm(4, written(TOGETHER))
    for _ in range(2):
        leader = next(r for r in runs if stage.run(r).timers.get("approval/ask"))
        stage.decide(leader, "ask", approve=False)
    assert stage.effects == []
    assert {stage.run(r).step("block").status for r in runs} == {StepStatus.SKIPPED}
    assert {stage.run(r).step("ask").reason for r in runs} == {"denied by ana"}


def test_another_asks_when_whoever_asked_is_called_off() -> None:
    stage, runs = _storm(3, written(TOGETHER))
    for left in (2, 1, 0):
        leader = next(r for r in runs if stage.run(r).timers.get("approval/ask"))
        stage.give(Cancel(run_id=leader, by="ana", reason="x", at=stage.run(leader).started + 1))
        asking = [r for r in runs if stage.run(r).timers.get("approval/ask")]
        assert len(asking) == min(left, 1)
    assert stage.world.meetings == {}


def test_whose_plan_has_changed_is_asked_about_again() -> None:
    stage, runs = _storm(3, written(TOGETHER))
    leader = next(r for r in runs if stage.run(r).timers.get("approval/ask"))
    stage.decide(leader, "ask")
    rest = [r for r in runs if r != leader]
    leader = next(r for r in rest if stage.run(r).timers.get("approval/ask"))
    member = next(r for r in rest if r != leader)
    moved = alert(stage.run(member).alert_id, revision=5, source={"ip": "203.0.113.77"})
    stage.give(
        Start(
            run_id=member, playbook="storm", playbook_hash=stage.main.hash, alert=moved,
            at=stage.run(member).started + 5,
        )
    )  # fmt: skip
    stage.decide(leader, "ask", at=2 * MINUTE)
    assert stage.run(member).step("ask").status is StepStatus.WAITING
    stage.decide(member, "ask", at=3 * MINUTE)
    assert stage.run(member).step("block").target == "203.0.113.77"
