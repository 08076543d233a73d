"""Approvals within a run: asking, counting answers, escalating."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playbooks.approving import APPROVED, DENIED, ask, objection, plan, plan_hash
from playbooks.overruling import Overruling
from playbooks.program import ApprovalStep
from playbooks.run_state import ApprovalState, StepStatus
from playbooks.stepping import blamed
from playbooks.text import TextError, render_text
from tocsin.contracts import Join, Leave, Settled
from tocsin.errors import ExpressionError
from tocsin.ids import digest

if TYPE_CHECKING:
    from typing import Any

    from tocsin.contracts import Ask, Decision

#: The note of a question that is asked again.
_CHANGED = "the plan has changed; earlier answers do not count"


class Asking(Overruling):
    """One command's work on a run: questions to people."""

    def decide(self, decision: Decision) -> bool:
        """Take an answer to an approval; one that does not count is noted and changes nothing.

        If what would be done has changed since it was asked, the question is asked anew.
        """
        step = self._step_at(decision.step)
        approval = self.state.step(decision.step).approval
        if approval is not None and approval.waives:
            return self._overrule(decision, approval)
        if approval is None or not isinstance(step, ApprovalStep):
            return False
        changed = False
        if self.state.step(decision.step).status is not StepStatus.WAITING:
            wrong = "the question is not open any more"
        elif not (wrong := objection(approval, decision)):
            changed = self._plan_now(step) != (approval.own or approval.plan)
            wrong = "the plan has changed since it was asked" if changed else ""
        noted = self.note_answer(decision, wrong)
        if changed:
            self._ask_again(step)
        elif noted and not wrong:
            self._count(step, decision)
        return noted or changed

    def _ask(self, step: ApprovalStep) -> None:
        seen = self._bindings()
        try:
            approval = ask(self.state, self._playbook, step, seen, self.at)
            message = render_text(step.message, seen)
            key = None if step.together is None else str(step.together.evaluate(seen))
        except (ExpressionError, TextError) as error:
            self._fail(
                step.path,
                f"the question cannot be asked, so nothing is approved: {error}",
                blamed(error),
            )
            return
        if key is not None:
            question = digest("question", self._playbook.id, step.path, key)
            self.emit("joined", step.path, {"question": question})
            self._join_question(step.path, question, approval)
            return
        self.put(step.path, status=StepStatus.WAITING, started=self.at, approval=approval)
        self._give_time(step.path, approval)
        self._requested(step, approval, message)

    def _give_time(self, path: str, approval: ApprovalState) -> None:
        """People have the time that the question gives them: it is not the run's own."""
        self.arm(f"approval/{path}", approval.expires)
        if (deadline := self.state.timers.get("deadline")) is not None:
            self.arm("deadline", deadline + max(0, approval.expires - self.at))

    def _take_time_back(self, path: str) -> None:
        """The question is over sooner: what it had left is not the run's."""
        expires = self.state.timers.get(f"approval/{path}")
        deadline = self.state.timers.get("deadline")
        if expires is not None and deadline is not None:
            self.arm("deadline", deadline - max(0, expires - self.at))

    # questions that several runs have in common

    def _join_question(self, path: str, question: str, approval: ApprovalState) -> None:
        """Wait until somebody asks for this run too: perhaps this run itself, at once."""
        self.put(path, status=StepStatus.WAITING, started=self.at, joined=question, approval=None)
        actions = tuple(each.model_dump(mode="json") for each in approval.actions)
        run = self.state.run_id
        self.tell(
            Join(
                run_id=question, member=run, step=path, plan=approval.plan, actions=actions,
                at=self.at,
            )
        )  # fmt: skip

    def ask_for_all(self, command: Ask) -> bool:
        """Ask for this run and all that wait with it; whether it meant anything."""
        path, step = command.step, self._step_at(command.step)
        waiting = self.state.step(path)
        if not isinstance(step, ApprovalStep) or not waiting.joined or waiting.approval:
            return False
        if waiting.status is not StepStatus.WAITING:  # too late: somebody else has to ask
            self.tell(Settled(run_id=waiting.joined, member=self.state.run_id, at=self.at))
            return True
        seen = self._bindings()
        try:
            own = ask(self.state, self._playbook, step, seen, self.at)
            message = render_text(step.message, seen)
        except (ExpressionError, TextError) as error:
            self._fail(
                path,
                f"the question cannot be asked, so nothing is approved: {error}",
                blamed(error),
            )
            self.tell(Settled(run_id=waiting.joined, member=self.state.run_id, at=self.at))
            return True
        if command.count == 1:
            approval = own.model_copy(update={"question": waiting.joined})
        else:
            changes = {"plan": command.plan, "own": own.plan, "question": waiting.joined}
            approval = own.model_copy(update=changes)
        self.put(path, approval=approval)
        self._give_time(path, approval)
        if command.count > 1:
            message = f"{message} (and the same for {command.count - 1} other runs)"
        told = [
            {**action, "run": member.run_id} for member in command.members
            for action in member.actions
        ]  # fmt: skip
        more = {"actions": told, "runs": command.count} if command.count > 1 else {}
        self._requested(step, approval, message, more)
        return True

    def settle(self, command: Settled) -> bool:
        """Take the answer that another run's question got, if it was about this run's plan."""
        path, step = command.step, self._step_at(command.step)
        waiting = self.state.step(path)
        if not isinstance(step, ApprovalStep) or waiting.status is not StepStatus.WAITING:
            return False
        if waiting.approval is not None or not waiting.joined:
            return False
        try:
            own = ask(self.state, self._playbook, step, self._bindings(), self.at)
        except ExpressionError as error:
            self._fail(
                path,
                f"the question cannot be asked, so nothing is approved: {error}",
                blamed(error),
            )
            return True
        if own.plan != command.plan:
            self._join_question(path, waiting.joined, own)  # people have seen another plan
            return True
        self.put(path, approval=own)
        self._decided(path, command.decision, command.by, command.reason)
        return True

    def _end_step(self, path: str, status: StepStatus, **changes: Any) -> None:
        """Also leaves a question that is not settled: others must not wait for this run."""
        step = self.state.step(path)
        super()._end_step(path, status, **changes)
        if not step.joined or step.status is not StepStatus.WAITING:
            return
        run, approval = self.state.run_id, self.state.step(path).approval
        if step.approval is None:
            self.tell(Leave(run_id=step.joined, holder=run, at=self.at))
        elif approval is not None and approval.question:
            by, reason = self.state.step(path).output.get("by", []), self.state.step(path).reason
            self.tell(
                Settled(
                    run_id=step.joined, member=run, decision=approval.decision, by=tuple(by),
                    plan=approval.plan, reason=reason, at=self.at,
                )
            )  # fmt: skip

    def _ask_again(self, step: ApprovalStep) -> None:
        """Ask about the plan as it is now; earlier answers were to another one."""
        before = self.state.step(step.path).approval
        if before is None:
            return
        now = ask(self.state, self._playbook, step, self._bindings(), self.at)
        if before.question:
            # What was asked for others with it is no longer so: it is asked for all anew.
            self.tell(Settled(run_id=before.question, member=self.state.run_id, at=self.at))
            self._take_time_back(step.path)
            self.disarm(f"approval/{step.path}")
            self._join_question(step.path, before.question, now)
            return
        approval = before.model_copy(
            update={"plan": now.plan, "actions": now.actions, "approved": ()}
        )
        self.put(step.path, approval=approval)
        self._requested(step, approval, _CHANGED)

    def _requested(
        self,
        step: ApprovalStep,
        approval: ApprovalState,
        message: str,
        more: dict[str, Any] | None = None,
    ) -> None:
        self.emit_question(step.path, approval, message, step.spec.channels, more)

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
        self._take_time_back(path)
        approval = self.state.step(path).approval
        if approval is not None:
            approval = approval.model_copy(update={"decision": word})
        output = {"decision": word, "by": list(by)}
        self._end_step(path, StepStatus.OK, output=output, reason=reason, approval=approval)
        self.emit("decided", path, {"decision": word, "by": ", ".join(by), "reason": reason})

    def _unanswered(self, path: str, late: int) -> None:
        """The time for answers is up: escalate once, else do what the playbook says."""
        step, approval = self._step_at(path), self.state.step(path).approval
        if approval is not None and approval.waives:
            self._overruled(path, approval, DENIED, (), "nobody answered in time")
            return
        if not isinstance(step, ApprovalStep) or approval is None:
            return
        spec = step.spec
        if spec.escalate is not None and not approval.escalated:
            expires = self.at + spec.escalate.timeout
            changes = {"group": spec.escalate.group, "expires": expires, "escalated": True}
            approval = approval.model_copy(update=changes)
            self.put(path, approval=approval)
            self._give_time(path, approval)
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
