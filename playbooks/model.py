"""The playbook language as a schema: what a playbook file may say, and its canonical form."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from playbooks.model_guards import Approvers as Approvers
from playbooks.model_guards import Guard as Guard
from playbooks.model_guards import Hold as Hold
from playbooks.model_guards import Quiet as Quiet
from playbooks.model_guards import Rate as Rate
from playbooks.model_guards import Share as Share
from playbooks.model_types import (
    MAX_DEADLINE,
    TRANSIENT,
    FailureKind,
    Model,
    Name,
    OnError,
    PlaybookId,
    Verb,
)
from playbooks.model_types import Duration as Duration
from playbooks.model_types import Expression as Expression
from playbooks.source import CEL
from tocsin.ids import canonical_json, content_hash

#: Where people are told of a question: what kind of connector, and its name for the channel.
Channel = Annotated[str, Field(pattern=r"^(slack|teams|email|webhook):\S[^\r\n]*$", max_length=200)]


class Metadata(Model):
    """Who the playbook is: its id is unique, its version grows with each change."""

    id: PlaybookId
    version: Annotated[int, Field(ge=1)] = 1
    title: str = ""
    description: str = ""
    owner: str = ""
    attack: tuple[Annotated[str, Field(pattern=r"^T\d{4}(\.\d{3})?$")], ...] = ()
    references: tuple[str, ...] = ()


class Dedup(Model):
    """One run per key and aligned window.

    The next alert is attached to it, or dropped, or the run is called off and starts again.
    """

    key: Expression
    window: Duration
    on_duplicate: Literal["attach", "drop", "restart"] = "attach"


class Concurrency(Model):
    """At most `max` runs of this playbook with the same key go on at a time."""

    key: Expression
    max: Annotated[int, Field(ge=1, le=1000)] = 1
    overflow: Literal["queue", "drop"] = "queue"


class Trigger(Model):
    """Which alerts start a run; without `dedup` each alert starts its own."""

    when: Expression
    dedup: Dedup | None = None
    concurrency: Concurrency | None = None


class Input(Model):
    """A value that whoever runs this playbook as a part gives; without `default` it must."""

    default: Any = None
    required: bool = False
    description: str = ""

    @model_validator(mode="after")
    def _either(self) -> Input:
        if self.required and self.default is not None:
            raise PydanticCustomError("input", "what has a default is not required")
        return self


class Limits(Model):
    """What bounds a run: its time, its steps (branches count) and the branches at once."""

    deadline: Annotated[Duration, Field(le=MAX_DEADLINE)] = 15 * 60_000
    max_steps: Annotated[int, Field(ge=1, le=1000)] = 200
    max_fanout: Annotated[int, Field(ge=1, le=1000)] = 50


class Retry(Model):
    """Up to `max` further attempts after a failure of a kind in `on`."""

    max: Annotated[int, Field(ge=0, le=20)] = 3
    backoff: Literal["exponential", "constant"] = "exponential"
    initial: Duration = 1_000
    cap: Duration = 60_000
    jitter: bool = True
    on: tuple[FailureKind, ...] = TRANSIENT


class Join(Model):
    """When a `parallel` is done: all branches, any, or `min_success` of them; at the latest."""

    all: Literal[True] | None = None
    any: Literal[True] | None = None
    min_success: Annotated[int, Field(ge=1)] | None = None
    timeout: Duration | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """`join: any` is short for `join: {any: true}`."""
        return {value: True} if value in ("all", "any") else value

    @model_validator(mode="after")
    def _one(self) -> Join:
        given = [name for name in ("all", "any", "min_success") if getattr(self, name)]
        if len(given) > 1:
            raise PydanticCustomError("join", "write one of all, any and min_success")
        return self


class Step(Model):
    """What all kinds of steps share."""

    id: Name
    condition: Annotated[Expression | None, Field(alias="if")] = None


class Verify(Model):
    """A look-up after the action, repeated until it shows that the action has worked."""

    action: Verb
    inputs: Annotated[dict[str, Any], Field(alias="with")] = Field(default={})
    until: Expression
    within: Annotated[Duration, Field(le=MAX_DEADLINE)]
    every: Duration = 5_000


class Act(Step):
    """An action: a verb with inputs, and what protects the world from it."""

    action: Verb
    inputs: Annotated[dict[str, Any], Field(alias="with")] = Field(default={})
    hold: Hold | None = None
    guard: Guard = Guard()
    retry: Retry | None = None
    timeout: Annotated[Duration, Field(le=10 * 60_000)] = 30_000
    optional: Annotated[
        bool,
        Field(description="Skip the step (recorded) where no connector serves the verb."),
    ] = False
    verify: Verify | None = None


class ActionStep(Act):
    """An action in the sequence of steps."""

    on_error: OnError = "stop"
    always: bool = False


class LetStep(Step):
    """Values for later steps; they do not see each other."""

    let: Annotated[dict[Name, Expression], Field(min_length=1)]
    on_error: OnError = "stop"
    always: bool = False


class Parallel(Model):
    """Actions that run at the same time; they do not see each other."""

    join: Join = Join()
    branches: Annotated[tuple[Act, ...], Field(min_length=1)]


class ParallelStep(Step):
    """Actions at the same time, in the sequence of steps."""

    parallel: Parallel
    on_error: OnError = "stop"
    always: bool = False


class Escalation(Model):
    """Whom to ask instead when nobody answered, and for how long."""

    group: Annotated[str, Field(min_length=1, max_length=100)]
    timeout: Annotated[Duration, Field(le=MAX_DEADLINE)]


class Approval(Model):
    """A question to people; what they approve is the exact plan of the steps that follow."""

    message: Annotated[str, Field(min_length=1, max_length=2000)]
    channels: tuple[Channel, ...] = ()
    approvers: Approvers
    timeout: Annotated[Duration, Field(le=MAX_DEADLINE)]
    on_timeout: Literal["deny", "approve", "escalate"] = "deny"
    escalate: Escalation | None = None
    together: Expression | None = None

    @model_validator(mode="after")
    def _escalation(self) -> Approval:
        if (self.on_timeout == "escalate") != (self.escalate is not None):
            raise PydanticCustomError(
                "approval", "'on_timeout: escalate' and 'escalate' belong together"
            )
        return self


class ApprovalStep(Step):
    """A question; later steps look at `steps.<id>.decision`: approved or denied."""

    approval: Approval


class WaitStep(Step):
    """A pause."""

    wait: Annotated[Duration, Field(le=MAX_DEADLINE)]


class Each(Model):
    """One action for each item of a list, all at the same time; `item` is the item."""

    items: Annotated[Expression, Field(alias="in")]
    do: Act
    join: Join = Join()


class EachStep(Step):
    """An action for each item of a list, in the sequence of steps."""

    for_each: Each
    on_error: OnError = "stop"
    always: bool = False


class StopStep(Step):
    """End the run here, for the reason given (text with {{ }}); always-steps still run."""

    stop: Annotated[str, Field(min_length=1, max_length=2000)]


class RunStep(Step):
    """Another playbook as a step: the run waits for its end; it is called off together with it."""

    run: PlaybookId
    inputs: Annotated[dict[Name, Any], Field(alias="with")] = Field(default={})
    on_error: OnError = "stop"
    always: bool = False


_KINDS = ("action", "let", "parallel", "for_each", "run", "approval", "wait", "stop")


def _kind(value: object) -> str | None:
    """The tag of a step's kind: in angle brackets, so that it is no key."""
    if isinstance(value, dict):
        present = [name for name in _KINDS if name in value]
        return f"<{present[0]}>" if len(present) == 1 else None
    match value:
        case ActionStep():
            return "<action>"
        case LetStep():
            return "<let>"
        case ParallelStep():
            return "<parallel>"
        case EachStep():
            return "<for_each>"
        case RunStep():
            return "<run>"
        case ApprovalStep():
            return "<approval>"
        case WaitStep():
            return "<wait>"
        case StopStep():
            return "<stop>"
        case _:
            return None


KnownStep = (
    ActionStep | LetStep | ParallelStep | EachStep | RunStep | ApprovalStep | WaitStep | StopStep
)
AnyStep = Annotated[
    Annotated[ActionStep, Tag("<action>")]
    | Annotated[LetStep, Tag("<let>")]
    | Annotated[ParallelStep, Tag("<parallel>")]
    | Annotated[EachStep, Tag("<for_each>")]
    | Annotated[RunStep, Tag("<run>")]
    | Annotated[ApprovalStep, Tag("<approval>")]
    | Annotated[WaitStep, Tag("<wait>")]
    | Annotated[StopStep, Tag("<stop>")],
    Discriminator(
        _kind,
        custom_error_type="step_kind",
        custom_error_message=f"a step has exactly one of {', '.join(_KINDS)}",
    ),
]


class PlaybookDocument(Model):
    """A playbook as written."""

    apiVersion: Literal["tocsin/v1"]
    kind: Literal["Playbook"]
    metadata: Metadata
    trigger: Trigger
    limits: Limits = Limits()
    inputs: dict[Name, Input] = Field(default={})
    vars: dict[Name, Expression] = Field(default={})
    outputs: dict[Name, Expression] = Field(default={})
    approvers: Approvers | None = None
    channels: tuple[Channel, ...] = ()
    steps: Annotated[tuple[AnyStep, ...], Field(min_length=1)]
    cacao: Annotated[
        dict[str, Any] | None,
        Field(description="The CACAO playbook that this one was imported from; means nothing."),
    ] = None

    def canonical(self) -> dict[str, Any]:
        """Plain JSON that means the same and validates again; defaults are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"cacao"})

    @property
    def sequence(self) -> tuple[KnownStep, ...]:
        """The steps as written."""
        return self.steps

    @property
    def asked(self) -> Approvers | None:
        """Who is asked where no step asks: the playbook's approvers, or its first question's."""
        if self.approvers is not None:
            return self.approvers
        asks = (step.approval for step in self.steps if isinstance(step, ApprovalStep))
        return next((approval.approvers for approval in asks), None)

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical form: layout, comments and spelled-out defaults do not count."""
        return content_hash(self.canonical())

    @classmethod
    def parse(cls, value: Any) -> PlaybookDocument:
        """Validate plain JSON (a file's or `canonical`'s); raises pydantic.ValidationError."""
        return cls.model_validate_json(canonical_json(value))


#: Models by the key (or step kind) they stand under: where to look for the nearest known key.
KEYS: dict[str, type[BaseModel]] = {
    "": PlaybookDocument, "metadata": Metadata, "trigger": Trigger, "dedup": Dedup,
    "concurrency": Concurrency, "limits": Limits, "inputs": Input, "hold": Hold, "guard": Guard,
    "rate": Rate, "max_percent": Share, "quiet_hours": Quiet, "retry": Retry, "join": Join,
    "parallel": Parallel, "branches": Act, "for_each": Each, "do": Act, "approval": Approval,
    "approvers": Approvers, "verify": Verify, "escalate": Escalation, "<action>": ActionStep,
    "<let>": LetStep, "<run>": RunStep,
    "<parallel>": ParallelStep, "<for_each>": EachStep, "<approval>": ApprovalStep,
    "<wait>": WaitStep, "<stop>": StopStep,
}  # fmt: skip


def known_keys(model: type[BaseModel]) -> list[str]:
    """The keys that a mapping of this model may have."""
    return [field.alias or name for name, field in model.model_fields.items()]


def is_expression(value: object) -> bool:
    """Whether an input's value is a `!cel` expression."""
    return isinstance(value, dict) and value.keys() == {CEL}
