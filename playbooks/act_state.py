"""What the act stage decides: pure steps over the keyed state of one partition of `effects`.

`begin` says what an effect needs (nothing, a call, an undo) and records that it started; the rim
makes the call; `finish` records how it ended. Both return records to write in the same
transaction as the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from playbooks import guards, leases
from playbooks.act_model import NATIVE_TTL_MARGIN, Invocation, Outcome, Place, Policy, Route, Step
from playbooks.act_records import (
    answered,
    audited,
    end,
    keep_effect,
    kept,
    read_effect,
    read_lease,
    store_lease,
    told,
)
from playbooks.act_undo import begin_expiry, begin_release, finish_undo
from playbooks.leases import Todo
from playbooks.reconcile import begin_reconcile, finish_reconcile
from responders.base import Action, ActionClass, Call, EntityKind, Idempotence
from tocsin.contracts import (
    Effect,
    EffectStatus,
    Failure,
    Lease,
    Mode,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.log.base import Outgoing
    from tocsin.state import State


def begin(
    state: State, effect: Effect, place: Place, policy: Policy, windows: Sequence[State]
) -> Step:
    """Decide what `effect` needs and record that it starts.

    `windows` are the states of all partitions of this worker, this one among them.
    """
    match effect.operation:
        case "expire":
            return begin_expiry(state, effect, place, policy)
        case "release":
            return begin_release(state, effect, place, policy)
        case "reconcile":
            return begin_reconcile(state, effect, place, policy, windows)
        case "apply":
            return _begin_apply(state, effect, place, policy, windows)


def finish(
    state: State, effect: Effect, place: Place, invocation: Invocation, outcome: Outcome
) -> Step:
    """Record how the call of `begin` ended."""
    if effect.operation == "reconcile":
        return finish_reconcile(state, effect, place, invocation, outcome)
    if invocation.undo:
        return finish_undo(state, effect, place, invocation, outcome)
    return _finish_apply(state, effect, place, invocation, outcome)


def connector_of(state: State, effect: Effect, policy: Policy) -> str:
    """The connector that `effect` will call, "" if none: it decides whose turn must be awaited."""
    if effect.operation == "reconcile":
        return str(effect.inputs["connector"])
    if effect.operation != "apply":
        lease = read_lease(state, effect.verb, effect.target)
        return lease.connector if lease else ""
    route = policy.routes.get(effect.verb)
    return route.connector if route else ""


def _begin_apply(
    state: State, effect: Effect, place: Place, policy: Policy, windows: Sequence[State]
) -> Step:
    effect = effect.model_copy(update={"mode": guards.effective_mode(effect, policy.mode)})
    before = read_effect(state, effect.id)
    if (step := answered(before, effect, place)) is not None:
        return step
    route = policy.routes.get(effect.verb)
    if route is None:
        reason = f"no connector is bound to {effect.verb}; set response.bindings.{effect.verb}"
        return end(state, effect, place, EffectStatus.FAILED, failure=_invalid(reason))
    try:
        checked = route.action.inputs.model_validate(effect.inputs).model_dump(mode="json")
    except ValidationError as error:
        return end(state, effect, place, EffectStatus.FAILED, failure=_invalid(_mistakes(error)))
    effect = effect.model_copy(update={"inputs": checked})
    resumed = _resumed(before)
    if resumed and route.action.idempotence is Idempotence.NONE:
        records = _in_doubt(state, effect, place, route)
        return _after(records, _unknown(state, effect, place, route))
    verdicts = tuple(guards.evaluate(effect, route.action, policy.site, windows, place.now))
    imagined = _only_imagined(effect, route.action, policy)
    refused = not guards.allowed(verdicts)
    records = _in_doubt(state, effect, place, route) if resumed and (refused or imagined) else []
    if refused:
        status = EffectStatus.REFUSED
        step = end(state, effect, place, status, route=route, verdicts=verdicts)
        return _after(records, step)
    inputs = {**checked, route.action.target: effect.target}
    change = _leased(state, effect, route, inputs, place.now)
    if imagined:
        return _after(records, _imagined(state, effect, place, route, change, verdicts))
    if change.todo is Todo.JOIN and change.lease is not None:
        return _joined(state, effect, place, route, change.lease, verdicts)
    guards.count(effect, policy.site, state, place.now)
    return _call(state, effect, place, route, inputs, change, verdicts, resumed)


def _after(records: list[Outgoing], step: Step) -> Step:
    step.outputs[:0] = records
    return step


def _resumed(before: dict[str, Any] | None) -> bool:
    """Whether an earlier call may have happened: it started and no answer was recorded.

    The same attempt then was cut off by a crash; a later one follows an ambiguous failure.
    """
    if before is None:
        return False
    return bool(before["ambiguous"]) or before["result"] is None


def _leased(
    state: State, effect: Effect, route: Route, inputs: dict[str, Any], now: int
) -> leases.Change:
    if effect.hold is None or not route.action.reversible:
        return leases.Change(None, Todo.CALL)
    request = leases.Apply(
        verb=effect.verb,
        target=effect.target,
        connector=route.connector,
        run_id=effect.run_id,
        hold=effect.hold,
        at=now,
        native_ttl=route.action.native_ttl,
        undo_inputs=inputs,
    )
    return leases.reduce(read_lease(state, effect.verb, effect.target), request)


def _only_imagined(effect: Effect, action: Action, policy: Policy) -> bool:
    """Whether a dry run stops here: reading and reporting are real, telling people is chosen."""
    if effect.mode is not Mode.DRY_RUN or action.action_class is ActionClass.READ:
        return False
    if action.action_class is ActionClass.NOTIFY:
        return not (action.entity is EntityKind.CASE or policy.notify_in_dry_run)
    return True


def _imagined(
    state: State,
    effect: Effect,
    place: Place,
    route: Route,
    change: leases.Change,
    verdicts: tuple[Verdict, ...],
) -> Step:
    output: dict[str, Any] = {
        "would": change.todo.value,
        "connector": route.connector,
        "inputs": effect.inputs,
    }
    if change.lease is not None:
        output["expires"] = change.lease.expires
    return end(
        state, effect, place, EffectStatus.DRY_RUN, route=route, output=output, verdicts=verdicts
    )


def _in_doubt(state: State, effect: Effect, place: Place, route: Route) -> list[Outgoing]:
    """A lease for a call that may have happened and will not be made again: it must be undone."""
    inputs = {**effect.inputs, route.action.target: effect.target}
    change = _leased(state, effect, route, inputs, place.now)
    if change.lease is None or change.todo is not Todo.CALL:
        return []
    lease = leases.unconfirmed(change.lease, place.now)
    return store_lease(state, lease, "unconfirmed", [effect.run_id], place)


def _joined(
    state: State,
    effect: Effect,
    place: Place,
    route: Route,
    lease: Lease,
    verdicts: tuple[Verdict, ...],
) -> Step:
    records = store_lease(state, lease, "joined", [effect.run_id], place)
    step = end(
        state,
        effect,
        place,
        EffectStatus.OK,
        route=route,
        output=lease.proof,
        lease=lease,
        verdicts=verdicts,
    )
    return _after(records, step)


def _unknown(state: State, effect: Effect, place: Place, route: Route) -> Step:
    """A call that cannot be repeated safely was cut off: a person must look."""
    message = (
        f"{effect.verb} on {effect.target} was started and no answer was recorded; it cannot be "
        "repeated safely. Look at the product, then cancel the run or ask for it again"
    )
    failure = Failure(kind="internal", message=message)
    step = end(
        state,
        effect,
        place,
        EffectStatus.UNKNOWN,
        route=route,
        failure=failure,
        lease=read_lease(state, effect.verb, effect.target),
        ambiguous=True,
    )
    step.alarm = message
    return step


def _call(
    state: State,
    effect: Effect,
    place: Place,
    route: Route,
    inputs: dict[str, Any],
    change: leases.Change,
    verdicts: tuple[Verdict, ...],
    resumed: bool,
) -> Step:
    ttl = None
    if change.lease is not None and change.lease.ask is None and route.action.native_ttl:
        ttl = change.lease.expires - place.now + NATIVE_TTL_MARGIN
    call = Call(
        verb=effect.verb,
        target=effect.target,
        inputs=inputs,
        key=effect.id,
        timeout=effect.timeout,
        ttl=ttl,
        context={"run_id": effect.run_id, "alert_id": effect.alert_id, "step": effect.step},
    )
    invocation = Invocation(
        connector=route.connector,
        call=call,
        idempotence=route.action.idempotence,
        started=place.now,
        resumed=resumed,
        lease=change.lease,
        change="extended" if change.todo is Todo.EXTEND else "opened",
        inquiry=effect.inquiry,
        verdicts=verdicts,
    )
    keep_effect(state, effect.id, kept(effect, place, None, ambiguous=resumed))
    return Step([audited(state, place, "effect.started", told(effect, route))], invocation)


def _finish_apply(
    state: State, effect: Effect, place: Place, invocation: Invocation, outcome: Outcome
) -> Step:
    candidate = invocation.lease
    ambiguous = outcome.failure is not None and (outcome.after_send or invocation.resumed)
    lease, change = None, invocation.change
    if candidate is not None and outcome.failure is None:
        lease = leases.confirmed(candidate, outcome.output, place.now)
    elif candidate is not None and ambiguous:
        lease, change = leases.unconfirmed(candidate, place.now), "unconfirmed"
    records = store_lease(state, lease, change, [effect.run_id], place) if lease else []
    status = EffectStatus.OK if outcome.failure is None else EffectStatus.FAILED
    if ambiguous and invocation.idempotence is Idempotence.NONE:
        status = EffectStatus.UNKNOWN
    step = end(
        state,
        effect,
        place,
        status,
        connector=invocation.connector,
        started=invocation.started,
        output=outcome.output,
        failure=outcome.failure,
        lease=lease,
        verdicts=invocation.verdicts,
        ambiguous=ambiguous,
    )
    return _after(records, step)


def _invalid(message: str) -> Failure:
    return Failure(kind="invalid", message=message)


def _mistakes(error: ValidationError) -> str:
    """Where the inputs are wrong, without their values."""
    found = (
        f"{'.'.join(str(part) for part in each['loc']) or 'inputs'}: {each['msg']}"
        for each in error.errors(include_input=False, include_url=False)
    )
    return "; ".join(found)
