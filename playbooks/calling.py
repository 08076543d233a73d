"""Sub-playbooks within a run: calling one, waiting for its end, calling it off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playbooks.asking import Asking
from playbooks.bounds import MAX_OUTPUT, size
from playbooks.effects import evaluated
from playbooks.linking import MAX_DEPTH
from playbooks.run_state import OPEN, Outcome, StepStatus
from playbooks.stepping import blamed
from tocsin.contracts import Cancel, Failure, Parent, Start
from tocsin.errors import ExpressionError
from tocsin.ids import digest

if TYPE_CHECKING:
    from playbooks.program import RunStep
    from tocsin.contracts import Ended

#: Who calls a sub-playbook off, for its record.
BY_PARENT = "the run that called it"

#: What a sub-playbook's end makes of the step that waits for it.
_ENDS = {
    Outcome.COMPLETED.value: (StepStatus.OK, "succeeded"),
    Outcome.STOPPED.value: (StepStatus.OK, "succeeded"),
    Outcome.TIMED_OUT.value: (StepStatus.TIMED_OUT, "timed_out"),
}


class Calling(Asking):
    """One command's work on a run: sub-playbooks."""

    def _call(self, step: RunStep) -> None:
        """Start the sub-playbook that this run has pinned, with the inputs of now."""
        child = self._playbook.children.get(step.playbook)
        depth = 1 + (self.state.parent.depth if self.state.parent else 0)
        if child is None or depth >= MAX_DEPTH:
            why = f"is not there: {step.playbook}" if child is None else "would be too deep"
            self._fail(step.path, f"the playbook to run {why}")
            return
        try:
            inputs = evaluated(step.inputs, self._bindings())
        except ExpressionError as error:
            self._fail(step.path, f"an input cannot be evaluated: {error}", blamed(error))
            return
        if (length := size(inputs)) > MAX_OUTPUT:
            self._fail(step.path, f"the inputs have {length} bytes, at most {MAX_OUTPUT} are taken")
            return
        state = self.state
        run = digest("child", state.run_id, step.path, state.epoch)
        self.put(step.path, status=StepStatus.RUNNING, started=self.at, child=run)
        told = {"run": run, "playbook": child.id, "version": child.version, "hash": child.hash}
        self.emit("called", step.path, told)
        self.tell(
            Start(
                run_id=run,
                playbook=child.id,
                playbook_hash=child.hash,
                alert=state.alert,
                inputs=inputs,
                parent=Parent(run_id=state.run_id, step=step.path, depth=depth),
                source=child.source,
                at=self.at,
            )
        )

    def ended(self, command: Ended) -> bool:
        """Take the end of a sub-playbook that a step waits for; whether it meant anything."""
        path, step = command.step, self.state.step(command.step)
        if not step.child or step.child != command.child or step.status not in OPEN:
            return False
        status, kind = _ENDS.get(command.outcome, (StepStatus.FAILED, "failed"))
        reason = "" if status is StepStatus.OK else f"{command.outcome}: {command.reason}"
        failed = Failure(kind="internal", message=reason) if reason else None
        self._end_step(
            path,
            status,
            output=command.output,
            outcome=command.outcome,
            reason=reason or command.reason,
            failure=failed,
        )
        told: dict[str, Any] = {"run": command.child, "outcome": command.outcome}
        self.emit(kind, path, told | ({"reason": reason} if reason else {}))
        return True

    def _abandon(self, path: str, status: StepStatus, reason: str, late: int = 0) -> None:
        """Also calls off the sub-playbook that the step waits for."""
        child = self.state.step(path).child
        super()._abandon(path, status, reason, late)
        if child:
            self._call_off(child, reason)

    def _release_all(self) -> None:
        """Also lets sub-playbooks that have ended give up what they hold."""
        super()._release_all()
        for step in self.state.steps.values():
            if step.child and step.status not in OPEN:
                self._call_off(step.child, "what called it was called off")

    def _call_off(self, child: str, reason: str) -> None:
        self.tell(Cancel(run_id=child, by=BY_PARENT, reason=reason, at=self.at))
