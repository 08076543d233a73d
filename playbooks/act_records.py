"""What the act stage keeps and tells: effects and leases in its state, results, run events, audit.

The state holds under `effect/ID` the last attempt of each effect and its result, under
`lease/ID` each lease, under `rate/…` windows of the guards, under `audit` the chain's head.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from playbooks import leases
from playbooks.act_model import Place, Route, Step
from tocsin import audit
from tocsin.contracts import (
    Effect,
    EffectStatus,
    Failure,
    Lease,
    LeaseState,
    Result,
    Returned,
    RunEvent,
    Topics,
    Verdict,
)
from tocsin.ids import canonical_json, content_hash, digest
from tocsin.log.base import Outgoing
from tocsin.state import peek, put, raw

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tocsin.state import State


#: Largest answer that travels in a result, bytes; of a larger one only the hash does.
MAX_OUTPUT = 64 * 1024

#: `seq` of run events that the act stage adds: the run itself counts its own from 0.
OUTSIDE_RUN = -1


EFFECT, LEASE, _AUDIT = "effect/", "lease/", "audit"


def read_lease(state: State, verb: str, target: str) -> Lease | None:
    """The lease of a verb on a target."""
    stored = raw(state, LEASE + leases.lease_id(verb, target))
    return Lease.model_validate_json(stored) if stored is not None else None


def read_effect(state: State, effect_id: str) -> dict[str, Any] | None:
    """What is kept of an effect's last attempt."""
    stored = raw(state, EFFECT + effect_id)
    return None if stored is None else orjson.loads(stored)


def keep_effect(state: State, effect_id: str, kept: dict[str, Any]) -> None:
    """Store what is kept of an effect, as JSON: a fifth of what objects take."""
    put(state, EFFECT + effect_id, orjson.dumps(kept))


def effect_ended(state: State, key: str) -> int | None:
    """When the effect under `key` got its answer, None if it has none."""
    kept = read_effect(state, key.removeprefix(EFFECT))
    return kept["at"] if kept and kept["result"] else None


#: What is kept of an answer for long: what one that comes again is told.
_ANSWER = ("status", "failure")


def shrink_effect(state: State, key: str) -> int | None:
    """Keep an answered effect in short; returns when it was answered, None if it was not.

    Its run has heard the whole answer: that stands before any repeated one in the log.
    """
    effect_id = key.removeprefix(EFFECT)
    kept = read_effect(state, effect_id)
    if kept is None or not kept["result"]:
        return None
    short = {name: kept["result"][name] for name in _ANSWER if name in kept["result"]}
    keep_effect(state, effect_id, {**kept, "result": short})
    at: int = kept["at"]
    return at


def shrink_lease(state: State, key: str) -> int | None:
    """Keep a released lease in short: its version and generation, for when it is opened again.

    Returns when it was released, None if it is in force.
    """
    stored = raw(state, key)
    lease = None if stored is None else Lease.model_validate_json(stored)
    if lease is None or lease.state is not LeaseState.RELEASED:
        return None
    short = lease.model_copy(update={"holders": (), "proof": {}, "undo_inputs": {}})
    put(state, key, short.model_dump_json(exclude_none=True, exclude_defaults=True).encode())
    return lease.changed


def forget_old(state: State, key: str, committed: int, before: int) -> int | None:
    """Delete what ended before then and cannot be delivered again (`committed` offset).

    Returns when it ended if it is kept all the same.
    """
    if key not in state:
        return None
    kept = peek(state, key)
    if key.startswith(LEASE):
        gone, at = kept["state"] == LeaseState.RELEASED, kept["changed"]
    else:
        gone, at = bool(kept["result"]) and kept["offset"] < committed, kept["at"]
    if not gone or at >= before:
        return int(at)
    del state[key]
    return None


def answered(before: dict[str, Any] | None, effect: Effect, place: Place) -> Step | None:
    """An effect that has its answer gets the same again; None if it has none."""
    if before is None:
        return None
    if effect.attempt < before["attempt"]:
        return Step(filtered="stale_attempt")
    if before["result"] is None:
        return None
    result = Result.model_validate({**_asked(effect, before), **before["result"]})
    if effect.attempt > before["attempt"]:
        if result.status is not EffectStatus.OK:
            return None
        result = result.model_copy(update={"attempt": effect.attempt})
    if effect.inquiry is not None:
        return Step([_notified(effect, result)], result=result)
    outputs = [returned(result, place.now)] if result.run_id else []
    return Step(outputs, result=result)


def _asked(effect: Effect, before: dict[str, Any]) -> dict[str, Any]:
    """What an answer that was kept in short does not say."""
    return {
        "effect_id": effect.id,
        "run_id": effect.run_id,
        "step": effect.step,
        "item": effect.item,
        "attempt": before["attempt"],
        "started": before["at"],
        "at": before["at"],
    }


def bounded(output: dict[str, Any]) -> dict[str, Any]:
    """The output, or its size and hash where it is too large to travel in a result.

    Raises TypeError if it is no JSON.
    """
    data = canonical_json(output)
    if len(data) <= MAX_OUTPUT:
        return output
    return {"oversized": True, "bytes": len(data), "sha256": sha256(data).hexdigest()}


def failed(effect: Effect, failure: Failure, now: int) -> Result:
    """The result of an effect that could not even be decided on."""
    return Result(
        effect_id=effect.id,
        run_id=effect.run_id,
        step=effect.step,
        item=effect.item,
        attempt=effect.attempt,
        status=EffectStatus.FAILED,
        failure=failure,
        started=now,
        at=now,
    )


def end(
    state: State,
    effect: Effect,
    place: Place,
    status: EffectStatus,
    *,
    route: Route | None = None,
    connector: str = "",
    started: int | None = None,
    output: dict[str, Any] | None = None,
    failure: Failure | None = None,
    lease: Lease | None = None,
    verdicts: tuple[Verdict, ...] = (),
    ambiguous: bool = False,
) -> Step:
    """Record the result of an effect and tell its run and the audit."""
    result = Result(
        effect_id=effect.id,
        run_id=effect.run_id,
        step=effect.step,
        item=effect.item,
        attempt=effect.attempt,
        status=status,
        output=bounded(output or {}),
        failure=failure,
        verdicts=verdicts,
        lease=lease,
        connector=route.connector if route else connector,
        started=place.now if started is None else started,
        at=place.now,
    )
    keep_effect(state, effect.id, kept(effect, place, result, ambiguous=ambiguous))
    body = {
        **told(effect, route),
        "connector": result.connector,
        "status": status.value,
        "failure": failure.model_dump(mode="json", exclude_none=True) if failure else {},
        "verdicts": [verdict.model_dump(mode="json") for verdict in verdicts],
        "output_hash": content_hash(result.output),
    }
    outputs = [audited(state, place, f"effect.{status.value}", body)]
    if effect.inquiry is not None:
        outputs.append(_notified(effect, result))
    elif effect.run_id:
        outputs.append(returned(result, place.now))
    return Step(outputs, result=result)


def kept(
    effect: Effect, place: Place, result: Result | None, *, ambiguous: bool = False
) -> dict[str, Any]:
    return {
        "attempt": effect.attempt,
        "at": place.now,
        "offset": place.offset,
        "ambiguous": ambiguous,
        "result": result.model_dump(mode="json", exclude_none=True) if result else None,
    }


def told(effect: Effect, route: Route | None) -> dict[str, Any]:
    """What the audit is told of an effect; inputs by hash, they may hold a whole alert."""
    return {
        "effect": effect.id,
        "operation": effect.operation,
        "run": effect.run_id,
        "playbook": effect.playbook,
        "step": effect.step,
        "attempt": effect.attempt,
        "verb": effect.verb,
        "target": effect.target,
        "mode": effect.mode.value,
        "connector": route.connector if route else "",
        "inputs_hash": content_hash(effect.inputs),
    }


def store_lease(
    state: State, lease: Lease, change: str, runs: Iterable[str], place: Place
) -> list[Outgoing]:
    """Keep the lease, and tell the audit and each run that is concerned."""
    stored = lease.model_dump(mode="json", exclude_none=True)
    put(state, LEASE + lease.id, orjson.dumps(stored))
    data = {"change": change, "lease": stored}
    records = [audited(state, place, "lease", data)]
    for run in sorted(set(runs) - {""}):
        event = RunEvent(
            id=digest("lease-event", lease.id, lease.changed, run),
            run_id=run,
            seq=OUTSIDE_RUN,
            at=place.now,
            kind="lease",
            data=data,
        )
        records.append(Outgoing(Topics.RUNS, event.encode(), key=run.encode(), timestamp=place.now))
    return records


def _notified(effect: Effect, result: Result) -> Outgoing:
    """What the run is told of a message about one of its questions."""
    failure = result.failure
    event = RunEvent(
        id=digest("notified", effect.id, effect.attempt),
        run_id=effect.run_id,
        seq=OUTSIDE_RUN,
        at=result.at,
        kind="notified",
        step=effect.step,
        data={
            "effect": effect.id,
            "attempt": effect.attempt,
            "verb": effect.verb,
            "target": effect.target,
            "status": result.status.value,
            **({"failure": failure.model_dump(mode="json", exclude_none=True)} if failure else {}),
        },
    )
    key = effect.run_id.encode()
    return Outgoing(Topics.RUNS, event.encode(), key=key, timestamp=result.at)


def runs_of(lease: Lease) -> list[str]:
    return [holder.run_id for holder in lease.holders]


def audited(state: State, place: Place, kind: str, body: dict[str, Any]) -> Outgoing:
    chain = f"act-{place.partition}"
    entry, head = audit.append(state.get(_AUDIT), chain, kind, body, place.now)
    state[_AUDIT] = head
    return Outgoing(Topics.AUDIT, entry.encode(), key=chain.encode(), timestamp=place.now)


def returned(result: Result, now: int) -> Outgoing:
    command = Returned(run_id=result.run_id, result=result, at=now)
    return Outgoing(Topics.COMMANDS, command.encode(), key=result.run_id.encode(), timestamp=now)
