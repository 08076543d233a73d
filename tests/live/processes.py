"""The pipeline on Kafka as four processes, and the groups that share its topics."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.faults.crashing import kill, worker
from tocsin.contracts import Topics

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator
    from pathlib import Path

#: Which stages each process runs; observe and behavior where behaviour is on.
PROCESSES = ("normalize,match,observe", "correlate,alert,behavior", "decide,act", "index")

#: Every group and the topic it reads.
GROUPS = {
    "normalize": Topics.RAW,
    "match": Topics.EVENTS,
    "correlate": Topics.CORRELATE,
    "alert": Topics.FINDINGS,
    "trigger": Topics.ALERTS,
    "decide": Topics.COMMANDS,
    "act": Topics.EFFECTS,
    "index-events": Topics.EVENTS,
    "index-dead-letters": Topics.DEAD_LETTERS,
}

#: The same with behaviour on, in the order of the path: what one has done is there for the next.
BEHAVING = {
    "normalize": Topics.RAW,
    "match": Topics.EVENTS,
    "observe": Topics.EVENTS,
    "correlate": Topics.CORRELATE,
    "risk": Topics.FINDINGS,
    "behavior": Topics.OBSERVATIONS,
    **GROUPS,
}


@contextlib.asynccontextmanager
async def workers(config: Path) -> AsyncIterator[dict[str, asyncio.subprocess.Process]]:
    """The processes by their stages; whichever runs at the end is killed."""
    running = {stages: await worker(config, "--stages", stages) for stages in PROCESSES}
    try:
        yield running
    finally:
        for process in running.values():
            await kill(process)
