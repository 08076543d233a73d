"""Running a source and looking at what it appended."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

from tocsin.contracts import DeadLetter, Topics
from tocsin.log.base import Topic, TopicPartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ingest.sources.listening import Listening
    from tocsin.log.base import Record

#: The topics that sources write, with one partition so that order shows.
TOPICS = (Topic(Topics.RAW, 1), Topic(Topics.DEAD_LETTERS, 1))


class Readable(Protocol):
    """What is needed of a log."""

    async def read(self, at: TopicPartition, offset: int, max_records: int) -> list[Record]: ...


async def raw_records(log: Readable) -> list[Record]:
    return await log.read(TopicPartition(Topics.RAW, 0), 0, 1_000_000)


async def lines(log: Readable) -> list[bytes]:
    return [record.value for record in await raw_records(log)]


async def letters(log: Readable) -> list[DeadLetter]:
    records = await log.read(TopicPartition(Topics.DEAD_LETTERS, 0), 0, 1_000_000)
    return [DeadLetter.decode(record.value) for record in records]


@contextlib.asynccontextmanager
async def running(source: Listening) -> AsyncIterator[tuple[str, int]]:
    """The source, listening, by its address; stopped at the end, when all must be settled."""
    work = asyncio.create_task(source.run())
    waiting = asyncio.create_task(source.listening.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if work.done():
        work.result()
    assert source.address is not None
    try:
        yield source.address
    finally:
        source.stop()
        async with asyncio.timeout(20):
            await work
    assert source.account.waiting == 0, source.account
    assert source.account.connections == 0


async def until(holds: Callable[[], bool], what: str = "") -> None:
    """Wait until it holds; the test's own time-out is the deadline."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  (counters have no event to wait for)
            await asyncio.sleep(0.005)
    assert holds(), what
