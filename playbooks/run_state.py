"""The state of a run: plain JSON, complete, enough to go on after any crash.

It carries its outbox (effects asked for and not answered) and its timers; nothing about a run is
anywhere else. Steps are addressed by path: a step's id, or "parallel.branch".
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

import orjson
from pydantic import BaseModel, ConfigDict

from playbooks.bounds import fitted
from tocsin.clock import iso
from tocsin.contracts import Effect, Failure, Parent, Start, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Most entries of the timeline kept for the report; all events are in the `runs` topic.
MAX_TIMELINE = 200
#: Most alerts remembered as attached to one run; further ones are counted as events only.
MAX_ATTACHED = 500
#: Bytes of JSON that a report gets about all steps together, and about the output of one.
MAX_CASE = 64 * 1024
MAX_CASE_OUTPUT = 4 * 1024


class StepStatus(StrEnum):
    """Where a step stands; `waiting` is for its next attempt, an answer, or its time."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    OK = "ok"
    FAILED = "failed"
    REFUSED = "refused"
    DRY_RUN = "dry_run"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


#: An answer or a timer is still to come.
OPEN = frozenset({StepStatus.RUNNING, StepStatus.WAITING})
#: These end the run unless the step says on_error: continue.
FAILURES = frozenset({StepStatus.FAILED, StepStatus.UNKNOWN, StepStatus.TIMED_OUT})
#: These count for a join's min_success.
SUCCESSES = frozenset({StepStatus.OK, StepStatus.DRY_RUN})


class Phase(StrEnum):
    """`always`: the steps that run at the end whatever happened; `queued`: not its turn yet."""

    QUEUED = "queued"
    MAIN = "main"
    ALWAYS = "always"
    FINISHED = "finished"


class Outcome(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


class Kept(BaseModel):
    """Base of what is kept: immutable, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def but(self, **changes: Any) -> Self:
        """A copy with changes that are valid: `model_copy` in a fifth of its time.

        A run changes a dozen times with each command.
        """
        made = object.__new__(type(self))
        write = object.__setattr__
        write(made, "__dict__", {**self.__dict__, **changes})
        write(made, "__pydantic_fields_set__", self.__pydantic_fields_set__ | changes.keys())
        write(made, "__pydantic_extra__", None)
        write(made, "__pydantic_private__", None)
        return made


class PlannedAction(Kept):
    """An action as people were asked to approve it; `known` if its inputs were.

    `inputs` are for reading: cut to size, secrets left out. What counts is their hash.
    """

    step: str
    verb: str
    target: str = ""
    inputs: dict[str, Any] = {}
    inputs_hash: str = ""
    hold: int = 0
    known: bool = False


class ApprovalState(Kept):
    """An open (or answered) question.

    `plan` is the hash of what is asked; `approved` who said yes; `answers` the ids of all answers
    that came, counted or not, so that none counts twice, `objected` how many did not count.
    `waives` are the guards that a yes overrules, where a guard asks and not a step; `question` is
    the id of a question that is asked for several runs at once, `own` this run's part of its plan.
    """

    plan: str
    actions: tuple[PlannedAction, ...] = ()
    group: str
    quorum: int = 1
    excluded: tuple[str, ...] = ()
    expires: int = 0
    approved: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    objected: int = 0
    escalated: bool = False
    decision: str = ""
    waives: tuple[str, ...] = ()
    question: str = ""
    own: str = ""


class StepState(Kept):
    """What became of a step.

    `output` is the action's answer, or the values of a `let`; `answered` the attempts whose
    results have come; `case` marks an effect that gets the run and the alert as inputs. `child` is
    the run of a sub-playbook, `outcome` how it ended; `joined` the common question a step waits at.
    """

    status: StepStatus = StepStatus.PENDING
    output: dict[str, Any] = {}
    reason: str = ""
    failure: Failure | None = None
    verdicts: tuple[Verdict, ...] = ()
    verb: str = ""
    target: str = ""
    effect_id: str = ""
    attempt: int = 0
    answered: tuple[int, ...] = ()
    case: bool = False
    approval: ApprovalState | None = None
    held_until: int | None = None
    child: str = ""
    outcome: str = ""
    joined: str = ""
    started: int = 0
    ended: int = 0


_PENDING = StepState()


class TimelineEntry(Kept):
    """One event, in short, for the report."""

    seq: int
    at: int
    kind: str
    step: str = ""
    data: dict[str, Any] = {}


class RunState(Kept):
    """A run.

    `source` is the canonical form of the playbook it pinned; `attached` the newest revision noted
    of each alert (`attaches` is False for a playbook that drops further alerts); `cursor` the
    index of the current step of the phase; `outbox` the effects without an answer, by id;
    `timers` what is due when (ms), by name; `seq` the number of the next event. `epoch` counts how
    often it was called off and started again, `restart` is the alert that wants it again; `gate`
    is where it has or awaits a place; `fault` says that the playbook itself made it fail, `lacking`
    that the data did which it reads.
    """

    run_id: str
    playbook: str
    version: int
    hash: str
    source: dict[str, Any] = {}
    alert: dict[str, Any] = {}
    alert_id: str = ""
    attached: dict[str, int] = {}
    attaches: bool = True
    inputs: dict[str, Any] = {}
    parent: Parent | None = None
    epoch: int = 0
    restart: Start | None = None
    gate: str = ""
    fault: str = ""
    lacking: str = ""
    started: int
    finished: int = 0
    vars: dict[str, Any] = {}
    phase: Phase = Phase.MAIN
    cursor: int = 0
    outcome: Outcome | None = None
    reason: str = ""
    steps: dict[str, StepState] = {}
    outbox: dict[str, Effect] = {}
    timers: dict[str, int] = {}
    seq: int = 0
    timeline: tuple[TimelineEntry, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, defaults left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The state of `to_json`."""
        return cls.model_validate_json(orjson.dumps(value))

    def step(self, path: str) -> StepState:
        """The state of a step; one that has not begun is pending."""
        return self.steps.get(path) or _PENDING

    def unanswered(self) -> Iterator[Effect]:
        """Effects that were sent and have no result, complete, to be sent (again)."""
        for effect in self.outbox.values():
            step = self.step(effect.step)
            asked = step.effect_id != effect.id or step.status is StepStatus.RUNNING
            if asked:
                yield self.completed(effect)

    def completed(self, effect: Effect) -> Effect:
        """The effect as it is sent: one on the case gets what a report needs."""
        if effect.operation != "apply" or not self.step(effect.step).case:
            return effect
        given = {"run": case_run(self), "alert": self.alert}
        wanted = {name: value for name, value in given.items() if name in effect.inputs}
        return effect.model_copy(update={"inputs": {**effect.inputs, **wanted}})


def case_run(state: RunState) -> dict[str, Any]:
    """What a report is told about the run: plain JSON of bounded size.

    `steps` in the order they began, without those that never did; times are ms since the epoch.
    """
    steps = [
        {
            "id": path,
            **step.model_dump(mode="json", exclude_defaults=True, exclude={"case", "output"}),
            "output": fitted(step.output, MAX_CASE_OUTPUT),
        }
        for path, step in sorted(state.steps.items(), key=lambda item: (item[1].started, item[0]))
    ]
    return {
        "id": state.run_id,
        "playbook": state.playbook,
        "version": state.version,
        "hash": state.hash,
        "started": state.started,
        "outcome": state.outcome or "",
        "reason": state.reason,
        **fitted(
            {
                "vars": state.vars,
                "steps": steps,
                "events": [entry.model_dump(mode="json") for entry in state.timeline],
            },
            MAX_CASE,
        ),
    }


def bindings(state: RunState, paths: Mapping[str, tuple[str, ...] | None]) -> dict[str, Any]:
    """What expressions see; `paths` has the branches' ids of each step, None for a for_each."""
    steps: dict[str, Any] = {}
    for name, branches in paths.items():
        step = state.step(name)
        steps[name] = view = _view(step)
        if branches is None:
            items = range(step.output.get("count", 0))
            view["results"] = [_view(state.step(f"{name}.{number}")) for number in items]
        else:
            view |= {branch: _view(state.step(f"{name}.{branch}")) for branch in branches}
    return {
        "alert": state.alert,
        "inputs": state.inputs,
        "vars": state.vars,
        "steps": steps,
        "run": {
            "id": state.run_id,
            "started": iso(state.started),
            "playbook": state.playbook,
            "version": state.version,
        },
    }


def _view(step: StepState) -> dict[str, Any]:
    view: dict[str, Any] = {"status": step.status.value, "reason": step.reason}
    if not step.effect_id and not step.child and step.output:
        return {**step.output, **view}  # a let: its values stand beside its status
    if step.child:
        return {**view, "output": step.output, "outcome": step.outcome, "run": step.child}
    view |= {"output": step.output, "attempts": step.attempt}
    if step.failure is not None:
        view["failure"] = step.failure.model_dump(mode="json", exclude_none=True)
    return view
