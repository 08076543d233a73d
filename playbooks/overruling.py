"""Guards that ask: a refusal that people may overrule, for this very effect and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playbooks.approving import APPROVED, DENIED, asked_of, objection, planned_action
from playbooks.joining import Joining
from playbooks.run_state import ApprovalState, StepStatus
from tocsin.contracts import EffectStatus, Mode
from tocsin.errors import ExpressionError
from tocsin.ids import content_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playbooks.program import ActionStep
    from tocsin.contracts import Decision, Effect, Result

#: How long people have to overrule a guard, ms; the run's deadline ends it sooner.
ANSWER_TIME = 30 * 60_000


class Overruling(Joining):
    """One command's work on a run: guards that ask."""

    def _take(self, step: ActionStep, result: Result) -> None:
        guards = _overrulable(result)
        effect = self.state.outbox.get(result.effect_id)
        if not guards or effect is None or self._mode is not Mode.ENFORCE:
            super()._take(step, result)
            return
        try:
            asked = asked_of(self.state, self._playbook, self._bindings())
        except ExpressionError:
            asked = None  # nobody can be asked, so the refusal stands
        if asked is None:
            super()._take(step, result)
            return
        waives = tuple(dict.fromkeys([*effect.guard.waived, *guards]))
        due = self.at + ANSWER_TIME
        due = min(due, max(self.at + 1, self.state.timers.get("deadline", due) - 1))
        action = planned_action(step, effect.target, effect.inputs)
        approval = ApprovalState(
            plan=_plan(effect, action.inputs_hash, waives),
            actions=(action,),
            group=asked.group,
            quorum=asked.quorum,
            excluded=asked.excluded,
            expires=due,
            waives=waives,
        )
        self.disarm(f"step/{step.path}", f"step-again/{step.path}")
        self.put(step.path, status=StepStatus.WAITING, approval=approval, verdicts=result.verdicts)
        self.arm(f"approval/{step.path}", due)
        why = "; ".join(v.reason for v in result.verdicts if not v.allowed)
        message = f"A guard refuses {effect.verb} on {effect.target}: {why}. Do it all the same?"
        self.emit_question(step.path, approval, message, asked.channels, {"waives": list(waives)})

    def emit_question(
        self,
        path: str,
        approval: ApprovalState,
        message: str,
        channels: Sequence[str],
        more: dict[str, Any] | None = None,
    ) -> None:
        """The event that tells of a question: what exactly is asked, of whom, until when."""
        data: dict[str, Any] = {
            "message": message,
            "plan": approval.plan,
            "actions": [each.model_dump(mode="json") for each in approval.actions],
            "group": approval.group,
            "quorum": approval.quorum,
            "excluded": list(approval.excluded),
            "channels": list(channels),
            "due": approval.expires,
        }
        self.emit("approval_requested", path, data | (more or {}))

    def _overrule(self, decision: Decision, approval: ApprovalState) -> bool:
        """Take an answer to the question of a guard; whether it is news."""
        path = decision.step
        if self.state.step(path).status is not StepStatus.WAITING or approval.decision:
            wrong = "the question is not open any more"
        else:
            wrong = objection(approval, decision)
        if not self.note_answer(decision, wrong):
            return False
        noted = self.state.step(path).approval
        if wrong or noted is None:
            return True
        if not decision.approve:
            self._overruled(path, noted, DENIED, (decision.by,), f"denied by {decision.by}")
            return True
        approved = (*noted.approved, decision.by)
        noted = noted.model_copy(update={"approved": approved})
        self.put(path, approval=noted)
        if len(approved) >= noted.quorum:
            self._overruled(path, noted, APPROVED, approved, "")
        return True

    def _overruled(
        self, path: str, approval: ApprovalState, word: str, by: tuple[str, ...], reason: str
    ) -> None:
        """The question of a guard is settled: once more, without it, or refused."""
        self.disarm(f"approval/{path}")
        self.put(path, approval=approval.model_copy(update={"decision": word}))
        self.emit("decided", path, {"decision": word, "by": ", ".join(by), "reason": reason})
        step = self.state.step(path)
        effect = self.state.outbox[step.effect_id]
        if word != APPROVED:
            why = "; ".join(v.reason for v in step.verdicts if not v.allowed)
            self._end_step(path, StepStatus.REFUSED, reason=f"{why}; {reason}")
            self.emit("refused", path, {"reason": f"{why}; {reason}", "target": effect.target})
            return
        attempt = step.attempt + 1
        self.put(path, status=StepStatus.RUNNING, attempt=attempt)
        self.emit("attempted", path, {"attempt": attempt, "by": ", ".join(by)})
        guard = effect.guard.model_copy(update={"waived": approval.waives})
        changes = {"attempt": attempt, "requested": self.at, "mode": self._mode, "guard": guard}
        self._send(effect.model_copy(update=changes))


def _overrulable(result: Result) -> tuple[str, ...]:
    """The guards that refused, if people may overrule each of them."""
    refusing = [verdict for verdict in result.verdicts if not verdict.allowed]
    if result.status is not EffectStatus.REFUSED or not all(each.asks for each in refusing):
        return ()
    return tuple(each.guard for each in refusing)


def _plan(effect: Effect, inputs_hash: str, waives: tuple[str, ...]) -> str:
    """SHA-256 of what is asked: this effect, with these inputs, past these guards."""
    return content_hash(
        {
            "effect": effect.id,
            "attempt": effect.attempt,
            "verb": effect.verb,
            "target": effect.target,
            "inputs": inputs_hash,
            "waives": list(waives),
        }
    )
