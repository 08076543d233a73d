"""The playbook language as a schema: what a playbook file may say, and its canonical form.

Durations are written with a unit (`90s`, `15m`); a bare number is refused. Expressions are CEL
text. Words of the language that the engine does not do yet are known here and refused by name, so
that a playbook never means less than it says.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from playbooks.source import CEL
from tocsin.config import parse_duration
from tocsin.expressions import MAX_EXPRESSION
from tocsin.ids import canonical_json, content_hash

#: Longest run: a longer one is a case for a person.
MAX_DEADLINE = 7 * 86_400_000
#: Longest hold of a containment.
MAX_HOLD = 365 * 86_400_000


def _duration(value: object) -> object:
    if not isinstance(value, str):
        raise PydanticCustomError("duration", "write a duration with its unit, such as 30s or 4h")
    try:
        return parse_duration(value)
    except ValueError as error:
        raise PydanticCustomError("duration", "{why}", {"why": str(error)}) from None


def _expression(value: object) -> object:
    """CEL text; a bare `true` or `5` is CEL too, and `!cel` says nothing new here."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case {"!cel": str() as text}:
            return text
        case _:
            return value


def _later(value: object) -> object:
    raise PydanticCustomError("later", "this part of the language is not supported yet")


def _later_word(*words: str) -> BeforeValidator:
    def check(value: object) -> object:
        if value in words:
            raise PydanticCustomError("later", "'{word}' is not supported yet", {"word": value})
        return value

    return BeforeValidator(check)


Duration = Annotated[
    int,
    BeforeValidator(_duration),
    Field(gt=0),
    PlainSerializer(lambda value: f"{value}ms", return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(ms|s|m|h|d)$", "examples": ["15m"]}),
]
Expression = Annotated[
    str,
    BeforeValidator(_expression),
    Field(min_length=1, max_length=MAX_EXPRESSION),
    WithJsonSchema(
        {"type": ["string", "boolean", "number"], "description": "A CEL expression (cel.dev)."}
    ),
]
Later = Annotated[
    Any, BeforeValidator(_later), WithJsonSchema({"description": "Not supported yet."})
]
#: A step's id is a name in expressions: `steps.block.output`.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
PlaybookId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Verb = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")]
FailureKind = Literal[
    "timeout", "rate_limited", "http_4xx", "http_5xx", "unavailable", "denied", "invalid",
    "oversized", "redirect", "internal",
]  # fmt: skip
#: Failures that a second try may cure, whatever the product.
TRANSIENT: tuple[FailureKind, ...] = ("timeout", "rate_limited", "http_5xx", "unavailable")
OnError = Literal["stop", "continue"]


class Model(BaseModel):
    """Base of the schema: immutable, no unknown keys, no conversions between types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


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
    """One run per key and aligned window; the next alert is attached to it, or dropped."""

    key: Expression
    window: Duration
    on_duplicate: Annotated[Literal["attach", "drop"], _later_word("restart")] = "attach"


class Trigger(Model):
    """Which alerts start a run; without `dedup` each alert starts its own."""

    when: Expression
    dedup: Dedup | None = None
    concurrency: Later = None


class Limits(Model):
    """What bounds a run: its time, its steps (branches count) and the branches at once."""

    deadline: Annotated[Duration, Field(le=MAX_DEADLINE)] = 15 * 60_000
    max_steps: Annotated[int, Field(ge=1, le=1000)] = 200
    max_fanout: Annotated[int, Field(ge=1, le=1000)] = 50


class Hold(Model):
    """How long a containment lasts: `max` bounds all extensions together."""

    ttl: Annotated[Duration, Field(le=MAX_HOLD)]
    max: Annotated[Duration, Field(le=MAX_HOLD)] | None = None
    extend_on_repeat: Annotated[float, Field(ge=1, le=10, strict=False)] = 1.0
    on_expiry: Annotated[Literal["undo"], _later_word("approval")] = "undo"

    @model_validator(mode="after")
    def _ordered(self) -> Hold:
        if self.max is not None and self.max < self.ttl:
            raise PydanticCustomError("hold", "'max' is shorter than 'ttl'")
        return self


class Rate(Model):
    """At most `max` effects of this verb in any `per`."""

    max: Annotated[int, Field(ge=1)]
    per: Duration
    exceed: Annotated[Literal["refuse"], _later_word("approval")] = "refuse"


class Guard(Model):
    """Named lists the target must not overlap, and a rate; the site's guards come on top."""

    never: tuple[str, ...] = ()
    rate: Rate | None = None
    drift: Annotated[
        Literal["require_same"] | None,
        Field(description="Act only on exactly what an approval before this step has seen."),
    ] = None


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
    inputs: Annotated[dict[str, Any], Field(alias="with")] = {}
    until: Expression
    within: Annotated[Duration, Field(le=MAX_DEADLINE)]
    every: Duration = 5_000


class Act(Step):
    """An action: a verb with inputs, and what protects the world from it."""

    action: Verb
    inputs: Annotated[dict[str, Any], Field(alias="with")] = {}
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


class Approvers(Model):
    """Who may answer: members of `group`, `quorum` of them, nobody whom `exclude` names.

    The subject of the alert (`alert.user.name`) is always excluded.
    """

    group: Annotated[str, Field(min_length=1, max_length=100)]
    quorum: Annotated[int, Field(ge=1, le=10)] = 1
    exclude: tuple[Expression, ...] = ()


class Escalation(Model):
    """Whom to ask instead when nobody answered, and for how long."""

    group: Annotated[str, Field(min_length=1, max_length=100)]
    timeout: Duration


class Approval(Model):
    """A question to people; what they approve is the exact plan of the steps that follow."""

    message: Annotated[str, Field(min_length=1, max_length=2000)]
    channels: tuple[Annotated[str, Field(max_length=200)], ...] = ()
    approvers: Approvers
    timeout: Duration
    on_timeout: Literal["deny", "approve", "escalate"] = "deny"
    escalate: Escalation | None = None

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


class LaterStep(Model):
    """Kinds of steps that the language has and this engine does not do yet."""

    model_config = ConfigDict(extra="ignore")

    run: Later = None


_KINDS = ("action", "let", "parallel", "for_each", "approval", "wait", "stop")


def _kind(value: object) -> str | None:
    """The tag of a step's kind: in angle brackets, so that it is no key."""
    if isinstance(value, dict):
        if any(name in value for name in LaterStep.model_fields):
            return "<later>"
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
        case ApprovalStep():
            return "<approval>"
        case WaitStep():
            return "<wait>"
        case StopStep():
            return "<stop>"
        case _:
            return None


#: A step that the engine can run.
KnownStep = ActionStep | LetStep | ParallelStep | EachStep | ApprovalStep | WaitStep | StopStep
AnyStep = Annotated[
    Annotated[ActionStep, Tag("<action>")]
    | Annotated[LetStep, Tag("<let>")]
    | Annotated[ParallelStep, Tag("<parallel>")]
    | Annotated[EachStep, Tag("<for_each>")]
    | Annotated[ApprovalStep, Tag("<approval>")]
    | Annotated[WaitStep, Tag("<wait>")]
    | Annotated[StopStep, Tag("<stop>")]
    | Annotated[LaterStep, Tag("<later>")],
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
    vars: dict[Name, Expression] = {}
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
        """The steps as written (a LaterStep never validates)."""
        return tuple(step for step in self.steps if not isinstance(step, LaterStep))

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
    "limits": Limits, "hold": Hold, "guard": Guard, "rate": Rate, "retry": Retry, "join": Join,
    "parallel": Parallel, "branches": Act, "for_each": Each, "do": Act, "approval": Approval,
    "approvers": Approvers, "verify": Verify, "escalate": Escalation, "<action>": ActionStep,
    "<let>": LetStep,
    "<parallel>": ParallelStep, "<for_each>": EachStep, "<approval>": ApprovalStep,
    "<wait>": WaitStep, "<stop>": StopStep,
}  # fmt: skip


def known_keys(model: type[BaseModel]) -> list[str]:
    """The keys that a mapping of this model may have."""
    return [field.alias or name for name, field in model.model_fields.items()]


def is_expression(value: object) -> bool:
    """Whether an input's value is a `!cel` expression."""
    return isinstance(value, dict) and value.keys() == {CEL}
