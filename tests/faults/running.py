"""Running the pipeline in this process while something is wrong, and looking at it meanwhile."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tocsin.cli.pipeline import Pipeline
from tocsin.cli.settling import settled
from tocsin.config import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tocsin.metrics import Account

#: Between two looks at something that nobody announces, seconds.
LOOK = 0.02


@asynccontextmanager
async def running(config: Path, **options: Any) -> AsyncIterator[Pipeline]:
    """The pipeline of a configuration, at work; stopped as SIGTERM would in the end."""
    pipeline = Pipeline(load(config), **options)
    async with pipeline, asyncio.TaskGroup() as group:
        group.create_task(pipeline.run())
        try:
            yield pipeline
        finally:
            pipeline.stop()


async def until(what: str, condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Return when `condition` holds; fails, naming `what`, if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(LOOK)


def unbalanced(pipeline: Pipeline) -> dict[str, Account]:
    """The stages whose account does not add up; none may be missing from the books."""
    accounts = pipeline.metrics.accounts
    assert accounts["normalize"].received, "nothing was processed, so nothing can be said"
    return {stage: account for stage, account in accounts.items() if not account.balanced}


async def settled_without_store(pipeline: Pipeline, seconds: float) -> bool:
    """Whether everything but the index stages has been processed within that time."""
    groups = {
        worker.name: topic
        for worker in pipeline.workers
        if (topic := getattr(worker, "topic", "")) and not worker.name.startswith("index-")
    }
    return await settled(pipeline.log, groups, seconds)
