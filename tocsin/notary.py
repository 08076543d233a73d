"""The notary: reads the audit and signs, each minute, what is new in each of its chains.

Beside the stages because time alone makes a root due, and making one changes its state: stretch,
root and offset become durable together. It signs no entry that is not intact or does not follow
the one before; such an entry is an alarm, and the stretch begins anew behind it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tocsin import audit
from tocsin.audit_roots import CHAINS, KIND, MAX_LEAVES, root_body
from tocsin.contracts import AuditEntry, Topics
from tocsin.log.base import Completion, Outgoing
from tocsin.runtime import Runner
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.audit_keys import Signer
    from tocsin.clock import Clock
    from tocsin.log.base import Log, Record, Subscription
    from tocsin.metrics import Metrics
    from tocsin.state import KeyedState

logger = logging.getLogger(__name__)

NAME = "notary"
_STRETCH, _HEAD = "stretch/", "head"


class Notary(Runner):
    """Topic AUDIT to AUDIT; `every` is ms."""

    stateful = True

    def __init__(
        self, signer: Signer, log: Log, *, every: int, clock: Clock, metrics: Metrics
    ) -> None:
        super().__init__(NAME, Topics.AUDIT, log, clock=clock, metrics=metrics)
        self._signer = signer
        self._every = every

    async def _process(self, records: Sequence[Record], state: KeyedState | None) -> Batch:
        batch = Batch()
        if state is None:
            raise ValueError("the notary needs its state")
        for record in records:
            self._take(record, state, batch)
        return batch

    async def _tick(self, subscription: Subscription) -> None:
        now = self._clock.now()
        work = []
        for at in sorted(subscription.assignment):
            state = subscription.state(at.partition)
            due = [
                key
                for key in state
                if key.startswith(_STRETCH)
                and state[key]["since"] // self._every < now // self._every
            ]
            if due:
                roots = [self._signed(state, key, at.partition, now) for key in sorted(due)]
                work.append(Completion(at, None, roots, state))
        if work:
            await subscription.complete(work)

    def _take(self, record: Record, state: KeyedState, batch: Batch) -> None:
        try:
            entry = AuditEntry.decode(record.value)
        except ValueError:
            self._alarm(record, "it is no audit entry", batch)
            return
        if entry.chain.startswith(CHAINS):
            batch.filtered["root"] += 1
            return
        key, now = _STRETCH + entry.chain, self._clock.now()
        if not audit.is_intact(entry):
            self._alarm(record, "its content does not give its hash", batch)
            return
        head = state.get(_HEAD + entry.chain)
        if head is not None and entry.seq <= head["seq"]:
            batch.filtered["seen"] += 1
            return
        expected = audit.GENESIS if head is None else head["hash"]
        if entry.previous != expected:
            # The chain goes on from what was found: the gap is in the roots for ever.
            self._metrics.error(NAME, "audit_chain")
            logger.error("%s: %s does not follow what was signed before", NAME, record.position)
            if key in state:
                batch.outputs.append(self._signed(state, key, record.partition, now))
        stretch: dict[str, Any] = state.get(key) or {"first": entry.seq, "since": now, "hashes": []}
        state[key] = {**stretch, "hashes": [*stretch["hashes"], entry.hash]}
        state[_HEAD + entry.chain] = audit.Head(seq=entry.seq, hash=entry.hash)
        batch.sent += 1
        if len(state[key]["hashes"]) >= MAX_LEAVES:
            batch.outputs.append(self._signed(state, key, record.partition, now))

    def _signed(self, state: KeyedState, key: str, partition: int, now: int) -> Outgoing:
        """The root of a stretch, which ends with it."""
        stretch, name = state.pop(key), f"{CHAINS}{partition}"
        chain = key.removeprefix(_STRETCH)
        body = root_body(chain, stretch["first"], stretch["hashes"], now, self._signer)
        entry, head = audit.append(state.get(_HEAD + name), name, KIND, body, now)
        state[_HEAD + name] = head
        return Outgoing(Topics.AUDIT, entry.encode(), key=name.encode(), timestamp=now)

    def _alarm(self, record: Record, why: str, batch: Batch) -> None:
        self._metrics.error(NAME, "audit_entry")
        batch.filtered["not_intact"] += 1
        logger.error("%s: %s is not signed: %s", NAME, record.position, why)
