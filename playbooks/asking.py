"""Approvals within a run: asking, counting answers, escalating."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playbooks.approving import APPROVED, DENIED, ask, objection, plan, plan_hash
from playbooks.joining import Joining
from playbooks.program import ApprovalStep
from playbooks.run_state import StepStatus
from playbooks.text import TextError, render_text
from tocsin.errors import ExpressionError

if TYPE_CHECKING:
    from playbooks.run_state import ApprovalState
    from tocsin.contracts import Decision


class Asking(Joining):
    """One command's work on a run: questions to people."""

    def decide(self, decision: Decision) -> bool:
        """Take an answer to an approval; one that does not count is noted and changes nothing.

        If what would be done has changed since it was asked, the question is asked anew.
        """
        step = self._step_at(decision.step)
        approval = self.state.step(decision.step).approval
        if approval is None or not isinstance(step, ApprovalStep):
            return False
        changed = False
        if self.state.step(decision.step).status is not StepStatus.WAITING:
            wrong = "the question is not open any more"
        elif not (wrong := objection(approval, decision)):
            changed = self._plan_now(step) != approval.plan
            wrong = "the plan has changed since it was asked" if changed else ""
        if not self.note_answer(decision, wrong):
            return False
        if changed:
            self._ask_again(step)
        if not wrong:
            self._count(step, decision)
        return True

    def _ask(self, step: ApprovalStep) -> None:
        seen = self._bindings()
        try:
            approval = ask(self.state, self._playbook, step, seen, self.at)
            message = render_text(step.message, seen)
        except (ExpressionError, TextError) as error:
            self._fail(step.path, f"the question cannot be asked, so nothing is approved: {error}")
            return
        self.put(step.path, status=StepStatus.WAITING, started=self.at, approval=approval)
        self.arm(f"approval/{step.path}", approval.expires)
        self._requested(step, approval, message)

    def _ask_again(self, step: ApprovalStep) -> None:
        """Ask about the plan as it is now; earlier answers were to another one."""
        before = self.state.step(step.path).approval
        if before is None:
            return
        now = ask(self.state, self._playbook, step, self._bindings(), self.at)
        approval = before.model_copy(
            update={"plan": now.plan, "actions": now.actions, "approved": ()}
        )
        self.put(step.path, approval=approval)
        self._requested(step, approval, "the plan has changed; earlier answers do not count")

    def _requested(self, step: ApprovalStep, approval: ApprovalState, message: str) -> None:
        self.emit(
            "approval_requested",
            step.path,
            {
                "message": message,
                "plan": approval.plan,
                "actions": [each.model_dump(mode="json") for each in approval.actions],
                "group": approval.group,
                "quorum": approval.quorum,
                "excluded": list(approval.excluded),
                "channels": list(step.spec.channels),
                "due": approval.expires,
            },
        )

    def _plan_now(self, step: ApprovalStep) -> str:
        return plan_hash(self.state, plan(self.state, self._playbook, step, self._bindings()))

    def _count(self, step: ApprovalStep, decision: Decision) -> None:
        """An answer that counts: one no is a no, a yes needs the quorum."""
        approval = self.state.step(step.path).approval
        if approval is None:
            return
        if not decision.approve:
            self._decided(step.path, DENIED, (decision.by,), f"denied by {decision.by}")
            return
        approved = (*approval.approved, decision.by)
        self.put(step.path, approval=approval.model_copy(update={"approved": approved}))
        if len(approved) >= approval.quorum:
            self._decided(step.path, APPROVED, approved, "")

    def _decided(self, path: str, word: str, by: tuple[str, ...], reason: str) -> None:
        approval = self.state.step(path).approval
        if approval is not None:
            approval = approval.model_copy(update={"decision": word})
        output = {"decision": word, "by": list(by)}
        self._end_step(path, StepStatus.OK, output=output, reason=reason, approval=approval)
        self.emit("decided", path, {"decision": word, "by": ", ".join(by), "reason": reason})

    def _unanswered(self, path: str, late: int) -> None:
        """The time for answers is up: escalate once, else do what the playbook says."""
        step, approval = self._step_at(path), self.state.step(path).approval
        if not isinstance(step, ApprovalStep) or approval is None:
            return
        spec = step.spec
        if spec.escalate is not None and not approval.escalated:
            expires = self.at + spec.escalate.timeout
            changes = {"group": spec.escalate.group, "expires": expires, "escalated": True}
            self.put(path, approval=approval.model_copy(update=changes))
            self.arm(f"approval/{path}", expires)
            self.emit(
                "approval_requested",
                path,
                {
                    "group": spec.escalate.group, "plan": approval.plan, "due": expires,
                    "escalated": True, "late_by": late,
                },
            )  # fmt: skip
            return
        word = APPROVED if spec.on_timeout == "approve" else DENIED
        self._decided(path, word, (), "nobody answered in time")
