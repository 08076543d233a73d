"""for_each: one effect for each item, bounded, joined, and fixed when the step begins."""

from __future__ import annotations

from typing import Any

from playbooks.run_state import StepStatus
from playbooks.testing import Answer, Played, play
from tests.playbooks.doubles import ALERT, playbook
from tocsin.contracts import Failure

EACH = """
limits: {max_fanout: 5}
steps:
  - id: all
    for_each:
      in: alert.hosts
      do: {id: one, if: item != "skip", action: inventory.lookup, with: {entity: !cel item}}
      JOIN
    on_error: continue
  - {id: after, let: {n: steps.all.count, good: steps.all.succeeded}}
"""
FAILED = (Answer(status="failed", failure=Failure(kind="denied", message="no")),)


def played(hosts: Any, join: str = "", **answers: tuple[Answer, ...]) -> Played:
    made = playbook(EACH.replace("JOIN", join))
    scripted = {f"all.{name[1:]}": answer for name, answer in answers.items()}
    return play(made, {**ALERT, "hosts": hosts}, scripted)


def outcome(result: Played) -> tuple[str, dict[str, Any]]:
    assert result.state is not None
    values: dict[str, Any] = next((e.data["values"] for e in result.events if e.kind == "let"), {})
    return result.state.step("all").status.value, values


def test_one_effect_for_each_item() -> None:
    result = played(["a", "b", "c"])
    assert [effect.target for effect in result.effects] == ["a", "b", "c"]
    assert len({effect.id for effect in result.effects}) == 3
    assert outcome(result) == ("ok", {"n": 3, "good": 3})


def test_later_steps_see_what_each_item_came_to() -> None:
    text = EACH.replace("JOIN", "") + (
        "  - {id: found, let: {rooms: 'steps.all.results.map(r, "
        "has(r.output.room) ? r.output.room : r.status)'}}\n"
    )
    answers = {"all.0": (Answer(output={"room": "b12"}),), "all.2": FAILED}
    result = play(playbook(text), {**ALERT, "hosts": ["a", "skip", "c"]}, answers)
    assert found(result) == {"rooms": ["b12", "skipped", "failed"]}
    assert found(play(playbook(text), {**ALERT, "hosts": []}, {})) == {"rooms": []}


def found(result: Played) -> dict[str, Any]:
    """What the last step of the playbook above has made of the results."""
    values: list[dict[str, Any]] = [
        e.data["values"] for e in result.events if e.kind == "let" and e.step == "found"
    ]
    return values[0]


def test_an_item_can_be_left_out() -> None:
    result = played(["a", "skip"])
    assert [effect.target for effect in result.effects] == ["a"]
    assert outcome(result) == ("ok", {"n": 2, "good": 1})


def test_no_items_are_no_work() -> None:
    assert outcome(played([])) == ("ok", {"n": 0, "good": 0})


def test_joins() -> None:
    assert outcome(played(["a", "b"], _1=FAILED))[0] == "failed"
    assert outcome(played(["a", "b"], "join: any", _1=FAILED))[0] == "ok"
    assert outcome(played(["a", "b"], "join: {min_success: 2}", _1=FAILED))[0] == "failed"
    silent = (Answer(status="silent"),)
    timed = played(["a", "b"], "join: {min_success: 1, timeout: 5s}", _0=silent, _1=silent)
    assert outcome(timed)[0] == "failed"


def test_case_6_a_fan_out_of_a_million_is_refused_before_the_first_effect() -> None:
    result = played([str(number) for number in range(6)])
    assert result.state is not None
    assert result.effects == ()
    assert result.state.step("all").status is StepStatus.FAILED


def test_what_is_no_list_is_refused() -> None:
    result = played("abc")
    assert result.effects == ()
    assert outcome(result)[0] == "failed"
