"""Leases: a containment is held by runs until a time, and undone when the last of them leaves.

Pure: `reduce(lease, input) -> Change`. Instants are ms; a holder holds *until* its `expires`, so
at that very instant it does not any more, and the outcome of an expiry, an extension and a
release at one instant does not depend on their order. What time makes due is a function of the
lease alone (`due`): whoever asks, early, late or twice, cannot undo what is still held.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tocsin.contracts import Failure, Holder, Lease, LeaseState
from tocsin.ids import digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tocsin.contracts import Hold

#: Key of a proof that was never given: the call may have happened, no answer came.
UNCONFIRMED = "unconfirmed"

#: First pause before an undo is tried again, ms; it doubles up to the longest.
UNDO_BACKOFF = 5_000
UNDO_BACKOFF_MAX = 15 * 60_000

#: Failed undos after which a person is called; trying goes on.
UNDO_ALARM = 5

#: Between two times that people are asked whether a lease may end, ms.
ASK_AGAIN = 24 * 3_600_000

#: Longest growth of a repeated hold: 2 ** 32 times any ttl is beyond any max.
_MAX_REPEATS = 32


class Todo(StrEnum):
    """What the caller has to do after a change.

    `call`: ask the product (first time, anew, or because nobody knows whether it acted). `extend`:
    ask the product again, its own time limit would end too early. `join`: nothing to ask.
    `undo`: ask the product to undo. `ask`: ask people whether it may end. `alarm`: tell a person
    that undoing keeps failing. `nothing`.
    """

    CALL = "call"
    EXTEND = "extend"
    JOIN = "join"
    UNDO = "undo"
    ASK = "ask"
    ALARM = "alarm"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Apply:
    """A run wants the containment. The change counts only once the product has confirmed."""

    verb: str
    target: str
    connector: str
    run_id: str
    hold: Hold
    at: int
    native_ttl: bool = False
    undo_inputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Due:
    """Time may have made the undo due."""

    at: int


@dataclass(frozen=True, slots=True)
class Release:
    """A run leaves, or with `run_id` None a person ends the containment for all."""

    run_id: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Undone:
    """The product has undone it."""

    at: int
    proof: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UndoFailed:
    """The product has not, or nobody knows."""

    at: int
    failure: Failure


Input = Apply | Due | Release | Undone | UndoFailed


@dataclass(frozen=True, slots=True)
class Change:
    """The lease after an input (None: there is none) and what to do."""

    lease: Lease | None
    todo: Todo


def lease_id(verb: str, target: str) -> str:
    """One lease per verb and target."""
    return digest("lease", verb, target)


def reduce(lease: Lease | None, given: Input) -> Change:
    """The next lease. Inputs that do not concern it leave it unchanged with `nothing`."""
    if isinstance(given, Apply):
        return _apply(lease, given)
    if lease is None:
        return Change(None, Todo.NOTHING)
    match given:
        case Due(at):
            return _due(lease, at)
        case Release(run_id, at):
            return _release(lease, run_id, at)
        case Undone(at, proof):
            return _undone(lease, at, proof)
        case UndoFailed(at, failure):
            return _undo_failed(lease, at, failure)


def confirmed(lease: Lease, proof: dict[str, Any], at: int) -> Lease:
    """The lease with the product's answer."""
    return _changed(lease, at, proof=proof)


def unconfirmed(lease: Lease, at: int) -> Lease:
    """The lease of a call that may have happened: it must be undone like any other."""
    return _changed(lease, at, proof={**lease.proof, UNCONFIRMED: True})


def due(lease: Lease) -> int | None:
    """When a `Due` has an effect on this lease, ms; None: never by time alone."""
    match lease.state:
        case LeaseState.ACTIVE:
            return lease.expires
        case LeaseState.ASKING:
            return lease.changed + ASK_AGAIN
        case LeaseState.UNDOING | LeaseState.UNDO_FAILED:
            return lease.changed + undo_pause(lease.undo_attempts)
        case LeaseState.RELEASED:
            return None


def undo_pause(attempts: int) -> int:
    """How long after the last of `attempts` failed undos the next may start, ms."""
    if attempts == 0:
        return 0
    return int(min(UNDO_BACKOFF << min(attempts - 1, _MAX_REPEATS), UNDO_BACKOFF_MAX))


def live(holders: Iterable[Holder], at: int) -> tuple[Holder, ...]:
    """Those who still hold at that instant."""
    return tuple(holder for holder in holders if holder.expires > at)


#: States in which the product is expected to have it.
IN_FORCE = (LeaseState.ACTIVE, LeaseState.ASKING)


def _apply(lease: Lease | None, request: Apply) -> Change:
    if lease is None or lease.state is not LeaseState.ACTIVE or lease.expires <= request.at:
        return Change(_opened(lease, request), Todo.CALL)
    if UNCONFIRMED in lease.proof:
        return Change(_held(lease, request, lease.repeats), Todo.CALL)
    longer = _held(lease, request, lease.repeats + 1)
    endless = longer.ask is not None and lease.ask is None
    if request.native_ttl and (longer.expires > lease.expires or endless):
        return Change(longer, Todo.EXTEND)
    return Change(longer, Todo.JOIN)


def _opened(before: Lease | None, request: Apply) -> Lease:
    expires = request.at + min(request.hold.ttl, request.hold.max)
    return Lease(
        id=lease_id(request.verb, request.target),
        verb=request.verb,
        target=request.target,
        connector=request.connector,
        state=LeaseState.ACTIVE,
        generation=before.generation + 1 if before else 1,
        holders=(Holder(run_id=request.run_id, expires=expires),),
        opened=request.at,
        expires=expires,
        changed=max(request.at, before.changed + 1 if before else 0),
        undo_inputs=request.undo_inputs,
        ask=request.hold.ask or (before.ask if before and before.state in IN_FORCE else None),
        asked=before.asked if before else 0,
    )


def _held(lease: Lease, request: Apply, repeats: int) -> Lease:
    """With the run among the holders: never shorter than before, never beyond `hold.max`."""
    growth = max(request.hold.extend_on_repeat, 1.0) ** min(repeats, _MAX_REPEATS)
    longest = lease.opened + request.hold.max
    wanted = min(request.at + int(min(request.hold.ttl * growth, request.hold.max)), longest)
    before = live(lease.holders, request.at)
    own = max((h.expires for h in before if h.run_id == request.run_id), default=0)
    kept = {h.run_id: h for h in before}
    kept[request.run_id] = Holder(run_id=request.run_id, expires=max(own, wanted))
    holders = tuple(kept[run] for run in sorted(kept))
    return _changed(
        lease,
        request.at,
        holders=holders,
        expires=max(holder.expires for holder in holders),
        repeats=min(repeats, _MAX_REPEATS),
        ask=request.hold.ask or lease.ask,
    )


def _due(lease: Lease, at: int) -> Change:
    when = due(lease)
    if when is None or at < when:
        return Change(lease, Todo.NOTHING)
    if lease.state in IN_FORCE and lease.ask is not None:
        asking = _changed(lease, at, state=LeaseState.ASKING, asked=lease.asked + 1)
        return Change(asking, Todo.ASK)
    if lease.state is LeaseState.ACTIVE:
        lease = _changed(lease, at, state=LeaseState.UNDOING)
    return Change(lease, Todo.UNDO)


def _release(lease: Lease, run_id: str | None, at: int) -> Change:
    if lease.state is LeaseState.RELEASED:
        return Change(lease, Todo.NOTHING)
    if lease.state not in IN_FORCE:
        return Change(lease, Todo.UNDO if run_id is None else Todo.NOTHING)
    if run_id is not None and run_id not in {holder.run_id for holder in lease.holders}:
        return Change(lease, Todo.NOTHING)
    holders = tuple(
        holder.model_copy(update={"expires": min(holder.expires, at)})
        if run_id in (None, holder.run_id)
        else holder
        for holder in lease.holders
    )
    if left := live(holders, at):
        expires = max(holder.expires for holder in left)
        return Change(_changed(lease, at, holders=left, expires=expires), Todo.NOTHING)
    ended = _changed(lease, at, holders=holders, expires=min(lease.expires, at))
    return Change(ended.model_copy(update={"state": LeaseState.UNDOING}), Todo.UNDO)


def _undone(lease: Lease, at: int, proof: dict[str, Any]) -> Change:
    if lease.state not in (LeaseState.UNDOING, LeaseState.UNDO_FAILED):
        return Change(lease, Todo.NOTHING)
    after = _changed(lease, at, state=LeaseState.RELEASED, proof=proof, failure=None)
    return Change(after, Todo.NOTHING)


def _undo_failed(lease: Lease, at: int, failure: Failure) -> Change:
    if lease.state not in (LeaseState.UNDOING, LeaseState.UNDO_FAILED):
        return Change(lease, Todo.NOTHING)
    attempts = lease.undo_attempts + 1
    alarming = attempts >= UNDO_ALARM
    after = _changed(
        lease,
        at,
        state=LeaseState.UNDO_FAILED if alarming else LeaseState.UNDOING,
        undo_attempts=attempts,
        failure=failure,
    )
    return Change(after, Todo.ALARM if attempts == UNDO_ALARM else Todo.NOTHING)


def _changed(lease: Lease, at: int, **update: Any) -> Lease:
    """`changed` grows even when the clock does not: it is the lease's version."""
    return lease.model_copy(update={"changed": max(at, lease.changed + 1), **update})
