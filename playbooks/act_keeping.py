"""What time does to the state of one partition of `effects`: leases come due, what is done fades.

Soon after its end an effect is kept in short (its answer, as one that comes again must get it),
after a retention nothing is kept of it or of a released lease. What is to be looked at, and when,
is noted as it is written, so nobody goes through the whole state each second: it holds every
address that is blocked. All of this is a hint; the state decides.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from playbooks import guards, leases
from playbooks.act_model import RETENTION
from playbooks.act_records import (
    EFFECT,
    LEASE,
    effect_ended,
    forget_old,
    shrink_effect,
    shrink_lease,
)
from playbooks.act_undo import expiry
from playbooks.ended import KEPT_WHOLE, Agenda, forgotten_at, shrinks_at
from tocsin.contracts import Lease, LeaseState
from tocsin.state import raw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.contracts import Effect
    from tocsin.state import State


class Keeping:
    """The hints of one partition, made from its state."""

    def __init__(self, state: State, kept_whole: int = KEPT_WHOLE) -> None:
        """`kept_whole` is how long an answered effect is kept as it is, ms."""
        self.state = state
        self._kept_whole = kept_whole
        self._leases: list[tuple[int, str]] = []
        self._shrinking, self._forgetting = Agenda(), Agenda()
        for key in state:
            self._note(key)
        heapify(self._leases)

    def noted(self, effect: Effect, before: bytes | None) -> None:
        """Note what a step on an effect has changed; `before` is the lease as it was."""
        self._note(EFFECT + effect.id)
        key = LEASE + leases.lease_id(effect.verb, effect.target)
        if raw(self.state, key) != before:
            self._note(key)

    def _note(self, key: str) -> None:
        if key.startswith(EFFECT):
            if (ended := effect_ended(self.state, key)) is not None:
                self._shrinking.add(key, shrinks_at(ended, self._kept_whole))
        elif key.startswith(LEASE) and (kept := raw(self.state, key)) is not None:
            lease = Lease.model_validate_json(kept)
            if lease.state is LeaseState.RELEASED:
                self._shrinking.add(key, shrinks_at(lease.changed, self._kept_whole))
            elif (when := leases.due(lease)) is not None:
                heappush(self._leases, (when, key))

    def sweep(self, committed: int, now: int) -> None:
        """Shrink what ended a while ago, forget what cannot come again (`committed` offset)."""
        for key in self._shrinking.due(now):
            shrink = shrink_lease if key.startswith(LEASE) else shrink_effect
            if (ended := shrink(self.state, key)) is not None:
                self._forgetting.add(key, forgotten_at(ended))
        for key in list(self._forgetting.due(now)):
            if (again := forget_old(self.state, key, committed, now - RETENTION)) is not None:
                self._forgetting.add(key, max(forgotten_at(again), now + 1))

    def prune_rates(self, now: int) -> None:
        """Forget windows of rates that nothing counts in any more."""
        guards.prune_rates(self.state, now, RETENTION)

    def due(self, now: int) -> list[Effect]:
        """Ends of leases that time has made due, as effects on their targets; until they are."""
        found = dict(self._due(now))
        for key, (when, _) in found.items():
            heappush(self._leases, (when, key))
        return [effect for _, effect in found.values()]

    def _due(self, now: int) -> Iterator[tuple[str, tuple[int, Effect]]]:
        while self._leases and self._leases[0][0] <= now:
            when, key = heappop(self._leases)
            if (kept := raw(self.state, key)) is None:
                continue
            lease = Lease.model_validate_json(kept)
            if leases.due(lease) == when:
                yield key, (when, expiry(lease, now))
