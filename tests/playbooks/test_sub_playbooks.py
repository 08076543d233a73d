"""Sub-playbooks: inputs and outputs, waiting, failing, being called off, pinned and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from playbooks.linking import MAX_DEPTH
from playbooks.loading import from_canonical, load_playbooks
from playbooks.picture import to_mermaid, to_svg
from playbooks.run_state import Outcome, Phase, StepStatus
from playbooks.testing import Answer, load_cases, play, run_test
from tests.playbooks.doubles import ACTIONS, ALERT
from tests.playbooks.worlds import Stage, written
from tocsin.contracts import Cancel, Mode
from tocsin.errors import ContentErrors

if TYPE_CHECKING:
    from pathlib import Path

CHILD = """\
metadata: {id: shut-out}
trigger: {when: false}
inputs: {ip: {required: true}, why: {default: "no reason"}}
outputs: {blocked: 'steps.block.status == "ok"', why: inputs.why}
steps:
  - {id: block, action: firewall.block_ip, with: {ip: !cel inputs.ip, comment: !cel inputs.why},
     hold: {ttl: 1h}}
"""
PARENT = """\
metadata: {id: parent}
trigger: {when: true}
steps:
  - {id: sub, run: shut-out, with: {ip: !cel alert.source.ip}}
  - {id: seen, let: {blocked: steps.sub.output.blocked, how: steps.sub.outcome}}
"""
CHILD_BOOK = written(CHILD)
BOOK = written(PARENT, child=CHILD_BOOK)


def test_inputs_go_in_and_outputs_come_back() -> None:
    stage = Stage(BOOK)
    run = stage.start()
    assert stage.run(run).step("sub").status is StepStatus.RUNNING
    block = stage.last("firewall.block_ip")
    assert block.inputs == {"ip": "203.0.113.9", "comment": "no reason"}
    assert block.run_id == stage.run(run).step("sub").child != run
    stage.answer(block)
    state = stage.run(run)
    assert state.outcome is Outcome.COMPLETED
    assert stage.kinds(run) == ["started", "called", "succeeded", "let", "finished"]
    let = next(each for each in stage.events if each.kind == "let")
    assert let.data["values"] == {"blocked": True, "how": "completed"}
    child = stage.run(block.run_id)
    assert child.parent is not None
    assert (child.parent.run_id, child.parent.step, child.parent.depth) == (run, "sub", 1)


def test_a_child_that_fails_fails_its_step_and_one_that_is_cancelled_too() -> None:
    stage = Stage(BOOK)
    run = stage.start()
    stage.answer(stage.last("firewall.block_ip"), "refused")  # no failure: goes on
    assert stage.run(run).outcome is Outcome.COMPLETED
    run = stage.start("b")
    child = stage.run(run).step("sub").child
    stage.give(Cancel(run_id=child, by="ana", reason="wrong", at=stage.run(run).started + 5))
    state = stage.run(run)
    assert state.outcome is Outcome.FAILED
    assert "cancelled by ana: wrong" in state.reason


def test_the_child_is_cancelled_with_its_parent_and_gives_back_what_it_holds() -> None:
    stage = Stage(BOOK)
    run = stage.start()
    block = stage.last("firewall.block_ip")
    stage.give(Cancel(run_id=run, by="ana", reason="stop", at=block.requested + 5))
    assert stage.run(run).outcome is Outcome.CANCELLED
    child = stage.run(block.run_id)
    assert child.outcome is Outcome.CANCELLED
    assert [e.operation for e in stage.effects] == ["apply", "release"]
    # The child's end comes back to a step that does not wait any more: nothing follows.
    assert stage.run(run).step("sub").status is StepStatus.CANCELLED


def test_a_child_that_has_ended_gives_back_what_it_holds_when_its_parent_is_cancelled() -> None:
    waits = PARENT + "  - {id: pause, wait: 5m}\n"
    stage = Stage(written(waits, child=CHILD_BOOK))
    run = stage.start()
    block = stage.last("firewall.block_ip")
    lease = {
        "id": "l", "verb": block.verb, "target": block.target, "connector": "c",
        "state": "active", "generation": 1, "holders": (), "opened": 0,
        "expires": block.requested + 3_600_000, "changed": 1,
    }  # fmt: skip
    stage.answer(block, lease=lease)
    assert stage.run(block.run_id).phase is Phase.FINISHED
    cancel = Cancel(run_id=run, by="ana", reason="stop", at=block.requested + 60_000)
    stage.give(cancel)
    stage.give(cancel)
    assert [(e.operation, e.target) for e in stage.effects] == [
        ("apply", "203.0.113.9"), ("release", "203.0.113.9"),
    ]  # fmt: skip
    assert stage.run(block.run_id).outcome is Outcome.CANCELLED


def test_the_parents_deadline_ends_the_child() -> None:
    stage = Stage(BOOK)
    run = stage.start()
    child = stage.run(run).step("sub").child
    stage.timer(run, "deadline")
    assert stage.run(run).outcome is Outcome.TIMED_OUT
    assert stage.run(child).outcome is Outcome.CANCELLED


def test_a_run_goes_on_with_the_child_that_was_there_when_it_began() -> None:
    other = written(CHILD.replace("ttl: 1h", "ttl: 2h"))
    newer = written(PARENT, child=other)
    assert newer.hash != BOOK.hash
    again = from_canonical(BOOK.source, ACTIONS)
    assert again.hash == BOOK.hash
    assert again.children["shut-out"].hash == CHILD_BOOK.hash


def test_what_cannot_be_run_is_told_with_its_place(tmp_path: Path) -> None:
    head = "apiVersion: tocsin/v1\nkind: Playbook\n"
    (tmp_path / "child.yml").write_text(head + CHILD)
    wrong = PARENT.replace("with: {ip: !cel alert.source.ip}", "with: {ib: 1}")
    (tmp_path / "parent.yml").write_text(head + wrong)
    circle = "metadata: {id: ring-%s}\ntrigger: {when: false}\nsteps: [{id: s, run: ring-%s}]\n"
    (tmp_path / "x.yml").write_text(head + circle % ("x", "y"))
    (tmp_path / "y.yml").write_text(head + circle % ("y", "x"))
    (tmp_path / "z.yml").write_text(head + circle % ("z", "shut-oud"))
    for number in range(MAX_DEPTH + 1):
        deep = circle.replace("ring", "deep") % (number, number + 1)
        if number == MAX_DEPTH:
            deep = deep.replace(f"run: deep-{number + 1}", "stop: x")
        (tmp_path / f"deep-{number}.yml").write_text(head + deep)
    with pytest.raises(ContentErrors) as raised:
        load_playbooks([tmp_path], (), actions=ACTIONS)
    found = [str(error).removeprefix(str(tmp_path) + "/") for error in raised.value.errors]
    assert sorted(found) == [
        "deep-0.yml:5:17: steps[0].run: playbooks run playbooks at most 5 deep, this is one more",
        "parent.yml:6:37: steps[0].with.ib: 'shut-out' has no input 'ib' (known: ip, why)",
        "parent.yml:6:5: steps[0]: 'shut-out' needs the input 'ip' (give it in 'with')",
        "y.yml:5:17: steps[0].run: playbooks must not run each other: ring-x → ring-y → ring-x",
        "z.yml:5:17: steps[0].run: no playbook 'ring-shut-oud' (did you mean 'shut-out'?)",
    ]


def test_tests_reach_into_sub_playbooks() -> None:
    cases = load_cases(
        "p.test.yml",
        b"""\
cases:
  - name: the firewall refuses
    alert: {source: {ip: 203.0.113.9}}
    answers: {sub/block: {status: failed, failure: {kind: denied, message: not permitted}}}
    expect: {outcome: failed, reason: not permitted, steps: {sub: failed, sub/block: failed}}
  - name: the engine dies in the child
    alert: {source: {ip: 203.0.113.9}}
    crash: sub/block
    expect:
      outcome: completed
      targets: {sub/block: 203.0.113.9}
      effects: {firewall.block_ip: 1}
""",
    )
    for case in cases:
        assert run_test(BOOK, case).problems == (), case.name


@pytest.mark.parametrize(("output", "own"), [("alert.nope", False), ('"[1][3]"', True)])
def test_an_output_without_a_value_fails_the_child(output: str, own: bool) -> None:
    """It is the playbook's own fault, unless the alert lacks what it reads."""
    broken = written(CHILD.replace("why: inputs.why}\nsteps", f"why: {output}}}\nsteps"))
    stage = Stage(written(PARENT, child=broken))
    run = stage.start()
    block = stage.last("firewall.block_ip")
    stage.answer(block)
    assert stage.run(run).outcome is Outcome.FAILED
    child = stage.run(block.run_id)
    told, other = (child.fault, child.lacking) if own else (child.lacking, child.fault)
    assert ("an output has no value" in told, other) == (True, "")


def test_a_dry_run_goes_all_the_way_down() -> None:
    played = play(BOOK, ALERT, {"sub/block": (Answer(status="dry_run"),)}, Mode.DRY_RUN)
    assert {effect.mode for effect in played.effects} == {Mode.DRY_RUN}
    assert played.state is not None
    assert played.state.outcome is Outcome.COMPLETED


def test_pictures_show_what_is_run() -> None:
    for drawn in (to_mermaid(BOOK.document, ACTIONS), to_svg(BOOK.document, ACTIONS)):
        assert "run the playbook shut-out(ip: alert.source.ip)" in drawn
