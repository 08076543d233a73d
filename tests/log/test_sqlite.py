"""The embedded log's own promises: its writing, retention and end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.log.conftest import NOW
from tocsin.clock import ManualClock
from tocsin.errors import LogError
from tocsin.log import sqlite_store
from tocsin.log.base import Completion, Outgoing, Record, Topic, TopicPartition
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tocsin.log.sqlite_store import Write, Written

HOUR = 3_600_000


def values(records: list[Record]) -> list[bytes]:
    return [record.value for record in records]


async def test_records_without_a_key_are_spread(log: SqliteLog) -> None:
    await log.create([Topic("t", 4)])
    positions = await log.append([Outgoing("t", b"v") for _ in range(40)])
    ends = await log.end_offsets("t")
    assert set(ends.values()) == {10}
    assert len(set(positions)) == 40


async def test_a_record_without_a_time_gets_the_clocks(log: SqliteLog) -> None:
    await log.create([Topic("t", 1)])
    await log.append([Outgoing("t", b"v"), Outgoing("t", b"v", timestamp=5)])
    assert [r.timestamp for r in await log.read(TopicPartition("t", 0), 0, 9)] == [NOW, 5]


async def test_a_partition_that_does_not_exist_is_named(log: SqliteLog) -> None:
    await log.create([Topic("t", 2)])
    with pytest.raises(LogError, match="no partition 2, only 0 to 1"):
        await log.append([Outgoing("t", b"v", partition=0), Outgoing("t", b"v", partition=2)])
    with pytest.raises(LogError, match="no partition -1"):
        await log.read(TopicPartition("t", -1), 0, 1)
    assert set((await log.end_offsets("t")).values()) == {0}


@pytest.mark.parametrize("topic", [Topic("", 1), Topic("t", 0)])
async def test_an_impossible_topic_is_refused(log: SqliteLog, topic: Topic) -> None:
    with pytest.raises(LogError, match="at least one partition"):
        await log.create([topic])


async def test_many_callers_share_transactions(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.create([Topic("t", 2)])
    transactions: list[int] = []
    write = sqlite_store.Store.write

    def counted(self: sqlite_store.Store, writes: Sequence[Write], now: int) -> Written:
        transactions.append(len(writes))
        return write(self, writes, now)

    monkeypatch.setattr(sqlite_store.Store, "write", counted)
    sent = [Outgoing("t", b"%d" % n, key=b"k", timestamp=1) for n in range(200)]
    positions = await asyncio.gather(*(log.append([record]) for record in sent))
    assert sum(transactions) == 200
    assert len(transactions) <= 3
    at = TopicPartition("t", positions[0][0].partition)
    found = await log.read(at, 0, 1000)
    assert values(found) == [record.value for record in sent]
    assert [[record.position] for record in found] == positions


async def test_a_callers_mistake_does_not_touch_the_others(log: SqliteLog) -> None:
    await log.create([Topic("t", 1)])
    bad = Outgoing("t", b"bad", headers=(("\ud800", b""),), timestamp=1)
    good = [Outgoing("t", b"%d" % n, timestamp=1) for n in range(3)]
    first, wrong, second = await asyncio.gather(
        log.append(good[:1]), log.append([good[0], bad]), log.append(good[1:]),
        return_exceptions=True,
    )  # fmt: skip
    assert isinstance(wrong, TypeError)  # orjson: no such text in UTF-8
    assert isinstance(first, list)
    assert isinstance(second, list)
    assert values(await log.read(TopicPartition("t", 0), 0, 9)) == [b"0", b"1", b"2"]
    assert [p.offset for p in [*first, *second]] == [0, 1, 2]


async def test_a_cancelled_caller_does_not_stop_the_writer(log: SqliteLog) -> None:
    await log.create([Topic("t", 1)])
    tasks = [asyncio.create_task(log.append([Outgoing("t", b"%d" % n)])) for n in range(20)]
    await asyncio.sleep(0)  # all have asked, none has been written
    for task in tasks[5:10]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    kept = {b"%d" % n for n in range(20) if not 5 <= n < 10}
    assert kept <= set(values(await log.read(TopicPartition("t", 0), 0, 99)))


async def test_reading_stops_at_its_bound_of_bytes(log: SqliteLog) -> None:
    await log.create([Topic("t", 2)])
    await log.append([Outgoing("t", bytes(100), partition=p) for p in (0, 1) for _ in range(5)])
    store = log._opened()
    wanted = [(TopicPartition("t", p), 0, 5) for p in (0, 1)]
    found = await log._run(store.fetch, wanted, max_bytes=250)
    assert {at.partition: len(records) for at, records in found.items()} == {0: 3}
    found = await log._run(store.fetch, wanted, max_bytes=700)
    assert {at.partition: len(records) for at, records in found.items()} == {0: 5, 1: 2}


async def test_what_is_older_than_the_retention_is_pruned(path: Path) -> None:
    """Age counts from the appending: these records bear a time of years before."""
    clock = ManualClock(NOW)
    log = SqliteLog(path, clock=clock)
    await log.start()
    await log.create([
        Topic("short", 1, retention=HOUR),
        Topic("ever", 1, retention=-1),
        Topic("table", 1, compacted=True, retention=HOUR),
    ])  # fmt: skip
    for _ in range(4):
        for topic in ("short", "ever", "table"):
            await log.append([Outgoing(topic, b"v", timestamp=1)] * 2)
        clock.advance(HOUR * 2 // 5)
    assert await log.prune(NOW + HOUR) == 0
    assert await log.prune(clock.now()) == 4
    assert await log.prune(clock.now()) == 0
    assert [r.offset for r in await log.read(TopicPartition("short", 0), 0, 99)] == [4, 5, 6, 7]
    for topic in ("ever", "table"):
        assert len(await log.read(TopicPartition(topic, 0), 0, 99)) == 8
    subscription = await log.subscribe("g", "short")
    [(_, records)] = (await subscription.poll(99, 30.0)).items()
    assert [record.offset for record in records] == [4, 5, 6, 7]
    await log.close()


@pytest.mark.parametrize(("unread", "left"), [(0, 6), (1, 6), (3, 4), (4, 2), (6, 0), (7, 0)])
async def test_what_is_not_read_yet_stays_however_old(
    log: SqliteLog, unread: int, left: int
) -> None:
    """In whole batches of two."""
    at = TopicPartition("t", 0)
    await log.create([Topic("t", 1, retention=HOUR)])
    for _ in range(3):
        await log.append([Outgoing("t", b"v")] * 2)
    later = NOW + 2 * HOUR
    assert await log.prune(later, {at: unread}) == 6 - left
    assert len(await log.read(at, 0, 9)) == left


async def test_offsets_go_on_after_everything_was_pruned(log: SqliteLog, path: Path) -> None:
    await log.create([Topic("t", 1, retention=HOUR)])
    for _ in range(50):  # more batches than one step prunes
        await log.append([Outgoing("t", b"old")] * 3)
    subscription = await log.subscribe("g", "t")
    assert len(await subscription.poll(1, 30.0)) == 1
    assert await log.prune(NOW + 2 * HOUR) == 150
    assert await subscription.poll(9, 0.05) == {}
    assert await log.end_offsets("t") == {TopicPartition("t", 0): 150}
    await log.close()
    again = SqliteLog(path, clock=ManualClock(NOW))
    await again.start()
    [position] = await again.append([Outgoing("t", b"new")])
    assert position.offset == 150
    await again.close()


async def test_a_closed_log_says_so(log: SqliteLog, path: Path) -> None:
    await log.create([Topic("t", 1)])
    subscription = await log.subscribe("g", "t")
    await log.close()
    await log.close()
    for call in (
        log.append([Outgoing("t", b"v")]),
        log.read(TopicPartition("t", 0), 0, 1),
        log.partitions("t"),
        log.committed("g", "t"),
        log.end_offsets("t"),
        log.subscribe("g", "t"),
        log.create([Topic("u")]),
    ):
        with pytest.raises(LogError, match=str(path)):
            await call
    with pytest.raises(LogError, match="closed"):
        await subscription.poll(1, 0)
    with pytest.raises(LogError, match="closed"):
        await subscription.complete([Completion(TopicPartition("t", 0), 1)])


async def test_closing_writes_what_waits_and_ends_a_waiting_poll(
    log: SqliteLog, path: Path
) -> None:
    await log.create([Topic("t", 1), Topic("u", 1)])
    subscription = await log.subscribe("g", "u")
    poll = asyncio.create_task(subscription.poll(1, 50.0))
    appends = []
    for _ in range(3):  # the first is being written, the others wait for their turn
        appends.append(asyncio.create_task(log.append([Outgoing("t", b"v")])))
        for _ in range(3):
            await asyncio.sleep(0)
    await log.close()
    assert [p.offset for positions in await asyncio.gather(*appends) for p in positions] == [
        0,
        1,
        2,
    ]
    with pytest.raises(LogError, match="closed"):
        await poll
    again = SqliteLog(path, clock=ManualClock(NOW))
    await again.start()
    assert values(await again.read(TopicPartition("t", 0), 0, 9)) == [b"v"] * 3
    await again.close()
