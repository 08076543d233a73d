"""From a step to an effect: inputs evaluated and validated, target canonical, retries timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from playbooks.bounds import MAX_OUTPUT, size
from playbooks.expiring import RELEASE
from playbooks.model_guards import DAYS, minutes
from playbooks.program import CASE_INPUTS, supplied_inputs
from playbooks.targets import canonical_target
from responders.base import EntityKind
from tocsin import contracts
from tocsin.errors import ExpressionError, NoValue
from tocsin.expressions import Expression
from tocsin.ids import digest, effect_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from playbooks import model
    from playbooks.program import ActionStep
    from playbooks.run_state import RunState
    from tocsin.contracts import Asked, Effect, Failure, Mode

#: Largest inputs of an action, bytes of JSON (what the engine adds to a report not counted).
MAX_INPUTS = MAX_OUTPUT


class Unable(ValueError):
    """The step cannot ask for its effect; the message says why, for the record."""

    #: Kind of the failure: `invalid` is the playbook's own fault, `target` that of an alert.
    kind: ClassVar[str] = "invalid"


class Unreadable(Unable):
    """What an alert brought is no target: a hostile alert, which says nothing of the playbook."""

    kind: ClassVar[str] = "target"


class Lacking(Unable):
    """An input reads what is not there in this alert or answer, which says nothing of others."""

    kind: ClassVar[str] = NoValue.code


@dataclass(frozen=True, slots=True)
class Prepared:
    """Validated inputs and the canonical target; `case` if the engine adds the run to them."""

    inputs: dict[str, Any]
    target: str
    case: bool


def prepare(step: ActionStep, seen: Mapping[str, Any], run_id: str) -> Prepared:
    """Evaluate a step's inputs against what expressions see. Raises Unable."""
    action = step.action
    if action is None:
        raise Unable(f"no connector serves {step.spec.action}")
    try:
        inputs = evaluated(step.inputs, seen)
    except NoValue as error:
        raise Lacking(f"an input cannot be evaluated: {error}") from None
    except ExpressionError as error:
        raise Unable(f"an input cannot be evaluated: {error}") from None
    supplied = set(supplied_inputs(action))
    if action.target in supplied:
        inputs.setdefault(action.target, run_id)
    added: dict[str, Any] = {name: {} for name in CASE_INPUTS if name in supplied}
    if (length := size(inputs)) > MAX_INPUTS:
        raise Unable(f"the inputs have {length} bytes of JSON, more than {MAX_INPUTS}")
    try:
        validated = action.inputs.model_validate({**inputs, **added})
        target = canonical_target(action.entity, getattr(validated, action.target))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
            for detail in error.errors(include_url=False, include_input=False)
        )
        raise Unable(f"{action.verb} does not take these inputs: {problems}") from None
    except ValueError as error:
        raise Unreadable(str(error)) from None
    case = action.entity is EntityKind.CASE and bool(added)
    return Prepared(validated.model_dump(mode="json"), target, case)


def evaluated(inputs: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs with a value in the place of each expression. Raises ExpressionError."""
    return {name: _evaluated(value, seen) for name, value in inputs.items()}


def _evaluated(value: Any, seen: Mapping[str, Any]) -> Any:
    match value:
        case Expression():
            return value.evaluate(seen)
        case dict():
            return {name: _evaluated(item, seen) for name, item in value.items()}
        case list():
            return [_evaluated(item, seen) for item in value]
        case _:
            return value


def make_effect(
    state: RunState,
    step: ActionStep,
    prepared: Prepared,
    mode: Mode,
    at: int,
    ask: Asked | None = None,
) -> Effect:
    """The effect of a step's first attempt; `ask` says who decides where time does not."""
    spec = step.spec
    if spec.action == RELEASE:
        return _release(state, step, prepared, mode, at)
    return contracts.Effect(
        id=effect_id(state.run_id, step.path, "", state.epoch),
        run_id=state.run_id,
        alert_id=state.alert_id,
        playbook=state.playbook,
        step=step.path,
        verb=spec.action,
        target=prepared.target,
        inputs=prepared.inputs,
        hold=_hold(spec.hold, ask),
        guard=_guard(spec.guard),
        timeout=spec.timeout,
        mode=mode,
        requested=at,
        epoch=state.epoch,
    )


def _release(state: RunState, step: ActionStep, prepared: Prepared, mode: Mode, at: int) -> Effect:
    """The effect that ends a containment for all who hold it; never a dry run: it is in force."""
    return contracts.Effect(
        id=effect_id(state.run_id, step.path, "", state.epoch),
        operation="release",
        run_id=state.run_id,
        alert_id=state.alert_id,
        playbook=state.playbook,
        step=step.path,
        verb=prepared.inputs["verb"],
        target=prepared.target,
        inputs={"scope": "all", "generation": prepared.inputs["generation"]},
        timeout=step.spec.timeout,
        mode=mode,
        requested=at,
    )


def release_effect(state: RunState, path: str, timeout: int, mode: Mode, at: int) -> Effect:
    """The effect that gives up what the run holds through a step."""
    held = state.step(path)
    return contracts.Effect(
        id=digest("release", held.effect_id),
        operation="release",
        run_id=state.run_id,
        alert_id=state.alert_id,
        playbook=state.playbook,
        step=path,
        verb=held.verb,
        target=held.target,
        timeout=timeout,
        mode=mode,
        requested=at,
    )


def _hold(hold: model.Hold | None, ask: Asked | None) -> contracts.Hold | None:
    if hold is None:
        return None
    return contracts.Hold(
        ttl=hold.ttl,
        max=hold.ttl if hold.max is None else hold.max,
        extend_on_repeat=hold.extend_on_repeat,
        on_expiry=hold.on_expiry,
        ask=ask,
    )


def _guard(guard: model.Guard) -> contracts.Guard:
    rate, share, quiet = guard.rate, guard.max_percent, guard.quiet_hours
    return contracts.Guard(
        never=guard.never,
        rate=None
        if rate is None
        else contracts.Rate(max=rate.max, per=rate.per, exceed=rate.exceed),
        share=None
        if share is None
        else contracts.Share(percent=share.percent, of=share.of, exceed=share.exceed),
        quiet=() if quiet is None else (quiet_of(quiet),),
    )


def quiet_of(quiet: model.Quiet) -> contracts.Quiet:
    """Quiet hours as effects carry them."""
    return contracts.Quiet(
        since=minutes(quiet.since),
        until=minutes(quiet.until),
        days=tuple(DAYS.index(day) for day in quiet.days),
        zone=quiet.zone,
        exceed=quiet.exceed,
    )


def retry_delay(retry: model.Retry, effect: str, attempt: int, failure: Failure) -> int:
    """Ms to wait after failed attempt number `attempt`; never less than the product asked for.

    Jitter takes off up to half, by a number that the effect and attempt determine, so that a
    replay waits exactly as long.
    """
    growth = 2 ** (attempt - 1) if retry.backoff == "exponential" else 1
    delay = min(retry.initial * growth, max(retry.cap, retry.initial))
    if retry.jitter:
        fraction = int(digest("jitter", effect, attempt)[:8], 16) / 0xFFFFFFFF
        delay -= int(delay / 2 * fraction)
    return max(delay, failure.retry_after or 0, 1)
