"""Asking products what they have in force, in turn with the calls that change it.

Only products that can list (`responders.base.Listing`) are asked, and only verbs that contain. A
product that does not answer is counted and asked again at the next look: nothing is concluded
from silence.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from playbooks.reconcile import TIMEOUT, drifts, observations
from responders.base import ActionClass, Listing
from tocsin.contracts import Topics
from tocsin.errors import ConnectorError
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from responders.base import Connector
    from tocsin.clock import Clock
    from tocsin.contracts import Effect
    from tocsin.log.base import Log, Subscription
    from tocsin.metrics import Metrics
    from tocsin.state import State

_log = logging.getLogger(__name__)

#: The stage that errors are booked under, and their code.
_STAGE, _FAILED = "act", "reconcile"

#: Seconds between two looks at whether there are partitions to reconcile.
PAUSE = 0.5


def listings(connectors: Mapping[str, Connector]) -> list[tuple[str, str, Listing]]:
    """What can be compared: connector, verb, and whom to ask."""
    return [
        (name, action.verb, connector)
        for name, connector in sorted(connectors.items())
        if isinstance(connector, Listing)
        for action in connector.manifest.actions
        if action.action_class is ActionClass.CONTAIN and action.reversible
    ]


class Reconciler:
    """Looks at all products that can list; what it finds is for the act stage to judge."""

    def __init__(
        self,
        connectors: Mapping[str, Connector],
        slot: Callable[[str], asyncio.Semaphore],
        clock: Clock,
        metrics: Metrics,
        *,
        every: int,
    ) -> None:
        """`slot` gives the semaphore that bounds a connector's calls; `every` is ms, 0 never."""
        self._every = every / 1000
        self._next = 0.0
        self._listings = listings(connectors)
        self._slot = slot
        self._clock = clock
        self._metrics = metrics
        self._silent: set[str] = set()

    async def run(self, log: Log, subscription: Subscription) -> None:
        """Look each period while the subscription lasts; raises LogError as the log does.

        One worker of all asks about targets of which it holds no lease: who owns partition 0.
        """
        while self._every and self._listings:
            await asyncio.sleep(max(PAUSE, self._next - time.monotonic()))
            if not subscription.assignment or time.monotonic() < self._next:
                continue
            found = await self.look(
                lambda: _states(subscription), orphans=lambda: _asks_for_all(subscription)
            )
            if found:
                await log.append([_record(effect) for effect in found])
            self._next = time.monotonic() + self._every

    async def look(
        self, states: Callable[[], Iterable[State]], *, orphans: Callable[[], bool]
    ) -> list[Effect]:
        """Ask everyone once: what is to be judged, in the order of the products.

        `states` are this worker's partitions, `orphans` whether it is the one that asks about
        targets which it holds no lease of; both are asked when a product has answered.
        """
        found: list[Effect] = []
        for name, verb, product in self._listings:
            seen = self._clock.now()
            try:
                async with self._slot(name), asyncio.timeout(TIMEOUT / 1000):
                    held = await product.held(verb, TIMEOUT)
            except (ConnectorError, TimeoutError) as error:
                self._unanswered(name, error)
                continue
            self._silent.discard(name)
            found += observations(states(), name, verb, held, seen, orphans=orphans())
        self._metrics.drift(Counter((d["kind"], d["connector"]) for d in drifts(states())))
        return found

    def _unanswered(self, name: str, error: Exception) -> None:
        self._metrics.error(_STAGE, _FAILED)
        level = logging.INFO if name in self._silent else logging.WARNING
        self._silent.add(name)
        why = str(error) or "no answer in time"
        _log.log(level, "%s cannot be compared with its leases: %s; tried again later", name, why)


def _states(subscription: Subscription) -> list[State]:
    return [subscription.state(at.partition) for at in sorted(subscription.assignment)]


def _asks_for_all(subscription: Subscription) -> bool:
    return any(at.partition == 0 for at in subscription.assignment)


def _record(effect: Effect) -> Outgoing:
    key = effect.target.encode()
    return Outgoing(Topics.EFFECTS, effect.encode(), key=key, timestamp=effect.requested)
