"""A process that works on a log until it is killed.

`python -m tests.contracts.log.child MODE SPEC ARGUMENT…`, where MODE is a function below. It
prints a line only once what the line says is acknowledged.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from tests.contracts.log.harness import open_from_spec
from tests.contracts.log.workbench import numbered
from tocsin.log.base import Completion, Outgoing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tocsin.log.base import Log

#: Records of one append, and of one poll: small, so that a kill hits many different moments.
BATCH = 5


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def append(log: Log, topic: str) -> None:
    """Append batches for ever; say the numbers and positions that were acknowledged."""
    start = 0
    while True:
        positions = await log.append(numbered(topic, BATCH, start=start))
        for number, position in enumerate(positions, start):
            say(f"{number} {position}")
        start += BATCH


async def hold(log: Log, group: str, topic: str) -> None:
    """Poll records and complete the first poll only; say what was polled."""
    subscription = await log.subscribe(group, topic)
    completed = False
    while True:
        for at, records in (await subscription.poll(BATCH, 1.0)).items():
            if not completed:
                await subscription.complete([Completion(at, records[-1].offset + 1)])
            for record in records:
                say(f"{'held' if completed else 'done'} {record.value.decode()}")
            completed = True


async def count(log: Log, group: str, topic: str, out: str) -> None:
    """Count records in the state and send one output for each; say each completion."""
    subscription = await log.subscribe(group, topic, stateful=True)
    while True:
        for at, records in (await subscription.poll(BATCH, 1.0)).items():
            state = subscription.state(at.partition)
            state["seen"] = state.get("seen", 0) + len(records)
            outputs = [
                Outgoing(out, str(record.position).encode(), timestamp=1) for record in records
            ]
            offset = records[-1].offset + 1
            await subscription.complete([Completion(at, offset, outputs, state)])
            say(f"{at.partition} {offset}")


async def main(mode: str, spec: str, *arguments: str) -> None:
    """Run a mode until killed."""
    log = await open_from_spec(spec)
    modes: dict[str, Callable[..., Awaitable[None]]] = {
        "append": append,
        "hold": hold,
        "count": count,
    }
    await modes[mode](log, *arguments)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
