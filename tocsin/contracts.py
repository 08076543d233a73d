"""What crosses a stage: one frozen type per arrow, and nothing else.

Instants are integers, milliseconds since the epoch, UTC; only ECS documents carry RFC 3339.
On the hot path an event is a plain `dict` (an ECS document) and its JSON bytes: validating each
one costs more than making it. `decode`/`encode` are the JSON forms that stand in the log.

An event document always has `@timestamp`, `ecs.version`, `event.id`, `event.created` (when the
source handed it over), `event.original` unless the source drops it, `tocsin.origin` (the raw
record "topic/partition/offset"), `tocsin.source`, `tocsin.tenant` and `tocsin.parser`
({name, version}). `event.ingested` is set by the index stage: everything before it is a function
of the log alone.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from tocsin.ids import canonical_json
from tocsin.log.base import Outgoing, Position, Record

#: An ECS document.
Document = dict[str, Any]

ECS_VERSION = "9.2.0"


class Topics:
    """Names of the topics, without the configured prefix."""

    RAW = "raw"
    EVENTS = "events"
    #: Findings keyed by correlation rule and group value, for the correlate stage.
    CORRELATE = "correlate-repartition"
    #: Findings keyed by alert deduplication key, for the alert stage.
    FINDINGS = "findings"
    #: What batches of events say of entities, for the behavior stage; keyed by entity.
    OBSERVATIONS = "observations"
    ALERTS = "alerts"
    COMMANDS = "commands"
    EFFECTS = "effects"
    RUNS = "runs"
    AUDIT = "audit"
    DEAD_LETTERS = "dead-letters"

    ALL = (
        *(RAW, EVENTS, CORRELATE, OBSERVATIONS, FINDINGS, ALERTS),
        *(COMMANDS, EFFECTS, RUNS, AUDIT, DEAD_LETTERS),
    )


@dataclass(frozen=True, slots=True)
class RawEvent:
    """Bytes as a source delivered them."""

    data: bytes
    source: str
    tenant: str
    received: int
    position: Position

    @classmethod
    def from_record(cls, record: Record) -> RawEvent:
        """Headers `source`, `tenant` and `received` (ms, decimal) are optional."""
        headers = dict(record.headers)
        received = headers.get("received", b"")
        return cls(
            data=record.value,
            source=headers.get("source", b"").decode("utf-8", "replace") or record.topic,
            tenant=headers.get("tenant", b"").decode("utf-8", "replace") or "default",
            received=int(received) if received.isdigit() else record.timestamp,
            position=record.position,
        )


def raw_record(
    data: bytes, *, source: str, received: int, key: bytes | None = None, tenant: str = "default"
) -> Outgoing:
    """The `raw` record of a line; `key` keeps lines of one origin in order."""
    return Outgoing(
        topic=Topics.RAW,
        value=data,
        key=key,
        headers=(
            ("source", source.encode()),
            ("tenant", tenant.encode()),
            ("received", str(received).encode()),
        ),
        timestamp=received,
    )


class Contract(BaseModel):
    """Base of the contracts that are rare enough to validate."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64")

    def encode(self) -> bytes:
        """Canonical JSON: equal values give equal bytes."""
        return canonical_json(self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises pydantic.ValidationError (a ValueError) on anything else."""
        return cls.model_validate(orjson.loads(data))


class Rule(Contract):
    """The rule behind a finding; author and licence travel along because DRL 1.1 asks for it."""

    id: str
    name: str
    hash: str
    level: Literal["informational", "low", "medium", "high", "critical"] = "medium"
    type: Literal["sigma", "correlation", "behavior", "indicator", "system"] = "sigma"
    author: str = ""
    license: str = ""
    description: str = ""
    references: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()


#: Severity (0..100) of a Sigma level; the scale of Elastic's detection rules.
SEVERITY = {"informational": 10, "low": 21, "medium": 47, "high": 73, "critical": 99}


class Reason(Contract):
    """Why a rule matched: this selection's item, on this field, with this value."""

    selection: str
    field: str
    value: str
    modifier: str = ""
    expected: str = ""


class Evidence(Contract):
    """An event behind a finding: its id, time, raw position "topic/partition/offset" and text."""

    event_id: str
    at: int
    origin: str
    original: str = ""


class Finding(Contract):
    """A rule matched: on one event, or (a correlation) on a group of them.

    `fields` are the ECS fields that the deduplication key is made of (they become scalars of the
    alert); `entities` are all entities seen, by ECS field, sorted. `key` is the deduplication
    key and `window` the length in ms of the aligned window that alerts are collected in.
    """

    id: str
    rule: Rule
    severity: Annotated[int, Field(ge=0, le=100)]
    at: int
    key: str
    window: int
    fields: dict[str, str] = {}
    entities: dict[str, tuple[str, ...]] = {}
    reasons: tuple[Reason, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    message: str = ""
    tenant: str = "default"


class GroupedFinding(Contract):
    """A finding on its way to the correlate stage: for which correlation, group and value.

    `correlation` is the correlation rule's id, `group` the group-by values joined, `value` what
    is counted (the event id for event_count, the field's value for value_count, the referenced
    rule's id for temporal).
    """

    correlation: str
    group: str
    group_fields: dict[str, str] = {}
    value: str
    finding: Finding


class AlertStatus(StrEnum):
    """Where an alert stands in the analyst's queue (ECS event.kind: alert has no field for it)."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class Alert(Contract):
    """All findings of one rule and deduplication key in one aligned window.

    Its content is a function of the *set* of evidence events, whatever the order they came in;
    `revision` is the number of distinct ones, so equal revisions of an undisturbed and a
    restarted run converge, and the store's external version only grows. `evidence` holds the
    first and last few by (at, event_id); `count` counts all.
    """

    id: str
    rule: Rule
    severity: int
    key: str
    window_start: int
    window: int
    revision: int
    count: int
    first_seen: int
    last_seen: int
    status: AlertStatus = AlertStatus.OPEN
    fields: dict[str, str] = {}
    entities: dict[str, tuple[str, ...]] = {}
    reasons: tuple[Reason, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    message: str = ""
    tenant: str = "default"


class Asked(Contract):
    """Who is asked where no step of a playbook asks: a group, how many of it, never whom."""

    group: str
    quorum: int = 1
    excluded: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


class Hold(Contract):
    """How long a containment lasts, in ms; see playbooks.md, leases.

    With `on_expiry` approval `ask` says who decides whether it ends at its time.
    """

    ttl: int
    max: int
    extend_on_repeat: float = 1.0
    on_expiry: Literal["undo", "approval"] = "undo"
    ask: Asked | None = None


#: What a guard does that says no: refuse for good, or let people decide.
Exceed = Literal["refuse", "approval"]


class Rate(Contract):
    """At most `max` effects in any `per` ms."""

    max: int
    per: int
    exceed: Exceed = "refuse"


class Share(Contract):
    """At most `percent` of the entries of the list `of` are held by one verb at a time."""

    percent: float
    of: str = "fleet"
    exceed: Exceed = "refuse"


class Quiet(Contract):
    """Hours (minutes since midnight in `zone`) and days (0 is Monday) in which nothing is done.

    `until` before `since` goes over midnight; the day is that on which the hours began.
    """

    since: int = 0
    until: int = 1440
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    zone: str = "UTC"
    exceed: Exceed = "refuse"


class Guard(Contract):
    """What may stop an effect: named lists its target must not overlap, rate, share, hours.

    `waived` are guards, of those that ask, that people have overruled for this very effect.
    """

    never: tuple[str, ...] = ()
    rate: Rate | None = None
    share: Share | None = None
    quiet: tuple[Quiet, ...] = ()
    waived: tuple[str, ...] = ()


class Mode(StrEnum):
    """Whether effects of class contain, destructive and notify really happen."""

    DRY_RUN = "dry_run"
    ENFORCE = "enforce"


class Inquiry(Contract):
    """Which question of a run a message is about: the worker that sends it adds the link to it."""

    plan: str
    due: int


class Effect(Contract):
    """Something to do to a target, asked for by a step of a run.

    `id` is the same for every attempt and is the idempotency key given to the product;
    `operation` is `apply`, or for leases `expire` and `release`, or `reconcile`: what a product
    was seen to have.
    Keyed by `target` in the log, so effects on one target are in order. With `inquiry` it tells
    people of a question, and its end is an event of the run, no result.
    """

    id: str
    operation: Literal["apply", "expire", "release", "reconcile"] = "apply"
    run_id: str
    alert_id: str = ""
    playbook: str = ""
    step: str
    item: str = ""
    epoch: int = 0
    attempt: int = 1
    verb: str
    target: str
    inputs: dict[str, Any] = {}
    hold: Hold | None = None
    guard: Guard = Guard()
    timeout: int = 30_000
    mode: Mode = Mode.DRY_RUN
    requested: int
    inquiry: Inquiry | None = None


class Failure(Contract):
    """Why an effect failed; `kind` as in ConnectorError."""

    kind: str
    message: str
    retry_after: int | None = None


class Verdict(Contract):
    """What one guard said of one effect; `asks` if people may overrule its refusal."""

    guard: str
    allowed: bool
    reason: str = ""
    asks: bool = False


class EffectStatus(StrEnum):
    """How an effect ended. `unknown`: it may have happened and cannot be repeated safely."""

    OK = "ok"
    FAILED = "failed"
    REFUSED = "refused"
    DRY_RUN = "dry_run"
    UNKNOWN = "unknown"


class Holder(Contract):
    """A run that wants a containment to last until `expires`."""

    run_id: str
    expires: int


class LeaseState(StrEnum):
    """`undoing`: the last holder left and the product has not confirmed yet.

    `asking`: its time is up, it is still in force, and people are asked whether it may end.
    """

    ACTIVE = "active"
    ASKING = "asking"
    UNDOING = "undoing"
    RELEASED = "released"
    UNDO_FAILED = "undo_failed"


class Lease(Contract):
    """A containment of one target by one verb, held by runs, undone when the last one leaves.

    `generation` grows each time the containment is applied anew; `repeats` counts the requests
    of this generation after the first; a holder whose `expires` has passed holds nothing any
    more; `changed` grows with every change; `proof` is what the product answered; `undo_inputs`
    is what undoing needs. `ask` says who is asked before time ends it, `asked` how often they were.
    """

    id: str
    verb: str
    target: str
    connector: str
    state: LeaseState
    generation: int
    holders: tuple[Holder, ...]
    opened: int
    expires: int
    changed: int
    repeats: int = 0
    proof: dict[str, Any] = {}
    undo_inputs: dict[str, Any] = {}
    undo_attempts: int = 0
    failure: Failure | None = None
    ask: Asked | None = None
    asked: int = 0


class Result(Contract):
    """How an attempt at an effect ended."""

    effect_id: str
    run_id: str
    step: str
    item: str = ""
    attempt: int = 1
    status: EffectStatus
    output: dict[str, Any] = {}
    failure: Failure | None = None
    verdicts: tuple[Verdict, ...] = ()
    lease: Lease | None = None
    connector: str = ""
    started: int
    at: int


class Parent(Contract):
    """The step of the run that called a sub-playbook; `depth` counts the calls above it."""

    run_id: str
    step: str
    depth: int = 1


class Start(Contract):
    """Start a run, or attach the alert's newer revision to it.

    A sub-playbook has a `parent`, `inputs`, and its `source` as the parent has pinned it.
    """

    kind: Literal["start"] = "start"
    run_id: str
    playbook: str
    playbook_hash: str
    alert: dict[str, Any]
    inputs: dict[str, Any] = {}
    parent: Parent | None = None
    source: dict[str, Any] = {}
    at: int


class Returned(Contract):
    """A result came back to its run."""

    kind: Literal["result"] = "result"
    run_id: str
    result: Result
    at: int


class Timer(Contract):
    """A timer of a run is due; `at` is when it fired, `due` when it should have."""

    kind: Literal["timer"] = "timer"
    run_id: str
    timer: str
    due: int
    at: int


class Cancel(Contract):
    """Stop a run: always-steps still run, leases it holds are released."""

    kind: Literal["cancel"] = "cancel"
    run_id: str
    by: str
    reason: str
    at: int


class Decision(Contract):
    """A person's answer to an approval.

    `id` names this one answer (a link is good for one); `groups` are those that whoever
    authenticated `by` vouches for; `plan` is the hash of the plan that `by` has seen.
    """

    kind: Literal["decision"] = "decision"
    run_id: str
    step: str
    id: str
    approve: bool
    by: str
    groups: tuple[str, ...] = ()
    plan: str
    comment: str = ""
    at: int


class Ended(Contract):
    """A sub-playbook has ended: to the run that waits for it at `step`."""

    kind: Literal["ended"] = "ended"
    run_id: str
    step: str
    child: str
    outcome: str
    reason: str = ""
    output: dict[str, Any] = {}
    at: int


class Acquire(Contract):
    """The run `holder` wants one of the `max` places of a gate; `run_id` is the gate's id."""

    kind: Literal["acquire"] = "acquire"
    run_id: str
    holder: str
    max: Annotated[int, Field(ge=1)]
    overflow: Literal["queue", "drop"] = "queue"
    at: int


class Leave(Contract):
    """The run `holder` needs its place, or its turn, at a gate no more."""

    kind: Literal["leave"] = "leave"
    run_id: str
    holder: str
    at: int


class Admission(Contract):
    """A gate's answer to a run: it may go on, or (`admitted` False) must not."""

    kind: Literal["admission"] = "admission"
    run_id: str
    gate: str
    admitted: bool
    reason: str = ""
    at: int


class Join(Contract):
    """A run's step wants to ask what others ask too; `run_id` is the id of the common question.

    `actions` is what it would do, as people see it.
    """

    kind: Literal["join"] = "join"
    run_id: str
    member: str
    step: str
    plan: str
    actions: tuple[dict[str, Any], ...] = ()
    at: int


class Member(Contract):
    """One of the runs that a common question is asked for, with its own plan."""

    run_id: str
    step: str
    plan: str
    actions: tuple[dict[str, Any], ...] = ()


class Ask(Contract):
    """Ask for `count` runs, this one among them; who comes later waits for the next question.

    `plan` is the hash of the plans of all, `members` are the first of them, to be shown.
    """

    kind: Literal["ask"] = "ask"
    run_id: str
    step: str
    plan: str
    count: int
    members: tuple[Member, ...]
    at: int


class Settled(Contract):
    """How a common question ended: from who asked to the question, and from it to each member.

    To the question (`run_id`) `member` is who asked; to a member it is empty and `step` its step.
    """

    kind: Literal["settled"] = "settled"
    run_id: str
    step: str = ""
    member: str = ""
    decision: str = ""
    by: tuple[str, ...] = ()
    plan: str = ""
    reason: str = ""
    at: int


class Pardon(Contract):
    """A person lets a playbook that was put into quarantine start runs again.

    `run_id` is only the key; one is written for each partition.
    """

    kind: Literal["pardon"] = "pardon"
    run_id: str
    playbook: str
    by: str
    at: int


#: A record of the `commands` topic, keyed by run id (of a gate or question: its own id).
Command = Annotated[
    Start
    | Returned
    | Timer
    | Cancel
    | Decision
    | Ended
    | Acquire
    | Leave
    | Admission
    | Join
    | Ask
    | Settled
    | Pardon,
    Field(discriminator="kind"),
]


class RunEvent(Contract):
    """Something that happened in a run: `seq` counts from 0 without gaps.

    `kind`: started, queued, dropped, attached, restarted, let, skipped, requested, called,
    attempted, retry_scheduled, succeeded, failed, refused, dry_run, unknown, timed_out, cancelled,
    finished, lease, waiting, joined, approval_requested, notified, answered, decided, verified.
    """

    id: str
    run_id: str
    seq: int
    at: int
    kind: str
    step: str = ""
    data: dict[str, Any] = {}


class AuditEntry(Contract):
    """A link of the chain of one (stage, partition): decisions and effects, in order.

    `hash` is SHA-256 over the previous hash and the canonical JSON of the entry without `hash`.
    """

    chain: str
    seq: int
    at: int
    kind: str
    body: dict[str, Any]
    previous: str
    hash: str


Base64 = Annotated[
    bytes,
    BeforeValidator(lambda value: b64decode(value) if isinstance(value, str) else value),
    PlainSerializer(lambda value: b64encode(value).decode("ascii"), return_type=str),
]


class DeadLetter(Contract):
    """A record that could not be processed: why, where it stood, and its original bytes.

    `origin` is "topic/partition/offset". The original of a record too large for one letter stands
    in `parts` letters; this is number `part`, counted from 1.
    """

    id: str
    stage: str
    code: str
    reason: str
    origin: str
    original: Base64
    key: Base64 | None = None
    headers: dict[str, str] = {}
    parser: str = ""
    attempts: int = 1
    part: int = 1
    parts: int = 1
    at: int
