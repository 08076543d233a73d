"""Approvals in a run: who counts, what exactly is approved, and when the question is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playbooks.reducer import reduce
from playbooks.run_state import Outcome, Phase, RunState, StepStatus
from playbooks.testing import START, Said, play
from tests.playbooks.doubles import ALERT, playbook
from tocsin.contracts import Cancel, Command, Decision, Mode, RunEvent, Start, Timer

if TYPE_CHECKING:
    from playbooks.program import Playbook

MINUTE = 60_000


def source(approval: str = "", guard: str = "", exclude: str = "") -> str:
    return f"""
limits: {{deadline: 3h}}
vars: {{ip: alert.source.ip}}
steps:
  - id: ask
    approval:
      message: "Shut {{{{ vars.ip }}}} out?"
      approvers: {{group: soc, quorum: 2{exclude}}}
      timeout: 30m
      {approval}
  - id: block
    if: steps.ask.decision == "approved"
    action: firewall.block_ip
    with: {{ip: !cel alert.source.ip}}
    hold: {{ttl: 1h}}
    {guard}
"""


class Asked:
    """A run that waits for an approval."""

    def __init__(self, rest: str = "", alert: dict[str, Any] | None = None) -> None:
        self.playbook: Playbook = playbook(rest or source())
        self.state: RunState | None = None
        self.events: list[RunEvent] = []
        self.alert = {**ALERT, "user": {"name": "CORP\\mallory"}} | (alert or {})
        self.give(self.start(self.alert))

    def start(self, alert: dict[str, Any], at: int = START) -> Start:
        hash_ = self.playbook.hash
        return Start(run_id="r", playbook="test", playbook_hash=hash_, alert=alert, at=at)

    def give(self, command: Command) -> bool:
        step = reduce(self.state, command, self.playbook, mode=Mode.ENFORCE)
        self.state = step.state
        self.events += step.events
        return step.changed

    @property
    def run(self) -> RunState:
        assert self.state is not None
        return self.state

    def answer(self, by: str, *, approve: bool = True, at: int = MINUTE, **changes: Any) -> str:
        """Answer; the objection to it, "" if it counts, "again" if it meant nothing."""
        approval = self.run.step("ask").approval
        assert approval is not None
        given = {
            "id": f"{by}-{at}", "groups": ("soc",), "plan": approval.plan, **changes,
        }  # fmt: skip
        decision = Decision(run_id="r", step="ask", approve=approve, by=by, at=START + at, **given)
        if not self.give(decision):
            return "again"
        answered = [event for event in self.events if event.kind == "answered"][-1]
        return str(answered.data.get("reason", ""))

    def timer(self) -> None:
        """Let the approval's time pass."""
        due = self.run.timers["approval/ask"]
        self.give(Timer(run_id="r", timer="approval/ask", due=due, at=due + 5))

    @property
    def decision(self) -> str | None:
        approval = self.run.step("ask").approval
        return approval.decision or None if approval else None


def test_the_question_tells_the_exact_plan() -> None:
    asked = Asked()
    event = next(event for event in asked.events if event.kind == "approval_requested")
    assert event.data["message"] == "Shut 203.0.113.9 out?"
    [action] = event.data["actions"]
    assert (action["verb"], action["target"]) == ("firewall.block_ip", "203.0.113.9")
    assert action["hold"] == 60 * MINUTE
    assert asked.run.step("ask").status is StepStatus.WAITING
    assert list(asked.run.outbox) == []


def test_a_quorum_of_different_people_is_needed() -> None:
    asked = Asked()
    assert asked.answer("ana") == ""
    assert "already" in asked.answer("ana", at=2 * MINUTE)
    assert "already" in asked.answer("CORP\\Ana", at=3 * MINUTE)
    assert asked.decision is None
    assert asked.answer("bor") == ""
    assert asked.decision == "approved"
    assert asked.run.step("block").status is StepStatus.RUNNING


def test_the_time_that_people_have_is_not_the_runs() -> None:
    asked = Asked(source().replace("deadline: 3h", "deadline: 15m"))
    assert asked.run.timers["deadline"] == START + 45 * MINUTE
    asked.answer("ana", at=10 * MINUTE)
    asked.answer("bor", at=10 * MINUTE)
    assert asked.run.timers["deadline"] == START + 25 * MINUTE
    silent = Asked(source("on_timeout: escalate\n      escalate: {group: leads, timeout: 20m}"))
    silent.timer()
    assert silent.run.timers["deadline"] == START + (180 + 30 + 20) * MINUTE
    silent.timer()
    assert silent.decision == "denied"


def test_one_no_is_a_no() -> None:
    asked = Asked()
    asked.answer("ana")
    assert asked.answer("bor", approve=False) == ""
    assert asked.decision == "denied"
    assert asked.run.step("block").status is StepStatus.SKIPPED


def test_case_9_the_subject_of_the_alert_and_strangers_do_not_count() -> None:
    asked = Asked(source(exclude=", exclude: ['\"cene\"']"))
    for name in ("mallory", "MALLORY@example.com", "corp\\mallory", "cene"):
        assert "excluded" in asked.answer(name)
    assert "not in the group" in asked.answer("ana", groups=("sales",))
    assert "nobody" in asked.answer("")
    assert asked.decision is None


def test_case_9_a_replayed_answer_means_nothing() -> None:
    asked = Asked()
    assert asked.answer("ana", id="link-1") == ""
    assert asked.answer("bor", id="link-1") == "again"
    assert asked.decision is None


def test_case_9_an_answer_to_another_plan_does_not_count() -> None:
    asked = Asked()
    assert "another plan" in asked.answer("ana", plan="0" * 64)


def test_case_9_a_changed_plan_is_asked_anew() -> None:
    asked = Asked()
    asked.answer("ana")
    old = asked.run.step("ask").approval
    own = {**ALERT["tocsin"]["alert"], "revision": 2}
    moved = {**asked.alert, "source": {"ip": "198.51.100.7"}, "tocsin": {"alert": own}}
    asked.give(asked.start(moved, at=START + 1))
    assert "has changed" in asked.answer("bor")
    new = asked.run.step("ask").approval
    assert old is not None
    assert new is not None
    assert new.plan != old.plan
    assert new.approved == ()
    assert asked.answer("ana", at=9 * MINUTE) == ""
    assert asked.answer("bor", at=9 * MINUTE) == ""
    assert asked.run.step("block").target == "198.51.100.7"


def test_case_9_too_late_is_noted_and_changes_nothing() -> None:
    asked = Asked()
    asked.answer("ana")
    asked.timer()
    assert asked.decision == "denied"
    assert asked.run.phase is Phase.FINISHED
    before = len(asked.events)
    assert "over" in asked.answer("bor", at=40 * MINUTE)
    assert asked.answer("bor", at=40 * MINUTE) == "again"
    assert len(asked.events) == before + 1
    assert asked.run.outcome is Outcome.COMPLETED


def test_case_9_two_at_once_apply_once() -> None:
    asked = Asked(source().replace("quorum: 2", "quorum: 1"))
    assert asked.answer("ana", id="a") == ""
    assert "not open" in asked.answer("bor", id="b")
    requested = [event for event in asked.events if event.kind == "requested"]
    assert len(requested) == 1


def test_nobody_answers() -> None:
    for word, expected in (("deny", "denied"), ("approve", "approved")):
        asked = Asked(source(f"on_timeout: {word}"))
        asked.timer()
        assert asked.decision == expected


def test_escalation_asks_another_group_once() -> None:
    asked = Asked(source("on_timeout: escalate\n      escalate: {group: leads, timeout: 20m}"))
    asked.timer()
    assert asked.decision is None
    assert "not in the group leads" in asked.answer("ana", at=31 * MINUTE)
    assert asked.answer("vid", at=32 * MINUTE, groups=("leads",)) == ""
    asked.timer()
    assert asked.decision == "denied"
    requests = [event for event in asked.events if event.kind == "approval_requested"]
    assert [event.data["group"] for event in requests] == ["soc", "leads"]


def test_what_drifts_after_the_approval_is_refused() -> None:
    waits = source().replace("  - id: block", "  - {id: pause, wait: 10m}\n  - id: block")
    asked = Asked(waits)
    asked.answer("ana")
    asked.answer("bor")
    own = {**ALERT["tocsin"]["alert"], "revision": 2}
    moved = {**asked.alert, "source": {"ip": "198.51.100.7"}, "tocsin": {"alert": own}}
    asked.give(asked.start(moved, at=START + 2 * MINUTE))
    due = asked.run.timers["wait/pause"]
    asked.give(Timer(run_id="r", timer="wait/pause", due=due, at=due))
    assert asked.run.step("block").status is StepStatus.REFUSED
    assert "something else" in asked.run.step("block").reason
    assert asked.run.outbox == {}


def test_require_same_without_an_approval_acts_on_nothing() -> None:
    rest = """
steps:
  - {id: block, action: firewall.block_ip, with: {ip: 203.0.113.9}, hold: {ttl: 1h},
     guard: {drift: require_same}}
"""
    asked = Asked(rest)
    assert asked.run.step("block").status is StepStatus.REFUSED


def test_cancelling_ends_the_question() -> None:
    asked = Asked()
    asked.give(Cancel(run_id="r", by="ana", reason="no need", at=START + 1))
    assert asked.run.step("ask").status is StepStatus.CANCELLED
    assert "approval/ask" not in asked.run.timers


def test_a_waiting_approval_survives_being_stored() -> None:
    asked = Asked()
    asked.answer("ana")
    asked.state = RunState.from_json(asked.run.to_json())
    asked.answer("bor")
    assert asked.decision == "approved"


def test_a_scripted_test_can_answer() -> None:
    made = playbook(source())
    yes = (Said(by="ana"), Said(by="bor"))
    approved = play(made, ALERT, {}, decisions={"ask": yes}).state
    silent = play(made, ALERT, {}).state
    assert approved is not None
    assert silent is not None
    assert approved.step("block").status is StepStatus.OK
    assert silent.step("block").status is StepStatus.SKIPPED


def test_wait_ends_at_its_time() -> None:
    asked = Asked("steps: [{id: pause, wait: 5m}, {id: after, let: {x: '1'}}]")
    due = asked.run.timers["wait/pause"]
    assert due == START + 5 * MINUTE
    asked.give(Timer(run_id="r", timer="wait/pause", due=due, at=due - 1))
    assert asked.run.step("pause").status is StepStatus.WAITING
    asked.give(Timer(run_id="r", timer="wait/pause", due=due, at=due + 700))
    assert asked.run.outcome is Outcome.COMPLETED
    succeeded = next(e for e in asked.events if e.kind == "succeeded")
    assert succeeded.data["late_by"] == 700
