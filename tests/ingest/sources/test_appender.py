"""The appender: many senders share an append, and nobody's records fail another's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ingest.sources import appender as module
from ingest.sources.appender import Appender
from tests.ingest.sources.collected import until
from tests.ingest.sources.memory_log import MemoryLog, unavailable_once
from tocsin.errors import LogUnavailable, RecordTooLarge
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tocsin.log.base import Position


class CountingLog(MemoryLog):
    """Counts appends; waits while it is held."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.free = asyncio.Event()
        self.free.set()

    async def append(self, records: Sequence[Outgoing]) -> list[Position]:
        self.sizes.append(len(records))
        await self.free.wait()
        return await super().append(records)


@asynccontextmanager
async def working(appender: Appender) -> AsyncIterator[None]:
    work = asyncio.create_task(appender.run())
    try:
        yield
    finally:
        appender.close()
        await work


def record(text: str) -> Outgoing:
    return Outgoing("raw", text.encode())


async def test_what_gathers_during_an_append_goes_together_and_in_order() -> None:
    log = CountingLog()
    appender = Appender(log, max_waiting=1_000)
    async with working(appender):
        log.free.clear()
        first = asyncio.create_task(appender.append([record("0")], 1))
        await until(lambda: bool(log.sizes))
        others = [asyncio.create_task(appender.append([record(f"{n}")], 1)) for n in range(1, 50)]
        await asyncio.sleep(0)
        assert appender.waiting == 50
        log.free.set()
        await asyncio.gather(first, *others)
    assert log.sizes == [1, 49]
    assert log.lines() == [str(n).encode() for n in range(50)]
    assert appender.waiting == 0


async def test_an_append_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECORDS", 10)
    log = CountingLog()
    appender = Appender(log, max_waiting=1_000)
    handed = [asyncio.create_task(appender.append([record("x")] * 4, 4)) for _ in range(9)]
    await asyncio.sleep(0)
    async with working(appender):
        await asyncio.gather(*handed)
    assert log.sizes == [12, 12, 12]


async def test_while_the_log_is_away_all_are_told_and_may_come_again() -> None:
    log = CountingLog()
    log.before = unavailable_once("raw")
    appender = Appender(log, max_waiting=1_000)
    handed = [asyncio.create_task(appender.append([record("x")], 1)) for _ in range(3)]
    await asyncio.sleep(0)
    async with working(appender):
        done = await asyncio.gather(*handed, return_exceptions=True)
        assert [type(each) for each in done] == [LogUnavailable] * 3
        await appender.append([record("again")], 1)
    assert log.lines() == [b"again"]


async def test_one_senders_records_do_not_fail_anothers() -> None:
    log = CountingLog()

    def refuse(records: Sequence[Outgoing]) -> None:
        if any(each.value == b"large" for each in records):
            raise RecordTooLarge("large")

    log.before = refuse
    appender = Appender(log, max_waiting=1_000)
    texts = ("a", "large", "b")
    handed = [asyncio.create_task(appender.append([record(text)], 1)) for text in texts]
    await asyncio.sleep(0)
    async with working(appender):
        done = await asyncio.gather(*handed, return_exceptions=True)
    assert [type(each) for each in done] == [type(None), RecordTooLarge, type(None)]
    assert log.lines() == [b"a", b"b"]


async def test_room() -> None:
    log = CountingLog()
    appender = Appender(log, max_waiting=100)
    assert appender.has_room(10_000), "nothing waits: anything goes"
    async with working(appender):
        log.free.clear()
        large = asyncio.create_task(appender.append([record("x")], 90))
        await asyncio.sleep(0)
        assert appender.room == 10
        assert appender.has_room(10)
        assert not appender.has_room(11)
        waiting = asyncio.create_task(appender.until_room(50))
        done, _ = await asyncio.wait({waiting}, timeout=0.05)
        assert not done
        log.free.set()
        await large
        await waiting


async def test_a_sender_that_gives_up_leaves_room_and_the_others_alone() -> None:
    log = CountingLog()
    appender = Appender(log, max_waiting=100)
    gone = asyncio.create_task(appender.append([record("gone")], 90))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait({gone})
    assert appender.waiting == 0
    async with working(appender):
        await appender.append([record("here")], 1)
    assert log.lines() == [b"here"]


async def test_whoever_waits_when_it_ends_is_told_that_nothing_is_known() -> None:
    log = CountingLog()
    log.free.clear()
    appender = Appender(log, max_waiting=100)
    work = asyncio.create_task(appender.run())
    handed = asyncio.create_task(appender.append([record("x")], 1))
    await until(lambda: bool(log.sizes))
    behind = asyncio.create_task(appender.append([record("y")], 1))
    await asyncio.sleep(0)
    work.cancel()
    done = await asyncio.gather(handed, behind, work, return_exceptions=True)
    assert [type(each) for each in done[:2]] == [LogUnavailable] * 2
    appender.close()
    with pytest.raises(LogUnavailable, match="stopped"):
        await appender.append([record("z")], 1)
