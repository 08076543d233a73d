"""What the decisions of the act stage are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tocsin.contracts import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from playbooks.guards import SiteGuards
    from responders.base import Action, Call, Idempotence
    from tocsin.contracts import Failure, Inquiry, Lease, Result, Verdict
    from tocsin.log.base import Outgoing


#: How long finished effects and released leases are remembered, ms: as long as a record of
#: `effects` may be delivered again.
RETENTION = 7 * 24 * 3_600_000


#: The product's own time limit ends this long after ours, ms: a second line, not a race.
NATIVE_TTL_MARGIN = 60_000


@dataclass(frozen=True, slots=True)
class Route:
    """Which configured connector serves a verb, and what its manifest says of it."""

    connector: str
    action: Action


@dataclass(frozen=True, slots=True)
class Policy:
    """What decisions depend on besides state: configuration, as of now.

    `routes` are the bindings (verb → route); `undoers` every (connector, verb) there is, for
    leases opened before a binding changed. `reapply_missing` and `remove_orphans` say what is done
    about differences between leases and products (see reconcile).
    """

    routes: Mapping[str, Route]
    undoers: Mapping[tuple[str, str], Route]
    site: SiteGuards
    mode: Mode = Mode.DRY_RUN
    notify_in_dry_run: bool = False
    reapply_missing: bool = False
    remove_orphans: bool = False


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call that the rim has to make.

    `resumed`: an earlier call may have happened (with idempotence `probe` that is asked first).
    `lease` is what the lease will be once the product has confirmed; `inquiry` is the question
    that a message is about.
    """

    connector: str
    call: Call
    idempotence: Idempotence
    started: int
    undo: bool = False
    resumed: bool = False
    lease: Lease | None = None
    change: str = ""
    inquiry: Inquiry | None = None
    proof: Mapping[str, Any] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended; with a failure, `after_send` says that it may have happened."""

    output: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    after_send: bool = False


@dataclass(slots=True)
class Step:
    """What a decision writes, and the call it needs (None: the effect is done with).

    `filtered` is the reason why nothing had to be done, `dead` the code of a dead letter among
    the outputs; `alarm` is for a person, now.
    """

    outputs: list[Outgoing] = field(default_factory=list)
    invocation: Invocation | None = None
    result: Result | None = None
    filtered: str = ""
    dead: str = ""
    alarm: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an effect stands and when it is looked at."""

    partition: int
    offset: int
    now: int
