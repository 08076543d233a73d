"""A playbook ready to run: expressions compiled, verbs resolved (see building.py)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from playbooks import model
from responders.base import Action, EntityKind, Idempotence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2 import Template

    from tocsin.expressions import Expression

#: What expressions of a run may name.
RUN_NAMES = ("alert", "inputs", "vars", "steps", "run")
#: The look-up that verifies a step has the step's path and this.
VERIFY = ".verify"
#: What `until` may name besides.
RESULT_NAMES = (*RUN_NAMES, "result")
#: What expressions of a `for_each` may name besides.
ITEM_NAMES = (*RUN_NAMES, "item")
RUN_FIELDS = ("id", "started", "playbook", "version")
#: What `steps.<id>` of an action holds; a `parallel` has its branches and these without `output`.
ACTION_FIELDS = ("status", "output", "reason", "attempts", "failure")
STEP_FIELDS = ("status", "reason")
APPROVAL_FIELDS = (*STEP_FIELDS, "decision", "by")
EACH_FIELDS = (*STEP_FIELDS, "count", "succeeded", "failed", "results")
RUN_STEP_FIELDS = (*STEP_FIELDS, "output", "outcome", "run")
#: Inputs that the engine itself fills in for actions on the case (reports).
CASE_INPUTS = ("run", "alert")


@dataclass(frozen=True, slots=True)
class Verification:
    """A look-up that is repeated each `every` ms until `until` is true of its `result`."""

    look: ActionStep
    until: Expression
    within: int
    every: int


@dataclass(frozen=True, slots=True)
class AnyStep:
    """What every step has; `path` is its id, for a branch of a parallel "parallel.branch"."""

    path: str
    condition: Expression | None
    on_error: str = field(default="stop", kw_only=True)
    always: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class JoinedStep(AnyStep):
    """Actions at the same time, and how many of them must succeed."""

    join: model.Join

    @property
    def needed(self) -> int | None:
        """How many must succeed; None if none may fail."""
        return 1 if self.join.any else self.join.min_success


@dataclass(frozen=True, slots=True)
class ActionStep(AnyStep):
    """An action ready to run; `action` is None where no connector serves the verb.

    `inputs` is a JSON tree whose leaves may be Expressions.
    """

    spec: model.Act
    inputs: Mapping[str, Any]
    action: Action | None
    verification: Verification | None = None

    @property
    def retry(self) -> model.Retry:
        """The step's retry, or the default; only what cannot double where nothing protects it."""
        if self.spec.retry is not None:
            return self.spec.retry
        if self.action is not None and self.action.idempotence is Idempotence.NONE:
            return model.Retry(on=("rate_limited",))
        return model.Retry()


@dataclass(frozen=True, slots=True)
class LetStep(AnyStep):
    """Values for later steps."""

    values: Mapping[str, Expression]


@dataclass(frozen=True, slots=True)
class ParallelStep(JoinedStep):
    """Actions at the same time."""

    branches: tuple[ActionStep, ...]


@dataclass(frozen=True, slots=True)
class EachStep(JoinedStep):
    """An action for each item of a list; `do.path` is the step's id, items add their number."""

    items: Expression
    do: ActionStep


@dataclass(frozen=True, slots=True)
class ApprovalStep(AnyStep):
    """A question to people."""

    spec: model.Approval
    message: Template
    exclude: tuple[Expression, ...]
    together: Expression | None = None


@dataclass(frozen=True, slots=True)
class RunStep(AnyStep):
    """Another playbook; `inputs` is a JSON tree whose leaves may be Expressions."""

    playbook: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WaitStep(AnyStep):
    """A pause of `duration` ms."""

    duration: int


@dataclass(frozen=True, slots=True)
class StopStep(AnyStep):
    """The end of the run, on purpose."""

    reason: Template


Step = ActionStep | LetStep | ParallelStep | EachStep | RunStep | ApprovalStep | WaitStep | StopStep


@dataclass(frozen=True, slots=True)
class Playbook:
    """A playbook ready to run; `source` is its canonical form, `origin` its file.

    `children` are the sub-playbooks it runs, by id: pinned with it, so part of `source` and `hash`.
    `exclude` names who is never asked about its actions, where no step of it asks.
    """

    document: model.PlaybookDocument
    source: dict[str, Any]
    hash: str
    when: Expression
    key: Expression | None
    vars: Mapping[str, Expression]
    steps: tuple[Step, ...]
    origin: str = ""
    by_path: Mapping[str, ActionStep] = field(default_factory=dict)
    concurrency: Expression | None = None
    outputs: Mapping[str, Expression] = field(default_factory=dict)
    exclude: tuple[Expression, ...] = ()
    children: Mapping[str, Playbook] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.document.metadata.id

    @property
    def version(self) -> int:
        return self.document.metadata.version

    @property
    def attaches(self) -> bool:
        """Whether a run notes further alerts; otherwise they are dropped."""
        dedup = self.document.trigger.dedup
        return dedup is None or dedup.on_duplicate != "drop"

    @property
    def restarts(self) -> bool:
        """Whether another alert calls a run off and starts it again."""
        dedup = self.document.trigger.dedup
        return dedup is not None and dedup.on_duplicate == "restart"

    def action_at(self, path: str) -> ActionStep:
        """The action of a path: a step, a branch, or an item ("each.3") of a for_each."""
        found = self.by_path.get(path)
        if found is not None:
            return found
        if path.endswith(VERIFY):
            verification = self.action_at(path.removesuffix(VERIFY)).verification
            if verification is None:
                raise KeyError(path)
            return replace(verification.look, path=path)
        parent, _, number = path.rpartition(".")
        if parent not in self.by_path or not number.isdigit():
            raise KeyError(path)
        return replace(self.by_path[parent], path=path)

    @property
    def main(self) -> tuple[Step, ...]:
        """The steps in order, without those that run at the end whatever happens."""
        return tuple(step for step in self.steps if not step.always)

    @property
    def always(self) -> tuple[Step, ...]:
        """The steps that run at the end whatever happens."""
        return tuple(step for step in self.steps if step.always)


def supplied_inputs(action: Action) -> Iterator[str]:
    """Inputs that the engine supplies: for actions on the case, the case, run and alert."""
    if action.entity is EntityKind.CASE:
        for name in (action.target, *CASE_INPUTS):
            if name in action.inputs.model_fields:
                yield name
