"""Between the act stage's records and its decisions: effects read, changes applied, counted."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from pydantic import ValidationError

from playbooks.act_model import Place, Policy, Step
from playbooks.act_partition import Partition, Work
from playbooks.act_records import LEASE, failed, returned
from playbooks.leases import lease_id
from responders.base import ActionClass
from tocsin.contracts import Effect, Failure, Topics
from tocsin.deadletters import dead_letters
from tocsin.log.base import Outgoing
from tocsin.state import raw

if TYPE_CHECKING:
    from collections.abc import Callable

    from playbooks.act_keeping import Keeping
    from tocsin.log.base import Record
    from tocsin.stage import Batch
    from tocsin.state import KeyedState

_log = logging.getLogger(__name__)

#: The stage's name.
NAME = "act"

#: Largest record that is read as an effect, bytes.
MAX_EFFECT = 1024 * 1024


class Write:
    """A change of a partition's state that waits for the writer."""

    __slots__ = ("change", "done", "partition", "work")

    def __init__(
        self, partition: Partition, work: Work, change: Callable[[KeyedState, Place], Step]
    ) -> None:
        self.partition = partition
        self.work = work
        self.change = change
        self.done: asyncio.Future[Step] = asyncio.get_running_loop().create_future()


def lane_of(work: Work, policy: Policy) -> str:
    """What the work waits its turn with: everything that changes its target.

    A look-up changes nothing and has a lane of its own by verb: one that hangs keeps neither the
    others of a `parallel` nor the containment of the same address waiting.
    """
    if (effect := work.effect) is None:
        return ""
    route = policy.routes.get(effect.verb) if effect.operation == "apply" else None
    if route is None or route.action.action_class is not ActionClass.READ:
        return effect.target
    return f"{effect.verb}\0{effect.target}"


def read(record: Record) -> Work:
    """A record of `effects` as work; what is no effect says why."""
    if len(record.value) > MAX_EFFECT:
        return Work(record, None, f"{len(record.value)} bytes, an effect has at most {MAX_EFFECT}")
    try:
        return Work(record, Effect.decode(record.value))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        return Work(record, None, f"{'.'.join(str(key) for key in first['loc'])}: {first['msg']}")
    except ValueError as error:
        return Work(record, None, str(error))


def apply(write: Write, state: KeyedState, place: Place, keeping: Keeping) -> Step:
    """Decide; a defect ends this effect with a failure and a dead letter, and no other."""
    state.savepoint()
    effect = write.work.effect
    lease = raw(state, LEASE + lease_id(effect.verb, effect.target)) if effect else None
    try:
        step = write.change(state, place)
        if effect is not None:
            keeping.noted(effect, lease)
        return step
    except Exception as error:
        state.rollback()
        record = write.work.record
        _log.exception("%s: %s could not be decided and is dead-lettered", NAME, record.position)
        reason = f"{type(error).__name__}: {error}"
        step = Step(dead_letters(NAME, record, "internal", reason, place.now), dead="internal")
        if effect is not None and effect.run_id:
            failure = Failure(kind="internal", message="the act stage has a defect; see the log")
            result = failed(effect, failure, place.now)
            step.outputs.append(returned(result, place.now))
        return step


def book(batch: Batch, step: Step) -> None:
    """Count what became of one effect."""
    batch.outputs.extend(step.outputs)
    if step.dead:
        batch.dead[step.dead] += 1
    elif step.filtered:
        batch.filtered[step.filtered] += 1
    else:
        batch.sent += 1


def expiry_record(effect: Effect, partition: int, now: int) -> Outgoing:
    """The record that has the end of a lease looked at, in the partition that keeps it."""
    return Outgoing(
        Topics.EFFECTS,
        effect.encode(),
        key=effect.target.encode(),
        timestamp=now,
        partition=partition,
    )
