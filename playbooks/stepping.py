"""How a single step of a run begins and ends, and what it asks of the world."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from playbooks.approving import APPROVED, asked_of, drifted
from playbooks.approving import planned_action as as_planned
from playbooks.bounds import MAX_OUTPUT, fitted
from playbooks.effects import Prepared, Unable, make_effect, prepare, release_effect, retry_delay
from playbooks.journal import RESULTS, Journal, told
from playbooks.program import VERIFY, ActionStep, LetStep, Playbook, Step
from playbooks.program_parts import branches_of
from playbooks.run_state import OPEN, RunState, StepStatus, bindings
from playbooks.text import MissingText
from tocsin.contracts import Effect, EffectStatus, Failure, Mode, Result
from tocsin.errors import ExpressionError, NoValue

#: An answer may take this much longer than the call itself: queues, other effects on the target.
ANSWER_GRACE = 120_000

#: Kind of a failure for which the data lacks what an expression or text reads.
NO_VALUE = NoValue.code

#: What an event keeps of the values that made a condition false, bytes of JSON.
MAX_VALUES = 1024

#: Timers that belong to one step.
_STEP_TIMERS = ("step", "step-again", "retry", "join", "wait", "approval", "verify")

#: The event that goes with giving up on a step.
_EVENTS = {
    StepStatus.TIMED_OUT: "timed_out",
    StepStatus.CANCELLED: "cancelled",
}


class Stepping(Journal):
    """One command's work on a run: how a single step begins and ends."""

    def __init__(self, state: RunState, playbook: Playbook, mode: Mode, at: int) -> None:
        super().__init__(state, at)
        self._playbook = playbook
        self._mode = mode
        self.effects: list[Effect] = []
        self._branches = {step.path: branches_of(step) for step in playbook.steps}

    def _bindings(self) -> dict[str, Any]:
        return bindings(self.state, self._branches)

    def _step_at(self, path: str) -> Step | None:
        return next((step for step in self._playbook.steps if step.path == path), None)

    def _holds(self, step: Step, item: dict[str, Any] | None = None) -> bool:
        """Whether the step's `if` is true; if not, the step has ended. An error is no true."""
        path, condition = step.path, step.condition
        if isinstance(step, ActionStep):
            self.put(path, verb=step.spec.action)
        if condition is None:
            return True
        seen = self._bindings() | (item or {})
        try:
            if condition.test(seen):
                return True
        except ExpressionError as error:
            reason = f"the condition cannot be evaluated, so nothing is done: {error}"
            self._fail(path, reason, blamed(error))
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
            self._fail(step.path, str(error), blamed(error))
            return
        self._end_step(step.path, StepStatus.OK, output=values)
        self.emit("let", step.path, {"values": fitted(values, MAX_OUTPUT)})

    # actions

    def _request(self, step: ActionStep, item: dict[str, Any] | None = None) -> None:
        if step.action is None and step.spec.optional:
            reason = f"no connector serves {step.spec.action}"
            self._end_step(step.path, StepStatus.SKIPPED, reason=reason)
            self.emit("skipped", step.path, {"reason": reason, "verb": step.spec.action})
            return
        seen = self._bindings() | (item or {})
        try:
            prepared = prepare(step, seen, self.state.run_id)
            held = step.spec.hold is not None and step.spec.hold.on_expiry == "approval"
            ask = asked_of(self.state, self._playbook, seen) if held else None
        except (Unable, ExpressionError) as error:
            kind = error.kind if isinstance(error, Unable) else blamed(error)
            self._fail(step.path, str(error), kind)
            return
        if wrong := self._drift(step, prepared):
            self._end_step(step.path, StepStatus.REFUSED, reason=wrong, target=prepared.target)
            self.emit("refused", step.path, {"reason": wrong, "target": prepared.target})
            return
        effect = make_effect(self.state, step, prepared, self._mode, self.at, ask)
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
        if self.state.step(effect.step).effect_id == effect.id:
            self.arm(f"step/{effect.step}", self.at + self._patience(effect.step))
        self.effects.append(self.state.completed(effect))

    def _patience(self, path: str) -> int:
        return self._playbook.action_at(path).spec.timeout + ANSWER_GRACE

    def _take(self, step: ActionStep, result: Result) -> None:
        if step.path.endswith(VERIFY):
            self._looked(step, result)
            return
        status, kind = RESULTS[result.status]
        if status is StepStatus.FAILED and self._schedule_retry(step, result):
            return
        failure = result.failure
        reason = failure.message if failure else _refusal(result)
        verified = step.verification if status is StepStatus.OK else None
        ended = self._hold_open if verified is not None else self._end_step
        ended(
            step.path,
            status,
            output=fitted(result.output, MAX_OUTPUT),
            reason=reason,
            failure=failure,
            verdicts=result.verdicts,
            held_until=result.lease.expires if result.lease else None,
        )
        self.emit(kind, step.path, told(result))
        if verified is not None:
            self.arm(f"verify/{step.path}", self.at + verified.within)
            self._request(replace(verified.look, path=step.path + VERIFY), self._item(step.path))
            look = self.state.step(step.path + VERIFY)
            if look.status is StepStatus.SKIPPED:
                self._verified(step.path, "")  # nobody serves the look-up, and that is allowed
            elif look.status not in OPEN:
                self._verified(step.path, f"it was done, and cannot be verified: {look.reason}")

    # verification

    def _hold_open(self, path: str, status: StepStatus, **changes: Any) -> None:
        """The action is done; the step is over when a look-up has shown it."""
        self.unsend(self.state.step(path).effect_id)
        self.disarm(*_timers(path))
        self.put(path, status=StepStatus.RUNNING, **changes)

    def _looked(self, step: ActionStep, result: Result) -> None:
        """A look-up came back: it shows that the action has worked, or it is repeated."""
        parent = step.path.removesuffix(VERIFY)
        verification = self._playbook.action_at(parent).verification
        if verification is None or self.state.step(parent).status is not StepStatus.RUNNING:
            return
        problem = result.failure.message if result.failure else "not yet as it should be"
        if result.status is EffectStatus.OK:
            seen = self._bindings() | self._item(parent) | {"result": result.output}
            try:
                if verification.until.test(seen):
                    self._end_step(step.path, StepStatus.OK, output=result.output)
                    self._verified(parent, "")
                    return
            except ExpressionError as error:
                problem = str(error)
        self.disarm(*_timers(step.path))
        failure = Failure(kind="invalid", message=problem)
        self.put(step.path, status=StepStatus.WAITING, failure=failure)
        self.arm(f"retry/{step.path}", self.at + verification.every)

    def _verified(self, path: str, problem: str) -> None:
        """End a step whose action was done, well or with what stands against it."""
        if problem:
            failure = Failure(kind="internal", message=problem)
            self._end_step(path, StepStatus.FAILED, reason=problem, failure=failure)
            self.emit("failed", path, {"reason": problem})
        else:
            self._end_step(path, StepStatus.OK)
            self.emit("verified", path, {})

    def _unverified(self, path: str) -> None:
        """The time to verify is up."""
        look = self.state.step(path + VERIFY)
        last = look.failure.message if look.failure else "nobody answered"
        if look.status in OPEN:
            self._abandon(path + VERIFY, StepStatus.TIMED_OUT, "the time to verify is up")
        self._verified(path, f"it was done, and could not be verified in time: {last}")

    def _item(self, path: str) -> dict[str, Any]:
        """The item of a step of a for_each, as its expressions see it."""
        parent, _, number = path.rpartition(".")
        items = self.state.step(parent).output.get("items") if number.isdigit() else None
        return {"item": items[int(number)]} if isinstance(items, list) else {}

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
        """Ask for the release of every containment that the run holds or may come to hold.

        A run that starts again keeps what never ends by itself: its next epoch wants it again.
        """
        for path, step in self.state.steps.items():
            spec = self._playbook.action_at(path).spec if step.effect_id else None
            never = step.status in (StepStatus.REFUSED, StepStatus.DRY_RUN)
            if spec is not None and spec.hold is not None and step.effect_id and not never:
                if self.state.restart is not None and spec.hold.on_expiry == "approval":
                    continue
                self._send(release_effect(self.state, path, spec.timeout, self._mode, self.at))

    def _drift(self, step: ActionStep, prepared: Prepared) -> str:
        """How a step differs from what was approved before it, "" if it does not."""
        approvals = [
            each.approval
            for each in self.state.steps.values()
            if each.approval is not None and each.approval.decision == APPROVED
        ]
        strict = step.spec.guard.drift is not None
        if not approvals and not strict:
            return ""
        planned = as_planned(step, prepared.target, prepared.inputs)
        return drifted(approvals, planned, strict=strict)

    # ends

    def _end_step(self, path: str, status: StepStatus, **changes: Any) -> None:
        """A step is over: nothing of it is sent or timed any more."""
        self.unsend(self.state.step(path).effect_id)
        self.disarm(*_timers(path))
        started = self.state.step(path).started or self.at
        self.put(path, status=status, started=started, ended=self.at, **changes)

    def _fail(self, path: str, reason: str, kind: str = "invalid") -> None:
        failure = Failure(kind=kind, message=reason)
        self._end_step(path, StepStatus.FAILED, reason=reason, failure=failure)
        self.emit("failed", path, {"reason": reason})

    def _abandon(self, path: str, status: StepStatus, reason: str, late: int = 0) -> None:
        """Stop waiting for a step; a result that comes all the same is recorded as late."""
        if self.state.step(path + VERIFY).status in OPEN:
            self._end_step(path + VERIFY, status, reason=reason)
        self._end_step(path, status, reason=reason)
        data: dict[str, Any] = {"reason": reason}
        self.emit(_EVENTS[status], path, data | ({"late_by": late} if late else {}))

    def _abandon_open(self, status: StepStatus, reason: str, late: int = 0) -> None:
        for path in [p for p, step in self.state.steps.items() if step.status in OPEN]:
            self._abandon(path, status, reason, late)


def blamed(error: Exception) -> str:
    """Kind of a failure: whether the playbook made it by itself, or the data that it reads."""
    return NO_VALUE if isinstance(error, NoValue | MissingText) else "invalid"


def _timers(path: str) -> tuple[str, ...]:
    return tuple(f"{name}/{path}" for name in _STEP_TIMERS)


def _looked_up(seen: dict[str, Any], path: str) -> Any:
    value: Any = seen
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def _refusal(result: Result) -> str:
    return "; ".join(f"{v.guard}: {v.reason}" for v in result.verdicts if not v.allowed)
