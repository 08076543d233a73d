"""A run's state being changed, and the events that say how."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from playbooks.bounds import MAX_OUTPUT, fitted
from playbooks.run_state import (
    MAX_ATTACHED,
    MAX_TIMELINE,
    Outcome,
    Phase,
    RunState,
    StepStatus,
    TimelineEntry,
)
from tocsin.contracts import EffectStatus, Ended, Leave, RunEvent
from tocsin.ids import digest

if TYPE_CHECKING:
    from tocsin.contracts import Command, Decision, Result, Start, Timer

#: What the timeline keeps of an event's data, and how much text of each.
_TIMELINE_KEYS = (
    "alert", "applied", "attempt", "by", "comment", "decision", "due", "effect", "failure", "if",
    "late", "late_by", "outcome", "plan", "reason", "revision", "target", "values", "verb",
    "verdicts",
)  # fmt: skip
_TIMELINE_BYTES = 512


#: Most answers of one approval that are recorded although they do not count. Those that count are
#: always taken: nobody can lock an approver out by answering first, wrongly and often.
MAX_OBJECTED = 50

#: What a result's status makes of its step, and the event that says so.
RESULTS: dict[EffectStatus, tuple[StepStatus, str]] = {
    EffectStatus.OK: (StepStatus.OK, "succeeded"),
    EffectStatus.DRY_RUN: (StepStatus.DRY_RUN, "dry_run"),
    EffectStatus.REFUSED: (StepStatus.REFUSED, "refused"),
    EffectStatus.UNKNOWN: (StepStatus.UNKNOWN, "unknown"),
    EffectStatus.FAILED: (StepStatus.FAILED, "failed"),
}


class Receipt(Enum):
    """What a result is to its run: what a step waits for, news all the same, or known."""

    AWAITED = "awaited"
    NOTED = "noted"
    KNOWN = "known"


@dataclass(slots=True)
class Journal:
    """A state being changed, and the events that say how."""

    state: RunState
    at: int
    events: list[RunEvent] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)

    def tell(self, command: Command) -> None:
        """Write a command to another run, a gate or a question."""
        self.commands.append(command)

    def set(self, **changes: Any) -> None:
        self.state = self.state.but(**changes)

    def emit(self, kind: str, step: str, data: dict[str, Any]) -> None:
        seq = self.state.seq
        event_id = digest("run-event", self.state.run_id, seq)
        self.events.append(
            RunEvent(
                id=event_id,
                run_id=self.state.run_id,
                seq=seq,
                at=self.at,
                kind=kind,
                step=step,
                data=data,
            )
        )
        timeline = self.state.timeline
        if len(timeline) < MAX_TIMELINE and self.state.phase is not Phase.FINISHED:
            kept = {key: data[key] for key in _TIMELINE_KEYS if key in data}
            entry = TimelineEntry(
                seq=seq, at=self.at, kind=kind, step=step, data=fitted(kept, _TIMELINE_BYTES)
            )
            timeline = (*timeline, entry)
        self.set(seq=seq + 1, timeline=timeline)

    def put(self, path: str, **changes: Any) -> None:
        step = self.state.step(path).but(**changes)
        self.set(steps={**self.state.steps, path: step})

    def arm(self, timer: str, due: int) -> None:
        self.set(timers={**self.state.timers, timer: due})

    def disarm(self, *timers: str) -> None:
        self.set(timers={k: due for k, due in self.state.timers.items() if k not in timers})

    def unsend(self, effect_id: str) -> None:
        self.set(outbox={k: e for k, e in self.state.outbox.items() if k != effect_id})

    def finish(self, outcome: Outcome, reason: str, output: dict[str, Any] | None = None) -> None:
        """Say how the run ended and keep only what late commands must find."""
        self.emit_finished(outcome, reason, output or {})
        state, at = self.state, self.at
        if state.gate:
            self.tell(Leave(run_id=state.gate, holder=state.run_id, at=at))
        if (parent := state.parent) is not None:
            self.tell(
                Ended(
                    run_id=parent.run_id, step=parent.step, child=state.run_id,
                    outcome=outcome.value, reason=reason, output=output or {}, at=at,
                )
            )  # fmt: skip
        slim = {path: step.but(output={}, verdicts=()) for path, step in state.steps.items()}
        releases = {k: e for k, e in state.outbox.items() if e.operation != "apply"}
        self.set(
            phase=Phase.FINISHED, outcome=outcome, reason=reason, finished=at, steps=slim,
            outbox=releases, timers={}, alert={}, source={},
            vars={}, inputs={}, gate="", restart=None, timeline=(),
        )  # fmt: skip

    def emit_finished(self, outcome: Outcome, reason: str, output: dict[str, Any]) -> None:
        """Say how a run, or one epoch of it, ended."""
        state = self.state
        data = {
            "outcome": outcome.value,
            "reason": reason,
            "duration": self.at - state.started,
            "steps": {path: step.status.value for path, step in state.steps.items()},
        }
        data |= {"output": output} if output else {}
        data |= {"epoch": state.epoch} if state.epoch else {}
        self.emit("finished", "", data)

    def is_due(self, command: Timer) -> bool:
        """Whether the timer is set as the command says, and its time has come."""
        return self.state.timers.get(command.timer) == command.due <= command.at

    def attach(self, command: Start) -> bool:
        """Take a newer revision, or note another alert of the same key; whether it is news.

        While it is open the run sees each revision of its own alert, but one is noted (an event)
        only when it has doubled: an attack that goes on for hours is a dozen notes.
        """
        state, (alert_id, revision) = self.state, revision_of(command.alert)
        noted = state.attached.get(alert_id)
        seen = -1 if noted is None else noted
        own = alert_id == state.alert_id and state.phase is not Phase.FINISHED
        if own:
            seen = max(seen, revision_of(state.alert)[1])
        if not state.attaches or revision <= seen:
            return False
        if noted is None and len(state.attached) >= MAX_ATTACHED:
            return False
        if own:
            self.set(alert=command.alert)
        if noted is not None and revision < 2 * noted:
            return own
        self.set(attached={**state.attached, alert_id: revision})
        self.emit("attached", "", {"alert": alert_id, "revision": revision})
        return True

    def note_answer(self, decision: Decision, objection: str) -> bool:
        """Note an answer, once; whether it is news. One with an objection does not count."""
        approval = self.state.step(decision.step).approval
        if approval is None or decision.id in approval.answers:
            return False
        if objection and approval.objected >= MAX_OBJECTED:
            return False
        changes = {
            "answers": (*approval.answers, decision.id),
            "objected": approval.objected + bool(objection),
        }
        self.put(decision.step, approval=approval.model_copy(update=changes))
        data: dict[str, Any] = {
            "answer": decision.id,
            "by": decision.by,
            "decision": "approved" if decision.approve else "denied",
            "applied": not objection,
        }
        data |= {"reason": objection} if objection else {}
        data |= {"comment": decision.comment[:500]} if decision.comment else {}
        self.emit("answered", decision.step, data)
        return True

    def receive(self, result: Result) -> Receipt:
        """Note that a result has come; one that no step waits for any more is an event, once."""
        sent = self.state.outbox.get(result.effect_id)
        own = self.state.step(result.step).effect_id == result.effect_id
        if sent is not None and sent.operation != "apply" and not own:
            self.unsend(result.effect_id)
            return Receipt.NOTED
        path, step = result.step, self.state.step(result.step)
        if result.effect_id != step.effect_id or result.attempt in step.answered:
            return Receipt.KNOWN
        self.put(path, answered=(*step.answered, result.attempt))
        if step.status is StepStatus.RUNNING and result.attempt == step.attempt:
            return Receipt.AWAITED
        _, kind = RESULTS[result.status]
        self.emit(kind, path, told(result) | {"late": True, "step_was": step.status.value})
        return Receipt.NOTED


def revision_of(alert: dict[str, Any]) -> tuple[str, int]:
    """Id and revision of an alert document; ("", 0) where it has none."""
    own = alert.get("tocsin", {}).get("alert", {}) if isinstance(alert.get("tocsin"), dict) else {}
    if not isinstance(own, dict):
        return "", 0
    revision = own.get("revision")
    return str(own.get("id", "")), revision if isinstance(revision, int) else 0


def told(result: Result) -> dict[str, Any]:
    """What an event says of a result."""
    told: dict[str, Any] = {"effect": result.effect_id, "attempt": result.attempt}
    if result.output:
        told["output"] = fitted(result.output, MAX_OUTPUT)
    if result.failure is not None:
        told["failure"] = result.failure.model_dump(mode="json", exclude_none=True)
    if result.verdicts:
        told["verdicts"] = [v.model_dump(mode="json") for v in result.verdicts]
    if result.lease is not None:
        told["lease"] = {"id": result.lease.id, "expires": result.lease.expires}
    if result.connector:
        told["connector"] = result.connector
    return told
