"""The run engine, case by case: what happens, what is asked of the world, how a run ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from playbooks.bounds import MAX_OUTPUT
from playbooks.ended import RETENTION
from playbooks.reducer import Transition, quarantine, reduce
from playbooks.run_state import Outcome, Phase, RunState, StepStatus
from playbooks.stepping import ANSWER_GRACE
from playbooks.testing import START, Answer, play
from playbooks.turn import LATE
from tests.playbooks.doubles import ACTIONS, ALERT, playbook
from tocsin.contracts import (
    Cancel,
    Command,
    Effect,
    EffectStatus,
    Failure,
    Mode,
    Result,
    Returned,
    Start,
    Timer,
)

if TYPE_CHECKING:
    from playbooks.program import Playbook
from tocsin.ids import canonical_json

LOOK = "{id: look, action: geoip.lookup, with: {ip: !cel alert.source.ip}}"
BLOCK = (
    "{id: block, action: firewall.block_ip, with: {ip: !cel alert.source.ip}, hold: {ttl: 1h},"
    " guard: {rate: {max: 3, per: 1m}}}"
)
REPORT = "{id: report, always: true, action: case.report}"


class Run:
    """A run that a test drives by hand."""

    def __init__(self, made: Playbook, mode: Mode = Mode.ENFORCE) -> None:
        self.playbook, self.mode = made, mode
        self.state: RunState | None = None
        self.log: list[Transition] = []
        self.give(self.start())

    def start(self, revision: int = 1, alert: str = "a-1", at: int = START) -> Start:
        own = {**ALERT["tocsin"]["alert"], "revision": revision, "id": alert}
        document = {**ALERT, "tocsin": {"alert": own}}
        made = self.playbook
        return Start(run_id="r", playbook=made.id, playbook_hash=made.hash, alert=document, at=at)

    def give(self, command: Command) -> Transition:
        step = reduce(self.state, command, self.playbook, mode=self.mode)
        self.state = step.state
        self.log.append(step)
        return step

    def result(self, effect: Effect, status: str = "ok", at: int = 1000, **more: Any) -> Returned:
        at += START
        result = Result(
            effect_id=effect.id, run_id="r", step=effect.step, attempt=effect.attempt,
            status=EffectStatus(status), started=at, at=at, **more,
        )  # fmt: skip
        return Returned(run_id="r", result=result, at=at)

    def timer(self, name: str, late: int = 0) -> Timer:
        due = self.now.timers[name]
        return Timer(run_id="r", timer=name, due=due, at=due + late)

    @property
    def now(self) -> RunState:
        assert self.state is not None
        return self.state

    @property
    def sent(self) -> list[Effect]:
        return [effect for step in self.log if step.changed for effect in step.effects]

    def kinds(self) -> list[str]:
        return [event.kind for step in self.log for event in step.events]


def failed(kind: str = "http_5xx", retry_after: int | None = None) -> dict[str, Any]:
    return {"failure": Failure(kind=kind, message="no", retry_after=retry_after)}


def test_a_step_waits_for_its_answer_and_the_next_sees_it() -> None:
    run = Run(playbook(f"steps: [{LOOK}, {{id: a, let: {{c: steps.look.output.country}}}}]"))
    assert [e.verb for e in run.sent] == ["geoip.lookup"]
    assert run.now.phase is Phase.MAIN
    run.give(run.result(run.sent[0], output={"country": "NL"}))
    assert run.kinds() == ["started", "requested", "succeeded", "let", "finished"]
    assert run.now.outcome is Outcome.COMPLETED
    let = next(e for step in run.log for e in step.events if e.kind == "let")
    assert let.data == {"values": {"c": "NL"}}
    assert [e.seq for step in run.log for e in step.events] == [0, 1, 2, 3, 4]


def test_the_effect_says_everything_a_worker_needs() -> None:
    run = Run(playbook(f"steps: [{BLOCK}]"), Mode.DRY_RUN)
    effect = run.sent[0]
    assert (effect.target, effect.mode, effect.alert_id) == ("203.0.113.9", Mode.DRY_RUN, "a-1")
    assert effect.inputs == {"ip": "203.0.113.9", "comment": ""}
    assert effect.hold is not None
    assert (effect.hold.ttl, effect.hold.max) == (3_600_000, 3_600_000)
    assert effect.guard.rate is not None
    assert (effect.guard.rate.max, effect.guard.rate.per) == (3, 60_000)


def test_false_condition_is_skipped_with_the_values_that_made_it_so() -> None:
    run = Run(playbook("steps: [{id: a, if: alert.event.severity > 90, stop: x}]"))
    skipped = run.log[0].events[1]
    assert (skipped.kind, skipped.step) == ("skipped", "a")
    assert skipped.data == {
        "if": "alert.event.severity > 90",
        "values": {"alert.event.severity": 73},
    }
    assert run.now.outcome is Outcome.COMPLETED


def test_an_error_in_the_condition_of_a_containment_fails_closed() -> None:
    run = Run(playbook(f"steps: [{BLOCK[:-1]}, if: alert.nope == 1}}]"))
    assert run.sent == []
    assert run.now.step("block").status is StepStatus.FAILED
    assert run.now.outcome is Outcome.FAILED
    assert "nothing is done" in run.now.reason


@pytest.mark.parametrize("value", ["alert.message", "'203.0.113.0/24'", "alert.nope", "1.5"])
def test_an_input_that_is_no_address_asks_for_nothing(value: str) -> None:
    text = f"steps: [{BLOCK}]\n".replace("!cel alert.source.ip", f'!cel "{value}"')
    run = Run(playbook(text))
    assert run.sent == []
    assert run.now.step("block").status is StepStatus.FAILED


@pytest.mark.parametrize("status", ["refused", "dry_run"])
def test_refused_and_dry_run_end_a_step_without_failing_or_retrying(status: str) -> None:
    run = Run(playbook(f"steps: [{BLOCK}, {LOOK}]"))
    run.give(run.result(run.sent[0], status))
    assert run.kinds()[2:] == [status, "requested"]
    assert run.now.step("block").status.value == status


def test_retry_waits_as_the_product_asked_and_keeps_the_effect_id() -> None:
    run = Run(playbook(f"steps: [{LOOK}]"))
    run.give(run.result(run.sent[0], "failed", **failed("rate_limited", 45_000)))
    due = run.now.timers["retry/look"]
    assert due == START + 1000 + 45_000
    run.give(run.timer("retry/look", late=7))
    again = run.sent[1]
    assert (again.id, again.attempt) == (run.sent[0].id, 2)
    attempted = run.log[-1].events[0]
    assert (attempted.kind, attempted.data) == ("attempted", {"attempt": 2, "late_by": 7})


def test_backoff_grows_and_retries_end() -> None:
    answers = {"look": (Answer(status="failed", failure=failed()["failure"]),)}
    played = play(playbook(f"steps: [{LOOK}]"), ALERT, answers)
    waits = [
        event.data["due"] - event.at for event in played.events if event.kind == "retry_scheduled"
    ]
    assert len(waits) == 3
    assert all(b > a // 2 for a, b in zip([1000, 2000, 4000], waits, strict=True))
    assert all(b <= a for a, b in zip([1000, 2000, 4000], waits, strict=True))
    assert played.state is not None
    assert played.state.outcome is Outcome.FAILED
    assert played.state.step("look").attempt == 4


def test_a_failure_that_no_retry_cures_is_not_retried() -> None:
    run = Run(playbook(f"steps: [{LOOK}]"))
    run.give(run.result(run.sent[0], "failed", **failed("denied")))
    assert run.now.outcome is Outcome.FAILED


def test_what_is_not_idempotent_is_not_retried_by_default() -> None:
    run = Run(playbook("steps: [{id: p, action: pager.call, with: {message: x}}]"))
    run.give(run.result(run.sent[0], "failed", **failed("timeout")))
    assert run.now.outcome is Outcome.FAILED


def test_a_retry_after_the_deadline_is_not_waited_for() -> None:
    run = Run(playbook(f"steps: [{LOOK}]\nlimits: {{deadline: 1m}}"))
    run.give(run.result(run.sent[0], "failed", **failed("rate_limited", 3_600_000)))
    assert run.now.outcome is Outcome.FAILED


def test_on_error_continue_goes_on() -> None:
    run = Run(playbook(f"steps: [{LOOK[:-1]}, on_error: continue}}, {BLOCK}]"))
    run.give(run.result(run.sent[0], "failed", **failed("denied")))
    assert run.sent[1].verb == "firewall.block_ip"


def test_unknown_stops_the_run_for_a_person() -> None:
    run = Run(playbook(f"steps: [{BLOCK}, {LOOK}]"))
    run.give(run.result(run.sent[0], "unknown"))
    assert run.now.outcome is Outcome.FAILED
    assert len(run.sent) == 1


def test_stop_ends_the_run_with_its_reason_and_always_steps_run() -> None:
    run = Run(playbook(f"steps: [{REPORT}, {{id: s, stop: 'enough of {{{{ run.id }}}}'}}, {LOOK}]"))
    assert [e.verb for e in run.sent] == ["case.report"]
    run.give(run.result(run.sent[0]))
    assert (run.now.outcome, run.now.reason) == (Outcome.STOPPED, "enough of r")


def test_a_report_gets_the_run_and_the_alert() -> None:
    run = Run(playbook(f"steps: [{LOOK}, {REPORT}]"))
    run.give(run.result(run.sent[0], output={"country": "NL"}))
    effect = run.sent[1]
    assert effect.target == "r"
    assert effect.inputs["case"] == "r"
    assert effect.inputs["alert"] == run.now.alert
    steps = {step["id"]: step for step in effect.inputs["run"]["steps"]}
    assert steps["look"]["output"] == {"country": "NL"}
    assert [e["kind"] for e in effect.inputs["run"]["events"]][:3] == [
        "started", "requested", "succeeded",
    ]  # fmt: skip
    assert run.now.outbox[effect.id].inputs["run"] == {}


def test_a_variable_without_a_value_fails_the_run_but_reports() -> None:
    run = Run(playbook(f"vars: {{x: alert.nope}}\nsteps: [{LOOK}, {REPORT}]"))
    assert [e.verb for e in run.sent] == ["case.report"]
    run.give(run.result(run.sent[0]))
    assert run.now.outcome is Outcome.FAILED


def test_deadline_gives_up_what_waits_and_runs_always_steps_once() -> None:
    run = Run(playbook(f"steps: [{LOOK}, {REPORT}]"))
    run.give(run.timer("deadline", late=5))
    assert run.now.step("look").status is StepStatus.TIMED_OUT
    assert [e.verb for e in run.sent] == ["geoip.lookup", "case.report"]
    late = run.result(run.sent[0], at=2_000_000)
    step = run.give(late)
    assert step.events[0].data["late"] is True
    assert run.now.step("look").status is StepStatus.TIMED_OUT
    run.give(run.result(run.sent[1], at=2_000_001))
    assert run.now.outcome is Outcome.TIMED_OUT
    assert [e.verb for e in run.sent].count("case.report") == 1


def test_always_steps_have_a_deadline_too() -> None:
    run = Run(playbook(f"steps: [{REPORT}]"))
    run.give(run.timer("deadline"))
    assert run.now.phase is Phase.FINISHED
    assert run.now.step("report").status is StepStatus.TIMED_OUT
    assert run.now.outcome is Outcome.FAILED


def test_a_silent_worker_is_not_waited_for_for_ever_nor_asked_again() -> None:
    run = Run(playbook(f"steps: [{BLOCK[:-1]}, timeout: 10s}}]"))
    assert run.now.timers["step/block"] == START + 10_000 + ANSWER_GRACE
    run.give(run.timer("step/block"))
    assert run.now.outcome is Outcome.FAILED
    assert len(run.sent) == 1


def test_a_watchdog_that_slept_itself_waits_once_more() -> None:
    run = Run(playbook(f"steps: [{BLOCK}]"))
    run.give(run.timer("step/block", late=LATE + 1))
    assert run.now.step("block").status is StepStatus.RUNNING
    run.give(run.timer("step-again/block", late=LATE + 1))
    assert run.now.step("block").status is StepStatus.TIMED_OUT


@pytest.mark.parametrize(("shift", "due"), [(-1, 0), (0, 1), (5, -1)])
def test_early_and_stale_timers_mean_nothing(shift: int, due: int) -> None:
    run = Run(playbook(f"steps: [{LOOK}]"))
    timer = run.timer("deadline")
    moved = timer.model_copy(update={"at": timer.at + shift, "due": timer.due + due})
    before = run.now
    step = run.give(moved)
    assert (step.changed, step.events, run.now) == (False, (), before)
    assert [e.id for e in step.effects] == [run.sent[0].id]


def test_cancel_releases_what_is_held_or_may_be_and_reports() -> None:
    run = Run(playbook(f"steps: [{BLOCK}, {LOOK}, {REPORT}]"))
    run.give(run.result(run.sent[0]))
    cancel = Cancel(run_id="r", by="ana", reason="wrong address", at=START + 2000)
    run.give(cancel)
    release = next(e for e in run.sent if e.operation == "release")
    assert (release.verb, release.target) == ("firewall.block_ip", "203.0.113.9")
    assert release.id != run.sent[0].id
    assert run.now.step("look").status is StepStatus.CANCELLED
    assert run.give(cancel).changed is False
    run.give(run.result(next(e for e in run.sent if e.verb == "case.report"), at=3000))
    assert run.now.outcome is Outcome.CANCELLED
    assert set(run.now.outbox) == {release.id}
    run.give(run.result(release, at=4000))
    assert run.now.outbox == {}


PARALLEL = """\
steps:
  - id: p
    parallel:
      join: {%s}
      branches:
        - {id: a, action: geoip.lookup, with: {ip: 192.0.2.1}, retry: {max: 0}}
        - {id: b, action: geoip.lookup, with: {ip: 192.0.2.2}, retry: {max: 0}}
        - {id: c, action: geoip.lookup, with: {ip: 192.0.2.3}, retry: {max: 0}}
"""


@pytest.mark.parametrize(
    ("join", "answers", "ended", "status"),
    [
        ("all: true", ["ok", "ok", "ok"], 3, StepStatus.OK),
        ("all: true", ["failed", "ok", "ok"], 3, StepStatus.FAILED),
        ("all: true", ["refused", "dry_run", "ok"], 3, StepStatus.OK),
        ("any: true", ["failed", "ok"], 2, StepStatus.OK),
        ("any: true", ["failed", "failed", "failed"], 3, StepStatus.FAILED),
        ("min_success: 2", ["ok", "dry_run"], 2, StepStatus.OK),
        ("min_success: 2", ["failed", "refused"], 2, StepStatus.FAILED),
    ],
)
def test_join(join: str, answers: list[str], ended: int, status: StepStatus) -> None:
    run = Run(playbook(PARALLEL % join))
    assert len(run.sent) == 3
    for count, (effect, answer) in enumerate(zip(run.sent, answers, strict=False), start=1):
        assert run.now.step("p").status is StepStatus.RUNNING
        run.give(run.result(effect, answer))
        assert (run.now.step("p").status is not StepStatus.RUNNING) == (count == ended)
    assert run.now.step("p").status is status


def test_a_branch_after_the_join_is_recorded_and_not_applied() -> None:
    run = Run(playbook(PARALLEL % "any: true"))
    run.give(run.result(run.sent[0]))
    assert run.now.step("p.b").status is StepStatus.CANCELLED
    step = run.give(run.result(run.sent[1]))
    assert [e.kind for e in step.events] == ["succeeded"]
    assert step.events[0].data["late"] is True
    assert run.now.step("p.b").status is StepStatus.CANCELLED


def test_join_timeout() -> None:
    run = Run(playbook(PARALLEL % "min_success: 2, timeout: 20s"))
    run.give(run.result(run.sent[0]))
    run.give(run.timer("join/p"))
    statuses = [run.now.step(p).status.value for p in ("p.a", "p.b", "p.c", "p")]
    assert statuses == ["ok", "timed_out", "timed_out", "failed"]


def test_newer_revisions_attach_and_later_steps_see_them() -> None:
    text = f"steps: [{LOOK}, {{id: n, let: {{r: alert.tocsin.alert.revision}}}}]"
    run = Run(playbook(text))
    assert run.give(run.start(revision=1)).changed is False
    assert [e.kind for e in run.give(run.start(revision=5)).events] == ["attached"]
    assert run.give(run.start(revision=3)).changed is False
    quiet = run.give(run.start(revision=6))
    assert (quiet.changed, quiet.events) == (True, ())
    assert run.give(run.start(revision=6)).changed is False
    assert run.give(run.start(revision=1, alert="a-2")).changed is True
    step = run.give(run.result(run.sent[0]))
    assert step.events[1].data == {"values": {"r": 6}}
    assert run.give(run.start(revision=9)).changed is False
    assert [e.kind for e in run.give(run.start(revision=10)).events] == ["attached"]


def test_drop_ignores_further_alerts() -> None:
    dedup = "trigger: {when: 'true', dedup: {key: '\"k\"', window: 1h, on_duplicate: drop}}"
    head = f"apiVersion: tocsin/v1\nkind: Playbook\nmetadata: {{id: d}}\n{dedup}\n"
    run = Run(playbook(f"steps: [{LOOK}]", head))
    assert run.give(run.start(revision=5)).changed is False


def test_a_finished_run_has_no_timers_but_that_of_an_older_version_may_be_forgotten() -> None:
    run = Run(playbook("steps: [{id: s, stop: x}]"))
    assert (run.now.timers, run.now.alert, run.now.source) == ({}, {}, {})
    run.state = run.now.but(timers={"retention": START + RETENTION})
    run.give(run.timer("retention"))
    assert run.state is None


def test_an_optional_step_without_connector_is_skipped() -> None:
    text = f"steps: [{LOOK[:-1]}, optional: true}}]"
    run = Run(playbook(text, actions={k: a for k, a in ACTIONS.items() if k != "geoip.lookup"}))
    assert run.kinds() == ["started", "skipped", "finished"]
    assert run.now.outcome is Outcome.COMPLETED


def test_large_outputs_are_cut_and_a_report_is_bounded() -> None:
    steps = ", ".join(LOOK.replace("id: look", f"id: look{n}") for n in range(40))
    run = Run(playbook(f"steps: [{steps}, {REPORT}]"))
    huge = {"blob": "x" * 200_000, **{f"k{n}": "y" * 900 for n in range(60)}}
    for n in range(40):
        run.give(run.result(run.sent[n], output=huge))
        assert len(canonical_json(run.now.step(f"look{n}").output)) <= MAX_OUTPUT
    report = run.sent[-1]
    assert report.verb == "case.report"
    assert len(report.encode()) < 256 * 1024
    assert report.inputs["run"]["steps"][0]["status"] == "ok"


def test_quarantine_ends_a_run() -> None:
    run = Run(playbook(f"steps: [{LOOK}]"))
    step = quarantine(run.now, run.start(), "internal error")
    assert step.state is not None
    assert (step.state.phase, step.state.outcome) == (Phase.FINISHED, Outcome.FAILED)
    assert step.state.outbox == {}
    assert [e.kind for e in step.events] == ["failed", "finished"]


def test_commands_for_a_run_that_is_not_there_mean_nothing() -> None:
    cancel = Cancel(run_id="r", by="ana", reason="x", at=START)
    step = reduce(None, cancel, None, mode=Mode.ENFORCE)
    assert (step.state, step.changed) == (None, False)
