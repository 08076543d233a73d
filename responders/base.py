"""What a connector is: a manifest that says what it can do and how safely, and the doing.

A connector declares for each verb its class, the idempotence that makes a repeated call safe,
the entity it touches and how to undo it; the engine enforces guards, leases and retries from the
manifest alone. One file per product; `responders/catalog.py` is the explicit table of all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping


class ActionClass(StrEnum):
    """What an action may do to the world; the guards depend on it."""

    READ = "read"
    NOTIFY = "notify"
    CONTAIN = "contain"
    DESTRUCTIVE = "destructive"


class Idempotence(StrEnum):
    """What makes a repeated call safe after a crash between the call and its record.

    `natural`: the same call twice leaves the same state. `keyed`: the product recognises the
    idempotency key. `probe`: `probe` tells whether it happened. `none`: a person must look.
    """

    NATURAL = "natural"
    KEYED = "keyed"
    PROBE = "probe"
    NONE = "none"


class EntityKind(StrEnum):
    """What a target is: it decides how it is canonicalised and which guards can overlap it."""

    ADDRESS = "address"
    USER = "user"
    HOST = "host"
    KEY = "key"
    CASE = "case"
    CHANNEL = "channel"


class Inputs(BaseModel):
    """Base of a verb's typed input; unknown keys are refused."""

    # Built at first use, here and in the connectors' configurations: eighty models cost 0.3 s of
    # each start.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


@dataclass(frozen=True, slots=True)
class Action:
    """One verb of a connector.

    `target` names the input that is the entity acted on. `reversible` says that `undo` exists:
    only such actions may be held by a lease. `residual` says in plain words what an attacker can
    still do after it succeeded, and for how long; every action that contains or destroys says it.
    `outputs` are what playbooks can count on in the answer, by type; what is not known is None or
    empty.
    """

    verb: str
    action_class: ActionClass
    idempotence: Idempotence
    inputs: type[Inputs]
    target: str
    entity: EntityKind
    reversible: bool = False
    native_ttl: bool = False
    summary: str = ""
    residual: str = ""
    outputs: Mapping[str, type] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a connector is called, which verbs it serves and which secrets it needs.

    `secrets` are the names of the configuration's fields that hold references to secrets.
    """

    name: str
    summary: str
    actions: tuple[Action, ...]
    max_concurrency: int = 4
    secrets: tuple[str, ...] = ()

    def action(self, verb: str) -> Action | None:
        """The action of that verb, None if the connector has none."""
        return next((action for action in self.actions if action.verb == verb), None)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a verb.

    `key` is the effect id, the same for each attempt; `ttl` (ms) is a second line of undoing for
    products that have their own. `context` carries what a report needs (run state, alert) and is
    empty for products.
    """

    verb: str
    target: str
    inputs: Mapping[str, Any]
    key: str
    timeout: int
    ttl: int | None = None
    context: Mapping[str, Any] = field(default_factory=dict)


class Connector(Protocol):
    """A configured product. All calls raise ConnectorError, nothing else on purpose."""

    @property
    def manifest(self) -> Manifest: ...

    async def act(self, call: Call) -> dict[str, Any]:
        """Do it; the answer is plain JSON, at most 64 KiB, and for a containment its proof."""
        ...

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> dict[str, Any]:
        """Undo a containment; undoing what is already gone succeeds."""
        ...

    async def probe(self, call: Call) -> dict[str, Any] | None:
        """Whether the action is in force: its proof, or None if it is not."""
        ...

    async def check(self) -> str:
        """One sentence for `tocsin doctor`; raises ConnectorError saying what to do."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Listing(Protocol):
    """A connector that can tell all that is in force, not only one target: for reconciling."""

    async def held(self, verb: str, timeout: int) -> list[str]:
        """Every target on which the verb is in force now, sorted; `timeout` in ms.

        What somebody added by hand is among them, where the product keeps no record of who did.
        A target is spelt as canonical targets are; a range, which we never make, as CIDR.
        """
        ...
