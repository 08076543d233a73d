"""verify: an action counts as done when a look-up shows it."""

from __future__ import annotations

from playbooks.run_state import Outcome, RunState, StepStatus
from playbooks.testing import Answer, Played, play
from tests.playbooks.doubles import ACTIONS, ALERT, playbook
from tests.playbooks.test_loading import complaints
from tocsin.contracts import Failure, Mode

SOURCE = """
steps:
  - id: block
    action: firewall.block_ip
    with: {ip: !cel alert.source.ip}
    hold: {ttl: 1h}
    verify:
      action: inventory.lookup
      with: {entity: !cel alert.source.ip}
      until: result.blocked
      within: 60s
  - {id: after, let: {x: steps.block.status}}
"""
NOT_YET = Answer(output={"blocked": False})
YES = Answer(output={"blocked": True})


def played(*looks: Answer, mode: Mode = Mode.ENFORCE, crash: str = "") -> Played:
    answers = {"block.verify": looks}
    if mode is Mode.DRY_RUN:
        answers["block"] = (Answer(status="dry_run"),)
    return play(playbook(SOURCE), ALERT, answers, mode, crash=crash)


def run_of(result: Played) -> RunState:
    assert result.state is not None
    return result.state


def test_is_done_when_the_look_up_shows_it() -> None:
    result = played(NOT_YET, NOT_YET, YES)
    run = run_of(result)
    assert run.outcome is Outcome.COMPLETED
    assert run.step("block").status is StepStatus.OK
    assert run.step("block.verify").attempt == 3
    assert [event.kind for event in result.events if event.step == "block"][-1] == "verified"


def test_is_failed_when_it_is_never_shown_and_says_that_it_was_done() -> None:
    run = run_of(played(NOT_YET))
    assert run.outcome is Outcome.FAILED
    assert run.step("block").status is StepStatus.FAILED
    assert "was done" in run.step("block").reason


def test_failures_of_the_look_up_are_tried_again() -> None:
    down = Answer(status="failed", failure=Failure(kind="unavailable", message="no answer"))
    assert run_of(played(down, YES)).outcome is Outcome.COMPLETED
    run = run_of(played(down))
    assert "no answer" in run.step("block").reason


def test_an_until_without_a_value_is_not_true() -> None:
    run = run_of(played(Answer(output={})))
    assert run.step("block").status is StepStatus.FAILED


def test_silence_ends_with_the_time_to_verify() -> None:
    run = run_of(played(Answer(status="silent")))
    assert run.step("block.verify").status is StepStatus.TIMED_OUT
    assert run.step("block").status is StepStatus.FAILED


def test_a_dry_run_verifies_nothing() -> None:
    result = played(YES, mode=Mode.DRY_RUN)
    assert run_of(result).outcome is Outcome.COMPLETED
    assert {effect.verb for effect in result.effects} == {"firewall.block_ip"}


def test_a_crash_in_between_changes_nothing() -> None:
    for crash in ("block", "block.verify"):
        result = played(NOT_YET, YES, crash=crash)
        assert run_of(result).outcome is Outcome.COMPLETED, crash
        assert len({e.id for e in result.effects if e.verb == "firewall.block_ip"}) == 1


def test_each_item_is_verified_with_its_own_item() -> None:
    text = """
steps:
  - id: all
    for_each:
      in: '["203.0.113.1", "203.0.113.2"]'
      do:
        id: one
        action: firewall.block_ip
        with: {ip: !cel item}
        hold: {ttl: 1h}
        verify: {action: inventory.lookup, with: {entity: !cel item}, until: result.name == item,
                 within: 60s}
"""
    looks = {f"all.{n}.verify": (Answer(output={"name": f"203.0.113.{n + 1}"}),) for n in (0, 1)}
    result = play(playbook(text), ALERT, looks)
    assert run_of(result).outcome is Outcome.COMPLETED
    targets = [e.target for e in result.effects if e.verb == "inventory.lookup"]
    assert targets == ["203.0.113.1", "203.0.113.2"]


def test_without_a_connector_for_the_look_up_an_optional_step_is_taken_at_its_word() -> None:
    without = {verb: each for verb, each in ACTIONS.items() if verb != "inventory.lookup"}
    made = playbook(SOURCE.replace("    hold:", "    optional: true\n    hold:"), actions=without)
    run = run_of(play(made, ALERT, {}))
    assert run.step("block").status is StepStatus.OK
    assert run.step("block.verify").status is StepStatus.SKIPPED


def test_only_looks_may_verify() -> None:
    text = SOURCE.replace("action: inventory.lookup", "action: notify.webhook").replace(
        "with: {entity: !cel alert.source.ip}", "with: {message: x}"
    )
    assert any("verify only looks" in complaint for complaint in complaints(text))
    assert any("no variable" in c for c in complaints(SOURCE.replace("result.blocked", "vars.x")))
