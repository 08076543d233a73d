"""One command's work on a run: which steps end, which begin, what is asked of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playbooks.bounds import MAX_OUTPUT, fitted
from playbooks.calling import Calling
from playbooks.journal import Receipt, revision_of
from playbooks.program import (
    ActionStep,
    ApprovalStep,
    EachStep,
    LetStep,
    ParallelStep,
    RunStep,
    Step,
    StopStep,
    WaitStep,
)
from playbooks.run_state import FAILURES, OPEN, Outcome, Phase, RunState, StepStatus
from playbooks.stepping import NO_VALUE, blamed
from playbooks.text import TextError, render_text
from tocsin.contracts import Acquire
from tocsin.errors import ExpressionError
from tocsin.ids import digest

if TYPE_CHECKING:
    from tocsin.contracts import Admission, Ask, Cancel, Decision, Result, Settled, Start, Timer
    from tocsin.contracts import Ended as ChildEnded

#: A watchdog that fires later than this was delayed with everything else: it starts again once.
LATE = 30_000
#: Most times that one run is called off and started again; further alerts are only noted.
MAX_EPOCHS = 20


def next_epoch(state: RunState, start: Start, at: int) -> RunState:
    """A run that begins again with another alert: what it was is over, its identity goes on."""
    alert_id, revision = revision_of(start.alert)
    return RunState(
        run_id=state.run_id,
        playbook=state.playbook,
        version=state.version,
        hash=state.hash,
        source=state.source,
        alert=start.alert,
        alert_id=alert_id,
        attached={**state.attached, alert_id: revision},
        attaches=state.attaches,
        inputs=state.inputs,
        parent=state.parent,
        epoch=state.epoch + 1,
        gate=state.gate,
        started=at,
        seq=state.seq,
        outbox={k: e for k, e in state.outbox.items() if e.operation != "apply"},
    )


class Turn(Calling):
    """One command's work on a run."""

    # commands

    def start(self) -> None:
        """Begin, or wait for a place where only so many may go on at a time."""
        state = self.state
        told: dict[str, Any] = {
            "playbook": state.playbook,
            "version": state.version,
            "hash": state.hash,
            "alert": state.alert_id,
            "mode": self._mode.value,
        }
        told |= {"epoch": state.epoch} if state.epoch else {}
        told |= {"parent": state.parent.run_id} if state.parent else {}
        self.emit("started", "", told)
        self.arm("deadline", self.at + self._playbook.document.limits.deadline)
        limit = self._playbook.document.trigger.concurrency
        if limit is None or state.gate:
            self._begin()
            return
        key = self._concurrency_key()
        gate = digest("gate", self._playbook.id, key)
        self.set(phase=Phase.QUEUED, gate=gate)
        self.emit("queued", "", {"key": key, "max": limit.max})
        wanted = Acquire(
            run_id=gate, holder=state.run_id, max=limit.max, overflow=limit.overflow, at=self.at
        )
        self.tell(wanted)

    def _concurrency_key(self) -> str:
        """Runs whose key has no value share one, so that the limit holds all the same."""
        expression = self._playbook.concurrency
        try:
            return "" if expression is None else str(expression.evaluate(self._bindings()))
        except ExpressionError:
            return ""

    def _begin(self) -> None:
        """Variables once, then steps until one waits."""
        try:
            seen = self._bindings()
            values = {name: e.evaluate(seen) for name, e in self._playbook.vars.items()}
        except ExpressionError as error:
            reason = f"a variable has no value: {error}"
            self._blame(error, reason)
            self._end_main(Outcome.FAILED, reason)
        else:
            self.set(vars=values)
        self._advance()

    def admission(self, command: Admission) -> bool:
        """Take a gate's answer: the run's turn has come, or there is no place for it."""
        if self.state.phase is not Phase.QUEUED or command.gate != self.state.gate:
            return False
        if not command.admitted:
            self.emit("dropped", "", {"reason": command.reason})
            self.set(gate="")
            self.finish(Outcome.STOPPED, command.reason)
            return True
        self.set(phase=Phase.MAIN)
        self.arm("deadline", self.at + self._playbook.document.limits.deadline)
        self._begin()
        return True

    def attach_or_restart(self, command: Start) -> bool:
        """Take a newer revision; another alert, where the playbook says so, starts it again."""
        alert_id, revision = revision_of(command.alert)
        state = self.state
        new = alert_id not in state.attached and state.epoch < MAX_EPOCHS
        if not (self._playbook.restarts and new and state.outcome is not Outcome.CANCELLED):
            return self._later(command) if state.restart is not None else self.attach(command)
        self.set(attached={**state.attached, alert_id: revision})
        if state.phase is Phase.QUEUED:
            self.set(alert=command.alert, alert_id=alert_id)
            self.emit("attached", "", {"alert": alert_id, "revision": revision})
            return True
        self.emit("restarted", "", {"alert": alert_id, "epoch": state.epoch + 1})
        self.set(restart=command)
        self._give_up(f"it starts again for alert {alert_id}")
        return True

    def _later(self, command: Start) -> bool:
        """What comes while an old epoch still ends: the newest alert is the next epoch's."""
        pending, (alert_id, revision) = self.state.restart, revision_of(command.alert)
        seen = self.state.attached.get(alert_id, -1)
        if pending is None or revision <= seen:
            return False
        self.set(attached={**self.state.attached, alert_id: revision}, restart=command)
        self.emit("attached", "", {"alert": alert_id, "revision": revision})
        return True

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
        return self._went_on(self.decide(decision))

    def child_ended(self, command: ChildEnded) -> bool:
        """Take the end of a sub-playbook and go on."""
        return self._went_on(self.ended(command))

    def asked(self, command: Ask) -> bool:
        """Ask the question that several runs have in common."""
        return self._went_on(self.ask_for_all(command))

    def settled(self, command: Settled) -> bool:
        """Take the answer to a question that another run has asked for this one too."""
        return self._went_on(self.settle(command))

    def _went_on(self, changed: bool) -> bool:
        if changed:
            self._advance()
        return changed

    def cancel(self, command: Cancel) -> bool:
        """Give up: release what the run holds, go to the always-steps."""
        if self.state.outcome is Outcome.CANCELLED and self.state.restart is None:
            return False
        self.emit("cancelled", "", {"by": command.by, "reason": command.reason})
        self.set(restart=None)
        self._give_up(f"cancelled by {command.by}: {command.reason}")
        return True

    def _give_up(self, reason: str) -> None:
        """Release what is held, go to the always-steps."""
        if self.state.phase is Phase.QUEUED:
            self.finish(Outcome.CANCELLED, reason)
            return
        self._release_all()
        if self.state.phase is Phase.MAIN:
            self._abandon_open(StepStatus.CANCELLED, reason)
            self._end_main(Outcome.CANCELLED, reason)
        else:
            self.set(outcome=Outcome.CANCELLED, reason=reason)
        self._advance()

    def _over(self) -> None:
        """The end of the run, or of an epoch after which it starts again."""
        state, output = self.state, dict[str, Any]()
        outcome, reason = state.outcome or Outcome.COMPLETED, state.reason
        if state.restart is not None:
            self.emit_finished(outcome, reason, {})
            self.state = next_epoch(self.state, state.restart, self.at)
            self.start()
            return
        if outcome is Outcome.COMPLETED and self._playbook.outputs:
            seen = self._bindings()
            try:
                found = {name: e.evaluate(seen) for name, e in self._playbook.outputs.items()}
                output = fitted(found, MAX_OUTPUT)
            except ExpressionError as error:
                outcome, reason = Outcome.FAILED, f"an output has no value: {error}"
                self._blame(error, reason)
        self.finish(outcome, reason, output)

    # going on

    def _advance(self) -> None:
        """Run steps in order until one must wait or the run is finished."""
        while self.state.phase in (Phase.MAIN, Phase.ALWAYS):
            main = self.state.phase is Phase.MAIN
            steps = self._playbook.main if main else self._playbook.always
            if self.state.cursor >= len(steps):
                if not main:
                    self._over()
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
            if (fault := self._fault(step, "invalid")) and not self.state.fault:
                self.set(fault=fault)
            if lacking := self._fault(step, NO_VALUE):
                self.set(lacking=lacking)
            if self.state.phase is Phase.MAIN:
                self._end_main(Outcome.FAILED, reason)
            elif self.state.outcome is Outcome.COMPLETED:
                self.set(outcome=Outcome.FAILED, reason=reason)

    def _blame(self, error: ExpressionError, reason: str) -> None:
        self.set(**{"lacking" if blamed(error) == NO_VALUE else "fault": reason})

    def _fault(self, step: Step, kind: str) -> str:
        """Why the playbook itself (or data, by `kind`), and no product, made a step fail, or ""."""
        parts = self._parts(step) if isinstance(step, ParallelStep | EachStep) else ()
        for path in (step.path, *parts):
            ended = self.state.step(path)
            failure = ended.failure
            if failure is not None and failure.kind == kind and not ended.effect_id:
                return f"{path}: {ended.reason}"
        return ""

    def _end_main(self, outcome: Outcome, reason: str) -> None:
        """Go to the always-steps; they too have a deadline, so that every run ends."""
        self.set(phase=Phase.ALWAYS, cursor=0, outcome=outcome, reason=reason)
        self.arm("deadline", self.at + self._playbook.document.limits.deadline)

    def _deadline(self, late: int) -> None:
        if self.state.phase is Phase.QUEUED:
            self.finish(Outcome.TIMED_OUT, "its turn did not come in time")
            return
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
            case RunStep():
                self._call(step)
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
