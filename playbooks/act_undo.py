"""How the act stage ends leases: by time, by a run that leaves, by a person.

An expiry needs no memory of its own: the lease says whether it is due. A release is remembered
like any effect, or its redelivery could end a lease that was opened since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from playbooks import leases
from playbooks.act_model import Invocation, Outcome, Place, Policy, Step
from playbooks.act_records import (
    answered,
    audited,
    end,
    keep_effect,
    kept,
    read_effect,
    read_lease,
    runs_of,
    store_lease,
    told,
)
from playbooks.expiring import expiry_start
from playbooks.leases import Todo
from responders.base import Call, Idempotence
from tocsin.contracts import (
    Effect,
    EffectStatus,
    Lease,
    LeaseState,
    Mode,
    Topics,
)
from tocsin.ids import digest
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from tocsin.state import State


def release_record(verb: str, target: str, *, by: str, at: int) -> Outgoing:
    """The record of `effects` by which a person ends a containment for all runs that hold it.

    `target` is canonical (`playbooks.targets`), `by` is who asks (for the audit), `at` is ms.
    """
    effect = Effect(
        id=digest("release", verb, target, by, at),
        operation="release",
        run_id="",
        step=f"released by {by}",
        verb=verb,
        target=target,
        inputs={"scope": "all"},
        mode=Mode.ENFORCE,
        requested=at,
    )
    return Outgoing(Topics.EFFECTS, effect.encode(), key=target.encode(), timestamp=at)


def begin_expiry(state: State, effect: Effect, place: Place, policy: Policy) -> Step:
    """The lease alone says whether its undo is due: late, early and repeated asks are harmless."""
    lease = read_lease(state, effect.verb, effect.target)
    change = leases.reduce(lease, leases.Due(place.now))
    if change.todo is Todo.ASK and change.lease is not None and change.lease.ask is not None:
        records = store_lease(state, change.lease, "asking", runs_of(change.lease), place)
        start = expiry_start(change.lease, change.lease.ask, place.now)
        key = start.run_id.encode()
        return Step([*records, Outgoing(Topics.COMMANDS, start.encode(), key, (), place.now)])
    if change.todo is not Todo.UNDO or change.lease is None:
        return Step(filtered="not_due")
    return _undo(state, effect, place, policy, change.lease, "expired")


def begin_release(state: State, effect: Effect, place: Place, policy: Policy) -> Step:
    before = read_effect(state, effect.id)
    if (step := answered(before, effect, place)) is not None:
        return step
    lease = read_lease(state, effect.verb, effect.target)
    if lease is None:
        reason = f"{effect.target} is not held by {effect.verb}"
        output = {"released": False, "why": reason}
        return end(state, effect, place, EffectStatus.OK, output=output)
    if effect.inputs.get("generation", lease.generation) != lease.generation:
        output = {"released": False, "why": f"{effect.target} is held anew since it was asked"}
        return end(state, effect, place, EffectStatus.OK, output=output)
    if before is not None and lease.state not in (LeaseState.ACTIVE, LeaseState.ASKING):
        return _undo(state, effect, place, policy, lease, "released")
    everyone = effect.inputs.get("scope") == "all"
    release = leases.Release(None if everyone else effect.run_id, place.now)
    change = leases.reduce(lease, release)
    if change.lease is not None and change.todo is Todo.UNDO:
        return _undo(state, effect, place, policy, change.lease, "released")
    left = change.lease if change.lease != lease else None
    records = store_lease(state, left, "left", [effect.run_id], place) if left else []
    step = end(state, effect, place, EffectStatus.OK, output={"released": False}, lease=left)
    step.outputs[:0] = records
    return step


def _undo(
    state: State, effect: Effect, place: Place, policy: Policy, lease: Lease, change: str
) -> Step:
    route = policy.undoers.get((lease.connector, lease.verb))
    records = store_lease(state, lease, change, runs_of(lease), place)
    if effect.operation == "release":
        keep_effect(state, effect.id, kept(effect, place, None))
    invocation = Invocation(
        connector=lease.connector,
        call=Call(
            verb=lease.verb,
            target=lease.target,
            inputs=lease.undo_inputs,
            key=digest("undo", lease.id, lease.generation),
            timeout=effect.timeout,
        ),
        idempotence=Idempotence.NATURAL,
        started=place.now,
        undo=True,
        lease=lease,
        proof=lease.proof,
    )
    records.append(audited(state, place, "undo.started", told(effect, route)))
    return Step(records, invocation)


def finish_undo(
    state: State, effect: Effect, place: Place, invocation: Invocation, outcome: Outcome
) -> Step:
    lease = read_lease(state, effect.verb, effect.target)
    if outcome.failure is None:
        change = leases.reduce(lease, leases.Undone(place.now, outcome.output))
    else:
        change = leases.reduce(lease, leases.UndoFailed(place.now, outcome.failure))
    step = Step()
    if change.lease is not None:
        name = "undone" if outcome.failure is None else "undo_failed"
        step.outputs = store_lease(state, change.lease, name, runs_of(change.lease), place)
        step.alarm = _undo_alarm(change)
    if effect.operation == "release":
        ended = end(
            state,
            effect,
            place,
            EffectStatus.OK if outcome.failure is None else EffectStatus.FAILED,
            connector=invocation.connector,
            started=invocation.started,
            output={"released": True} if outcome.failure is None else {},
            failure=outcome.failure,
            lease=change.lease,
        )
        step.outputs += ended.outputs
        step.result = ended.result
    return step


def _undo_alarm(change: leases.Change) -> str:
    if change.todo is not Todo.ALARM or change.lease is None:
        return ""
    lease = change.lease
    why = lease.failure.message if lease.failure else "no reason given"
    return (
        f"{lease.verb} on {lease.target} should have ended and {lease.connector} has not undone "
        f"it after {lease.undo_attempts} attempts: {why}. Trying goes on; undo it by hand if it "
        "hurts"
    )


def expiry(lease: Lease, now: int) -> Effect:
    return Effect(
        id=digest("expire", lease.id, lease.generation, lease.expires, lease.undo_attempts),
        operation="expire",
        run_id=lease.holders[0].run_id if lease.holders else "",
        step="lease",
        verb=lease.verb,
        target=lease.target,
        mode=Mode.ENFORCE,
        requested=now,
    )
