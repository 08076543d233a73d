"""What all enrichers over HTTP do alike: ask once, keep the answer, stay within the rates.

An answer that says "unknown" is kept as well, for a shorter time: most addresses are in no list.
Questions for the same thing at the same time become one request. A call waits for its turn as
long as its own time allows; beyond that it fails as `rate_limited` with the time to wait.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import Field

from responders.base import Action, ActionClass, EntityKind, Idempotence, Inputs
from responders.pools import Bucket, Cache, Pool
from responders.product import Deed, Product, ProductConfig
from tocsin.config_types import Duration
from tocsin.errors import ConnectorError
from tocsin.ids import canonical_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import httpx

    from responders.base import Call
    from tocsin.clock import Clock

MINUTE, DAY = 60_000, 86_400_000


class EnricherConfig(ProductConfig):
    """How long answers are kept, how many, and how often the product may be asked.

    0 for `per_minute` or `per_day` means no limit of ours.
    """

    keep: Duration = DAY // 4
    keep_unknown: Duration = DAY // 24
    cache: int = Field(default=20_000, ge=0, le=1_000_000)
    per_minute: int = Field(default=0, ge=0)
    per_day: int = Field(default=0, ge=0)


E = TypeVar("E", bound=EnricherConfig)


def looks_up(
    verb: str, inputs: type[Inputs], target: str, kind: EntityKind, told: str, **outputs: type
) -> Action:
    """A verb that only asks; its answer has `found` and `outputs`."""
    return Action(
        verb=verb,
        action_class=ActionClass.READ,
        idempotence=Idempotence.NATURAL,
        inputs=inputs,
        target=target,
        entity=kind,
        summary=told,
        outputs={"found": bool, **outputs},
    )


class Enricher(Product[E]):
    """A product that is asked about things. Its answers have `found`."""

    #: Longest wait for the rate, as a share of the call's time.
    PATIENCE: ClassVar[float] = 0.5

    def __init__(
        self,
        config: E,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(config, transport, clock)
        self._cache: Cache[dict[str, Any]] = Cache(config.cache)
        rates = ((config.per_minute, MINUTE), (config.per_day, DAY))
        self._pool = Pool(tuple(Bucket(count, per) for count, per in rates if count))
        self._asking: dict[str, asyncio.Task[dict[str, Any]]] = {}

    @abstractmethod
    def questions(self) -> Mapping[str, Callable[[Call], Awaitable[dict[str, Any]]]]:
        """How each verb is asked."""

    def deeds(self) -> Mapping[str, Deed]:
        return {verb: Deed(self._answer) for verb in self.questions()}

    async def _answer(self, call: Call) -> dict[str, Any]:
        key = f"{call.verb} {canonical_json(dict(call.inputs)).decode()}"
        kept = self._cache.get(key, self._clock.now())
        if kept is not None:
            return {**kept, "cached": True}
        if (task := self._asking.get(key)) is None:
            task = asyncio.create_task(self._learn(key, call), name=f"ask {call.verb}")
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        # Who gives up does not take the answer away from the others.
        return {**await asyncio.shield(task), "cached": False}

    def _asked(self, key: str, task: asyncio.Task[dict[str, Any]]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()

    async def _learn(self, key: str, call: Call) -> dict[str, Any]:
        await self._turn(call)
        try:
            answer = await self.questions()[call.verb](call)
        except ConnectorError as error:
            if error.kind == "rate_limited":
                self._pool.pause(self._clock.now() + (error.retry_after or MINUTE))
            raise
        keep = self._config.keep if answer.get("found") else self._config.keep_unknown
        self._cache.put(key, answer, self._clock.now() + keep)
        return answer

    async def _turn(self, call: Call) -> None:
        patience = call.timeout * self.PATIENCE
        while (wait := self._pool.take(self._clock.now())) > 0:
            if wait > patience:
                message = f"{self.manifest.name} may be asked again in {wait / 1000:.1f} s"
                raise ConnectorError("rate_limited", message, retry_after=wait)
            patience -= wait
            await asyncio.sleep(wait / 1000)

    async def close(self) -> None:
        """Give up what is still asked, and close idle connections."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().close()


def unknown(reason: str, **empty: Any) -> dict[str, Any]:
    """The answer for what a product does not know; `empty` are the fields a playbook may read."""
    return {"found": False, "reason": reason, **empty}
