"""One command's work on a run: which steps end, which begin, what is asked of the world."""

from __future__ import annotations

from typing import Any

from playbooks.bounds import MAX_OUTPUT, fitted
from playbooks.effects import Unable, make_effect, prepare, release_effect, retry_delay
from playbooks.journal import RESULTS, Journal, Receipt, told
from playbooks.program import ActionStep, LetStep, ParallelStep, Playbook, Step, StopStep
from playbooks.run_state import (
    FAILURES,
    OPEN,
    SUCCESSES,
    Outcome,
    Phase,
    RunState,
    StepStatus,
    bindings,
)
from playbooks.text import TextError, render_text
from tocsin.contracts import (
    Cancel,
    Effect,
    Failure,
    Mode,
    Result,
    Timer,
)
from tocsin.errors import ExpressionError

#: An answer may take this much longer than the call itself: queues, other effects on the target.
ANSWER_GRACE = 120_000
#: A watchdog that fires later than this was delayed with everything else: it starts again once.
LATE = 30_000

#: What an event keeps of the values that made a condition false, bytes of JSON.
MAX_VALUES = 1024

#: The event that goes with giving up on a step.
_EVENTS = {
    StepStatus.TIMED_OUT: "timed_out",
    StepStatus.CANCELLED: "cancelled",
}


class Turn(Journal):
    """One command's work on a run."""

    def __init__(self, state: RunState, playbook: Playbook, mode: Mode, at: int) -> None:
        super().__init__(state, at)
        self._playbook = playbook
        self._mode = mode
        self.effects: list[Effect] = []
        self._branches = {
            step.path: tuple(b.spec.id for b in step.branches)
            if isinstance(step, ParallelStep)
            else ()
            for step in playbook.steps
        }

    # commands

    def start(self) -> None:
        """Begin: variables once, then steps until one waits."""
        state, limits = self.state, self._playbook.document.limits
        self.emit(
            "started",
            "",
            {
                "playbook": state.playbook,
                "version": state.version,
                "hash": state.hash,
                "alert": state.alert_id,
                "mode": self._mode.value,
            },
        )
        self.arm("deadline", self.at + limits.deadline)
        try:
            seen = self._bindings()
            values = {name: e.evaluate(seen) for name, e in self._playbook.vars.items()}
        except ExpressionError as error:
            self._end_main(Outcome.FAILED, f"a variable has no value: {error}")
        else:
            self.set(vars=values)
        self._advance()

    def answer(self, result: Result) -> bool:
        """Take the result that a step waits for; whether it meant anything."""
        match self.receive(result):
            case Receipt.KNOWN:
                return False
            case Receipt.NOTED:
                return True
            case Receipt.AWAITED:
                self._take(self._playbook.by_path[result.step], result)
                self._advance()
                return True

    def timer(self, command: Timer) -> bool:
        """Do what a timer was set for; early, stale and repeated ones mean nothing."""
        if not self.is_due(command):
            return False
        self.disarm(command.timer)
        late = self.at - command.due
        match command.timer.split("/", 1):
            case ["deadline"]:
                self._deadline(late)
            case ["retry", path]:
                self._retry(path, late)
            case ["step", path] if late > LATE:
                self.arm(f"step-again/{path}", self.at + self._patience(path))
            case ["step" | "step-again", path]:
                reason = "no worker answered in time; the action may have happened"
                self._abandon(path, StepStatus.TIMED_OUT, reason, late)
            case ["join", path]:
                self._join_timeout(path, late)
            case _:
                raise ValueError(f"the run has a timer '{command.timer}' that nothing handles")
        self._advance()
        return True

    def cancel(self, command: Cancel) -> bool:
        """Give up: release what the run holds, go to the always-steps."""
        if self.state.outcome is Outcome.CANCELLED:
            return False
        self.emit("cancelled", "", {"by": command.by, "reason": command.reason})
        self._release_all()
        reason = f"cancelled by {command.by}: {command.reason}"
        if self.state.phase is Phase.MAIN:
            self._abandon_open(StepStatus.CANCELLED, reason)
            self._end_main(Outcome.CANCELLED, reason)
        else:
            self.set(outcome=Outcome.CANCELLED, reason=reason)
        self._advance()
        return True

    # going on

    def _advance(self) -> None:
        """Run steps in order until one must wait or the run is finished."""
        while self.state.phase is not Phase.FINISHED:
            main = self.state.phase is Phase.MAIN
            steps = self._playbook.main if main else self._playbook.always
            if self.state.cursor >= len(steps):
                if not main:
                    self.finish(self.state.outcome or Outcome.COMPLETED, self.state.reason)
                    return
                self._end_main(Outcome.COMPLETED, "")
                continue
            step = steps[self.state.cursor]
            if self.state.step(step.path).status is StepStatus.PENDING:
                self._begin_step(step)
            if isinstance(step, ParallelStep):
                self._join(step)
            status = self.state.step(step.path).status
            if status in OPEN:
                return
            self.set(cursor=self.state.cursor + 1)
            self._settle(step, status)

    def _settle(self, step: Step, status: StepStatus) -> None:
        """What the end of a step means for the run."""
        if isinstance(step, StopStep) and status is StepStatus.OK:
            self._end_main(Outcome.STOPPED, self.state.step(step.path).reason)
        elif status in FAILURES and step.on_error == "stop":
            ended = self.state.step(step.path)
            reason = f"step {step.path} {status.value}: {ended.reason}"
            if self.state.phase is Phase.MAIN:
                self._end_main(Outcome.FAILED, reason)
            elif self.state.outcome is Outcome.COMPLETED:
                self.set(outcome=Outcome.FAILED, reason=reason)

    def _end_main(self, outcome: Outcome, reason: str) -> None:
        """Go to the always-steps; they too have a deadline, so that every run ends."""
        self.set(phase=Phase.ALWAYS, cursor=0, outcome=outcome, reason=reason)
        self.arm("deadline", self.at + self._playbook.document.limits.deadline)

    def _begin_step(self, step: Step) -> None:
        if not self._holds(step):
            return
        match step:
            case ActionStep():
                self._request(step)
            case LetStep():
                self._let(step)
            case ParallelStep():
                self.put(step.path, status=StepStatus.RUNNING, started=self.at)
                if step.join.timeout is not None:
                    self.arm(f"join/{step.path}", self.at + step.join.timeout)
                for branch in step.branches:
                    if self._holds(branch):
                        self._request(branch)
            case StopStep():
                try:
                    reason = render_text(step.reason, self._bindings())
                except TextError as error:
                    reason = f"the run was stopped; its reason could not be written: {error}"
                self._end_step(step.path, StepStatus.OK, reason=reason)

    def _holds(self, step: Step) -> bool:
        """Whether the step's `if` is true; if not, the step has ended. An error is no true."""
        path, condition = step.path, step.condition
        if isinstance(step, ActionStep):
            self.put(path, verb=step.spec.action)
        if condition is None:
            return True
        seen = self._bindings()
        try:
            if condition.test(seen):
                return True
        except ExpressionError as error:
            self._fail(path, f"the condition cannot be evaluated, so nothing is done: {error}")
            return False
        values = {name: _looked_up(seen, name) for name in condition.references}
        self._end_step(path, StepStatus.SKIPPED, reason="its condition is false")
        data = {"if": condition.text, "values": fitted(values, MAX_VALUES)}
        self.emit("skipped", path, data)
        return False

    def _let(self, step: LetStep) -> None:
        seen = self._bindings()
        try:
            values = {name: e.evaluate(seen) for name, e in step.values.items()}
        except ExpressionError as error:
            self._fail(step.path, str(error))
            return
        self._end_step(step.path, StepStatus.OK, output=values)
        self.emit("let", step.path, {"values": fitted(values, MAX_OUTPUT)})

    # actions

    def _request(self, step: ActionStep) -> None:
        if step.action is None and step.spec.optional:
            reason = f"no connector serves {step.spec.action}"
            self._end_step(step.path, StepStatus.SKIPPED, reason=reason)
            self.emit("skipped", step.path, {"reason": reason, "verb": step.spec.action})
            return
        try:
            prepared = prepare(step, self._bindings(), self.state.run_id)
        except Unable as error:
            self._fail(step.path, str(error))
            return
        effect = make_effect(self.state, step, prepared, self._mode, self.at)
        self.put(
            step.path,
            status=StepStatus.RUNNING,
            started=self.at,
            target=effect.target,
            effect_id=effect.id,
            attempt=1,
            case=prepared.case,
        )
        data = {"effect": effect.id, "verb": effect.verb, "target": effect.target}
        self.emit("requested", step.path, data | {"mode": effect.mode.value})
        self._send(effect)

    def _send(self, effect: Effect) -> None:
        self.set(outbox={**self.state.outbox, effect.id: effect})
        if effect.operation == "apply":
            self.arm(f"step/{effect.step}", self.at + self._patience(effect.step))
        self.effects.append(self.state.completed(effect))

    def _patience(self, path: str) -> int:
        return self._playbook.by_path[path].spec.timeout + ANSWER_GRACE

    def _take(self, step: ActionStep, result: Result) -> None:
        status, kind = RESULTS[result.status]
        if status is StepStatus.FAILED and self._schedule_retry(step, result):
            return
        failure = result.failure
        reason = failure.message if failure else _refusal(result)
        self._end_step(
            step.path,
            status,
            output=fitted(result.output, MAX_OUTPUT),
            reason=reason,
            failure=failure,
            verdicts=result.verdicts,
            held_until=result.lease.expires if result.lease else None,
        )
        self.emit(kind, step.path, told(result))

    def _schedule_retry(self, step: ActionStep, result: Result) -> bool:
        """Whether the attempt is to be repeated; then its timer is set."""
        failure = result.failure or Failure(kind="internal", message="no reason given")
        if failure.kind not in step.retry.on or result.attempt > step.retry.max:
            return False
        due = self.at + retry_delay(step.retry, result.effect_id, result.attempt, failure)
        if due >= self.state.timers.get("deadline", due):
            return False
        self.disarm(*_timers(step.path))
        self.put(step.path, status=StepStatus.WAITING, failure=failure)
        self.arm(f"retry/{step.path}", due)
        self.emit("retry_scheduled", step.path, told(result) | {"due": due})
        return True

    def _retry(self, path: str, late: int) -> None:
        step = self.state.step(path)
        effect = self.state.outbox[step.effect_id]
        attempt = step.attempt + 1
        self.put(path, status=StepStatus.RUNNING, attempt=attempt)
        self.emit("attempted", path, {"attempt": attempt, "late_by": late})
        changes = {"attempt": attempt, "requested": self.at, "mode": self._mode}
        self._send(effect.model_copy(update=changes))

    def _release_all(self) -> None:
        """Ask for the release of every containment that the run holds or may come to hold."""
        for path, step in self.state.steps.items():
            spec = self._playbook.by_path[path].spec if path in self._playbook.by_path else None
            never = step.status in (StepStatus.REFUSED, StepStatus.DRY_RUN)
            if spec is not None and spec.hold is not None and step.effect_id and not never:
                self._send(release_effect(self.state, path, spec.timeout, self._mode, self.at))

    # ends

    def _end_step(self, path: str, status: StepStatus, **changes: Any) -> None:
        """A step is over: nothing of it is sent or timed any more."""
        self.unsend(self.state.step(path).effect_id)
        self.disarm(*_timers(path))
        started = self.state.step(path).started or self.at
        self.put(path, status=status, started=started, ended=self.at, **changes)

    def _fail(self, path: str, reason: str) -> None:
        failure = Failure(kind="invalid", message=reason)
        self._end_step(path, StepStatus.FAILED, reason=reason, failure=failure)
        self.emit("failed", path, {"reason": reason})

    def _abandon(self, path: str, status: StepStatus, reason: str, late: int = 0) -> None:
        """Stop waiting for a step; a result that comes all the same is recorded as late."""
        self._end_step(path, status, reason=reason)
        data: dict[str, Any] = {"reason": reason}
        self.emit(_EVENTS[status], path, data | ({"late_by": late} if late else {}))

    def _abandon_open(self, status: StepStatus, reason: str, late: int = 0) -> None:
        for path in [p for p, step in self.state.steps.items() if step.status in OPEN]:
            self._abandon(path, status, reason, late)

    def _deadline(self, late: int) -> None:
        reason = "the deadline has passed"
        main = self.state.phase is Phase.MAIN
        self._abandon_open(StepStatus.TIMED_OUT, reason, late)
        if main:
            self._end_main(Outcome.TIMED_OUT, reason)
        else:
            self.arm("deadline", self.at + self._playbook.document.limits.deadline)

    # parallel

    def _join(self, step: ParallelStep) -> None:
        """End a parallel step as soon as its join is decided."""
        if self.state.step(step.path).status is not StepStatus.RUNNING:
            return
        states = [self.state.step(branch.path).status for branch in step.branches]
        running = sum(status in OPEN for status in states)
        good = sum(status in SUCCESSES for status in states)
        if step.needed is None:
            if running:
                return
            failed = sum(status in FAILURES for status in states)
            self._end_join(step, f"{failed} of {len(states)} branches failed" if failed else "")
        elif good >= step.needed:
            self._end_join(step, "")
        elif good + running < step.needed:
            self._end_join(step, f"only {good} of the {step.needed} branches needed can succeed")

    def _join_timeout(self, path: str, late: int) -> None:
        step = next(s for s in self._playbook.steps if s.path == path)
        if isinstance(step, ParallelStep):
            self._abandon_branches(step, StepStatus.TIMED_OUT, "the join's time is up", late)

    def _end_join(self, step: ParallelStep, problem: str) -> None:
        self._abandon_branches(step, StepStatus.CANCELLED, "the join did not wait for it")
        branches = {b.path: self.state.step(b.path).status.value for b in step.branches}
        status = StepStatus.FAILED if problem else StepStatus.OK
        self._end_step(step.path, status, reason=problem)
        data = {"branches": branches} | ({"reason": problem} if problem else {})
        self.emit("failed" if problem else "succeeded", step.path, data)

    def _abandon_branches(
        self, step: ParallelStep, status: StepStatus, reason: str, late: int = 0
    ) -> None:
        for branch in step.branches:
            if self.state.step(branch.path).status in OPEN:
                self._abandon(branch.path, status, reason, late)

    def _bindings(self) -> dict[str, Any]:
        return bindings(self.state, self._branches)


def _timers(path: str) -> tuple[str, ...]:
    return tuple(f"{name}/{path}" for name in ("step", "step-again", "retry", "join"))


def _looked_up(seen: dict[str, Any], path: str) -> Any:
    value: Any = seen
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def _refusal(result: Result) -> str:
    return "; ".join(f"{v.guard}: {v.reason}" for v in result.verdicts if not v.allowed)
