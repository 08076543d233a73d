"""Two workers, four partitions, a steady stream; one worker is lost in the middle."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import orjson

from tests.contracts.log.kafka_harness import shared_broker
from tests.live.counting import THRESHOLD, settings
from tocsin.log.base import Outgoing, Topic, TopicPartition
from tocsin.log.kafka import KafkaLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEYS = 400
#: Records appended at a time, and pauses between, seconds: about 500 records a second.
STEP, PAUSE = 25, 0.05
#: Between two questions for committed offsets or members, which a broker never announces, seconds.
POLL = 0.1
#: Everything is done this long after the last record at the latest, seconds.
PATIENCE = 60.0
#: Another worker must have taken over by then, seconds.
LIMIT = 15.0


class Trial:
    """One group of workers on topics of its own."""

    def __init__(self, kind: str, directory: Path) -> None:
        self._kind = kind
        self._directory = directory
        self._prefix = f"{uuid4().hex[:8]}."
        self._bootstrap = shared_broker().bootstrap
        self.log = KafkaLog(settings(self._bootstrap, self._prefix), client_id="trial")

    async def prepare(self) -> None:
        await self.log.start()
        await self.log.create([Topic(name) for name in ("in", "out", "dead-letters")])

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """A worker process, killed at the end."""
        directory = self._directory / uuid4().hex
        directory.mkdir()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.live.counting"),
            *(self._kind, self._bootstrap, self._prefix, str(directory)),
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def feed(self) -> None:
        """THRESHOLD ids for each key, in rounds, at a steady pace."""
        records = [
            Outgoing("in", f"id-{round_}".encode(), key=b"key-%d" % key)
            for round_ in range(THRESHOLD)
            for key in range(KEYS)
        ]
        for start in range(0, len(records), STEP):
            await self.log.append(records[start : start + STEP])
            await asyncio.sleep(PAUSE)  # the pace of the stream, nothing waits for it

    async def committed(self) -> dict[TopicPartition, int]:
        return await self.log.committed("count", "in")

    async def progress(self, seconds: float) -> float:
        """Seconds until every partition has moved on from where it is now."""
        before, started = await self.committed(), time.monotonic()
        async with asyncio.timeout(seconds):
            while True:
                now = await self.committed()
                if all(now[at] > before[at] for at in before):
                    return time.monotonic() - started
                await asyncio.sleep(POLL)

    async def finished(self) -> None:
        """Wait until everything fed is committed."""
        ends = await self.log.end_offsets("in")
        async with asyncio.timeout(PATIENCE):
            while True:
                if await self._reached(ends):
                    return
                await asyncio.sleep(POLL)

    async def _reached(self, ends: dict[TopicPartition, int]) -> bool:
        committed = await self.committed()
        return all(committed[at] >= end for at, end in ends.items())

    async def joined(self, members: int) -> None:
        """Wait until the group has so many members and is at rest."""
        group = self.log.connection.outer("count")
        async with asyncio.timeout(PATIENCE):
            while True:
                [response] = await self.log.connection.call(
                    "describing the group",
                    lambda: self.log._client().describe_consumer_groups([group]),
                )
                _, _, state, _, _, found, *_ = response.groups[0]
                if state == "Stable" and len(found) == members:
                    return
                await asyncio.sleep(POLL)

    async def outputs(self) -> dict[bytes, set[bytes]]:
        """The distinct outputs of each key."""
        found: dict[bytes, set[bytes]] = {}
        for partition in range(await self.log.partitions("out")):
            for record in await self.log.read(TopicPartition("out", partition), 0, 100_000):
                found.setdefault(record.key or b"", set()).add(record.value)
        return found


def expected() -> dict[bytes, set[bytes]]:
    """Each key speaks once, with all its ids."""
    ids = orjson.dumps(sorted(f"id-{n}" for n in range(THRESHOLD)))
    return {b"key-%d" % key: {ids} for key in range(KEYS)}


async def takeover(kind: str, directory: Path, *, how: signal.Signals) -> float:
    """Lose one of two workers to a signal; seconds until its partitions went on.

    With SIGSTOP the lost worker wakes up again afterwards and must do no harm.
    """
    trial = Trial(kind, directory)
    await trial.prepare()
    try:
        async with AsyncExitStack() as stack:
            victim = await stack.enter_async_context(trial.worker())
            await stack.enter_async_context(trial.worker())
            feeding = asyncio.create_task(trial.feed())
            stack.callback(feeding.cancel)
            await trial.joined(2)
            await trial.progress(PATIENCE)
            victim.send_signal(how)
            seconds = await trial.progress(PATIENCE)
            if how == signal.SIGSTOP:
                victim.send_signal(signal.SIGCONT)
            await feeding
            await trial.finished()
            assert await trial.outputs() == expected()
            sys.stdout.write(
                f"\n{kind}: after {how.name} its partitions went on in {seconds:.1f} s\n"
            )
    finally:
        await trial.log.close()
    return seconds
