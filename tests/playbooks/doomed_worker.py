"""A worker in a process of its own that is killed at a chosen point.

Run as: python -m tests.playbooks.doomed_worker LOG URL IDEMPOTENCE POINT. It takes effects from
the log and contains addresses at URL by the webhook connector, which stands for a product of the
given idempotence. At POINT it sends itself SIGKILL.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playbooks.act import ActWorker
from playbooks.guards import SiteGuards
from responders.base import Idempotence
from responders.webhook import Webhook, WebhookConfig
from tocsin.clock import SystemClock
from tocsin.contracts import Mode, Topics
from tocsin.log.sqlite import SqliteLog
from tocsin.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from responders.base import Call, Manifest
    from tocsin.log.base import Completion, Subscription

POINTS = ("before_started", "after_started", "after_effect", "after_result")
VERB = "containment.webhook"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Product:
    """The webhook as a product of another idempotence; `probe` asks the counting target's file."""

    def __init__(self, url: str, idempotence: Idempotence, point: str = "") -> None:
        config = WebhookConfig(
            containment=url, secret="env:WEBHOOK_SECRET", allow_http=True  # noqa: S106
        )  # fmt: skip
        self._webhook = Webhook(config)
        self._point = point
        actions = tuple(
            replace(action, idempotence=idempotence) for action in self._webhook.manifest.actions
        )
        self.manifest: Manifest = replace(self._webhook.manifest, actions=actions)
        self.held: set[str] = set()

    async def act(self, call: Call) -> dict[str, Any]:
        if self._point == "after_started":
            die()
        answer = await self._webhook.act(call)
        if self._point == "after_effect":
            die()
        return answer

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> dict[str, Any]:
        return await self._webhook.undo(call, proof)

    async def probe(self, call: Call) -> dict[str, Any] | None:
        return {"held": True} if call.target in self.held else None

    async def check(self) -> str:
        return await self._webhook.check()

    async def close(self) -> None:
        await self._webhook.close()


class DoomedSubscription:
    """Dies instead of the first durable start, or right after the first durable result."""

    def __init__(self, inner: Subscription, point: str) -> None:
        self._inner = inner
        self._point = point

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def complete(self, work: Sequence[Completion]) -> None:
        results = any(out.topic == Topics.COMMANDS for done in work for out in done.outputs)
        if self._point == "before_started":
            die()
        await self._inner.complete(work)
        if self._point == "after_result" and results:
            die()


class DoomedLog:
    """A log whose subscriptions are doomed."""

    def __init__(self, inner: SqliteLog, point: str) -> None:
        self._inner = inner
        self._point = point

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def subscribe(self, *args: Any, **kwargs: Any) -> Any:
        return DoomedSubscription(await self._inner.subscribe(*args, **kwargs), self._point)


async def main(path: str, url: str, idempotence: str, point: str) -> None:
    log = SqliteLog(Path(path), clock=SystemClock())
    await log.start()
    product = Product(url, Idempotence(idempotence), point)
    worker = ActWorker(
        DoomedLog(log, point),
        {"product": product},
        bindings={VERB: "product"},
        guards=SiteGuards,
        clock=SystemClock(),
        metrics=Metrics(),
        mode=Mode.ENFORCE,
    )
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
