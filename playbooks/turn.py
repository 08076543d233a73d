"""One command's work on a run: which steps end, which begin, what is asked of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playbooks.asking import Asking
from playbooks.journal import Receipt
from playbooks.program import (
    ActionStep,
    ApprovalStep,
    EachStep,
    LetStep,
    ParallelStep,
    Step,
    StopStep,
    WaitStep,
)
from playbooks.run_state import FAILURES, OPEN, Outcome, Phase, StepStatus
from playbooks.text import TextError, render_text
from tocsin.errors import ExpressionError

if TYPE_CHECKING:
    from tocsin.contracts import Cancel, Decision, Result, Timer

#: A watchdog that fires later than this was delayed with everything else: it starts again once.
LATE = 30_000


class Turn(Asking):
    """One command's work on a run."""

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
                self._take(self._playbook.action_at(result.step), result)
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
            case ["wait", path]:
                self._end_step(path, StepStatus.OK)
                self.emit("succeeded", path, {"late_by": late})
            case ["verify", path]:
                self._unverified(path)
            case ["approval", path]:
                self._unanswered(path, late)
            case _:
                raise ValueError(f"the run has a timer '{command.timer}' that nothing handles")
        self._advance()
        return True

    def decided(self, decision: Decision) -> bool:
        """Take an answer to an approval and go on, if it settles it."""
        if not self.decide(decision):
            return False
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
            if isinstance(step, ParallelStep | EachStep):
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

    def _deadline(self, late: int) -> None:
        reason = "the deadline has passed"
        main = self.state.phase is Phase.MAIN
        self._abandon_open(StepStatus.TIMED_OUT, reason, late)
        if main:
            self._end_main(Outcome.TIMED_OUT, reason)
        else:
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
            case EachStep():
                self._begin_each(step)
            case ApprovalStep():
                self._ask(step)
            case WaitStep():
                due = self.at + step.duration
                self.put(step.path, status=StepStatus.WAITING, started=self.at)
                self.arm(f"wait/{step.path}", due)
                self.emit("waiting", step.path, {"due": due})
            case StopStep():
                try:
                    reason = render_text(step.reason, self._bindings())
                except TextError as error:
                    reason = f"the run was stopped; its reason could not be written: {error}"
                self._end_step(step.path, StepStatus.OK, reason=reason)
