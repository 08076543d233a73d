"""Comparing leases with what products really have: orphans, and containments that are missing.

Whoever lists a product only *observes*; an observation is an effect of the operation `reconcile`
on its target. The act stage takes it in its turn, behind whatever else concerns that target, and
judges it by the lease of that moment: what was opened, undone or extended after the product was
asked is no difference. So it does not matter which worker asked, nor how often. What is found is
told once (audit, alert, log) and kept under `drift/…` until it is gone; it changes nothing unless
the site's policy says so.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from playbooks import guards
from playbooks.act_model import NATIVE_TTL_MARGIN, Invocation, Outcome, Place, Policy, Route, Step
from playbooks.act_records import (
    LEASE,
    OUTSIDE_RUN,
    audited,
    read_lease,
    runs_of,
    store_lease,
)
from playbooks.drift_alert import alert_of
from playbooks.leases import IN_FORCE, UNCONFIRMED, confirmed, lease_id
from playbooks.targets import canonical_target
from responders.base import Call, Idempotence
from tocsin.contracts import Effect, Hold, Lease, LeaseState, Mode, RunEvent, Topics
from tocsin.ids import digest
from tocsin.log.base import Outgoing
from tocsin.state import peek

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from tocsin.state import State

#: Longest wait for a call that mends a difference, ms.
TIMEOUT = 60_000
#: Orphans of one connector and verb that one look reports; the rest comes when these are settled.
MAX_ORPHANS = 1_000

DRIFT = "drift/"


class Drift(StrEnum):
    """What is different: in force and held by no lease, or held and not in force."""

    ORPHAN = "orphan"
    MISSING = "missing"


def observations(
    states: Iterable[State],
    connector: str,
    verb: str,
    held: Collection[str],
    seen: int,
    *,
    orphans: bool,
) -> list[Effect]:
    """What is to be judged of one product's list, as effects on their targets.

    `held` is every target on which `verb` was in force at `seen` (ms). Targets that no state of
    this worker leases may be leased by another worker's; with `orphans` (one worker of all) they
    are asked about too.
    """
    listed, leased, known = set(held), set[str](), set[str]()
    for state in states:
        for key in state:
            if not key.startswith((LEASE, DRIFT)):
                continue
            kept = peek(state, key)
            if (kept["connector"], kept["verb"]) != (connector, verb):
                continue
            if key.startswith(DRIFT):
                known.add(kept["target"])
            elif kept["state"] != LeaseState.RELEASED:
                leased.add(kept["target"])
    asked = known | (leased - listed)
    if orphans:
        asked |= set(sorted(listed - leased - known)[:MAX_ORPHANS])
    return [
        _observation(connector, verb, target, held=target in listed, seen=seen)
        for target in sorted(asked)
    ]


def _observation(connector: str, verb: str, target: str, *, held: bool, seen: int) -> Effect:
    return Effect(
        id=digest("observed", connector, verb, target, seen),
        operation="reconcile",
        run_id="",
        step="reconcile",
        verb=verb,
        target=target,
        inputs={"connector": connector, "held": held, "seen": seen},
        timeout=TIMEOUT,
        mode=Mode.ENFORCE,
        requested=seen,
    )


def begin_reconcile(
    state: State, effect: Effect, place: Place, policy: Policy, windows: Sequence[State]
) -> Step:
    """Judge an observation by the lease of now, tell what is new, mend what the site wants mended.

    Raises KeyError for an effect that is no observation.
    """
    connector, held = effect.inputs["connector"], bool(effect.inputs["held"])
    lease = read_lease(state, effect.verb, effect.target)
    if lease is not None and lease.changed >= effect.inputs["seen"]:
        return Step(filtered="seen_before_the_change")
    found = judged(lease, connector, held=held)
    key = DRIFT + digest(lease_id(effect.verb, effect.target), connector)
    before = state.get(key)
    if found is None:
        if before is None:
            return Step(filtered="as_it_should_be")
        del state[key]
        return Step([_told(state, effect, place, "settled", before)])
    records: list[Outgoing] = []
    step = Step(records)
    if before is None or before["kind"] != found:
        state[key] = before = {
            "kind": found.value,
            "connector": connector,
            "verb": effect.verb,
            "target": effect.target,
            "since": place.now,
        }
        records.append(_told(state, effect, place, found.value, before, lease))
        records.append(alert_of(found.value, connector, effect, place.now))
        records += _run_events(lease, place.now) if found is Drift.MISSING else []
        step.alarm = _alarm(found, connector, effect)
    step.invocation = _mending(effect, place, policy, windows, found, lease)
    if step.invocation is None and not records:
        step.filtered = "known"
    return step


def judged(lease: Lease | None, connector: str, *, held: bool) -> Drift | None:
    """What is wrong with a product that has, or has not, what a lease says; None: nothing.

    A lease that is being undone may be in force or not, and so may one of a call that nobody
    confirmed. What another connector's lease says is no word on this one.
    """
    if lease is None or lease.connector != connector or lease.state is LeaseState.RELEASED:
        return Drift.ORPHAN if held else None
    if held or lease.state not in IN_FORCE or UNCONFIRMED in lease.proof:
        return None
    return Drift.MISSING


def drifts(states: Iterable[State]) -> list[dict[str, Any]]:
    """Every difference that is known and not settled: kind, connector, verb, target, since."""
    return [state[key] for state in states for key in state if key.startswith(DRIFT)]


def _mending(
    effect: Effect,
    place: Place,
    policy: Policy,
    windows: Sequence[State],
    found: Drift,
    lease: Lease | None,
) -> Invocation | None:
    """The call that ends a difference, None where the site has not asked for it."""
    route = policy.undoers.get((effect.inputs["connector"], effect.verb))
    if policy.mode is not Mode.ENFORCE or route is None:
        return None
    if found is Drift.ORPHAN:
        wanted = policy.remove_orphans and _is_ours_to_remove(effect, route)
        return _removal(effect, place, route) if wanted else None
    if lease is None or not policy.reapply_missing or lease.expires <= place.now:
        return None
    return _reapplication(effect, place, policy, windows, route, lease)


def _is_ours_to_remove(effect: Effect, route: Route) -> bool:
    """Only what we could have made: a single target in its one spelling, no range."""
    try:
        return canonical_target(route.action.entity, effect.target) == effect.target
    except ValueError:
        return False


def _removal(effect: Effect, place: Place, route: Route) -> Invocation:
    inputs = {route.action.target: effect.target}
    return Invocation(
        connector=route.connector,
        call=Call(effect.verb, effect.target, inputs, effect.id, effect.timeout),
        idempotence=Idempotence.NATURAL,
        started=place.now,
        undo=True,
        change="orphan_removed",
    )


def _reapplication(
    effect: Effect,
    place: Place,
    policy: Policy,
    windows: Sequence[State],
    route: Route,
    lease: Lease,
) -> Invocation | None:
    left = lease.expires - place.now
    again = effect.model_copy(
        update={
            "operation": "apply",
            "inputs": lease.undo_inputs,
            "hold": Hold(ttl=left, max=left),
        }
    )
    verdicts = tuple(guards.evaluate(again, route.action, policy.site, windows, place.now))
    if not guards.allowed(verdicts):
        return None
    # What people are asked about at its end does not end by the product's own clock.
    ends = route.action.native_ttl and lease.ask is None
    ttl = left + NATIVE_TTL_MARGIN if ends else None
    key = digest("reapply", lease.id, lease.generation, effect.inputs["seen"])
    return Invocation(
        connector=route.connector,
        call=Call(effect.verb, effect.target, lease.undo_inputs, key, effect.timeout, ttl),
        idempotence=route.action.idempotence,
        started=place.now,
        lease=lease,
        change="reapplied",
        verdicts=verdicts,
    )


def finish_reconcile(
    state: State, effect: Effect, place: Place, invocation: Invocation, outcome: Outcome
) -> Step:
    """Record how mending ended; a failure stays a difference, and the next look tries again."""
    connector, failure = effect.inputs["connector"], outcome.failure
    key = DRIFT + digest(lease_id(effect.verb, effect.target), connector)
    known = state.get(key, {})
    if failure is not None:
        said = {**known, "failure": failure.model_dump(mode="json", exclude_none=True)}
        return Step([_told(state, effect, place, f"not_{invocation.change}", said)])
    records = [_told(state, effect, place, invocation.change, known)]
    state.pop(key, None)
    lease = read_lease(state, effect.verb, effect.target)
    if lease is not None and invocation.lease is not None:
        lease = confirmed(lease, outcome.output, place.now)
        records += store_lease(state, lease, invocation.change, runs_of(lease), place)
    return Step(records)


def _told(
    state: State,
    effect: Effect,
    place: Place,
    change: str,
    known: dict[str, Any],
    lease: Lease | None = None,
) -> Outgoing:
    body = {
        "connector": effect.inputs["connector"],
        "verb": effect.verb,
        "target": effect.target,
        "seen": effect.inputs["seen"],
        "since": known.get("since", place.now),
        **({"failure": known["failure"]} if "failure" in known else {}),
        **({"lease": lease.id, "runs": runs_of(lease)} if lease is not None else {}),
    }
    return audited(state, place, f"drift.{change}", body)


def _run_events(lease: Lease | None, now: int) -> list[Outgoing]:
    """What the runs are told that hold a containment which is gone."""
    if lease is None:
        return []
    stored = lease.model_dump(mode="json", exclude_none=True)
    events = [
        RunEvent(
            id=digest("drift-event", lease.id, lease.changed, run),
            run_id=run,
            seq=OUTSIDE_RUN,
            at=now,
            kind="lease",
            data={"change": "missing", "lease": stored},
        )
        for run in sorted(set(runs_of(lease)) - {""})
    ]
    return [
        Outgoing(Topics.RUNS, event.encode(), key=event.run_id.encode(), timestamp=now)
        for event in events
    ]


def _alarm(found: Drift, connector: str, effect: Effect) -> str:
    what = f"{effect.verb} on {effect.target}"
    if found is Drift.ORPHAN:
        return f"{connector} has {what} in force and no lease holds it: who put it there?"
    return f"{what} should be in force and {connector} does not have it: who took it away?"
