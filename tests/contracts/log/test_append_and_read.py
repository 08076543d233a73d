"""Contract of every log: what is appended is there, in order, unchanged, until it is read."""

from __future__ import annotations

import time
from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from tests.contracts.log.workbench import kill, lines, numbered, values
from tocsin.errors import LogError, LogUnavailable, RecordTooLarge
from tocsin.log.base import MAX_RECORD, Outgoing, Topic, TopicPartition

if TYPE_CHECKING:
    from tests.contracts.log.workbench import Workbench

MEBIBYTE = 1024 * 1024


async def test_records_of_a_key_stay_in_one_partition_in_order(bench: Workbench) -> None:
    log, topic = await bench.log(), await bench.topic()
    for start in range(0, 300, 50):
        await log.append(numbered(topic, 50, start=start))
    subscription = await log.subscribe(bench.name("g"), topic)
    records = await bench.drain(subscription, 300)
    by_key = sorted(records, key=lambda record: record.key or b"")  # stable: keeps their order
    for key, group in groupby(by_key, key=lambda record: record.key):
        same = list(group)
        numbers = [int(record.value) for record in same]
        assert numbers == sorted(numbers), key
        assert len({record.partition for record in same}) == 1, key
    assert len({record.partition for record in records}) > 1


async def test_append_returns_the_position_of_each_record(bench: Workbench) -> None:
    log, topic = await bench.log(), await bench.topic()
    sent = [*numbered(topic, 30), Outgoing(topic, b"30", partition=1, timestamp=1)]
    positions = await log.append(sent)
    assert len(positions) == len(sent)
    assert positions[-1].partition == 1
    for outgoing, position in zip(sent, positions, strict=True):
        at = TopicPartition(position.topic, position.partition)
        [record] = await log.read(at, position.offset, 1)
        assert (record.position, record.value) == (position, outgoing.value)
    for partition in {position.partition for position in positions}:
        offsets = [p.offset for p in positions if p.partition == partition]
        assert offsets == list(range(len(offsets)))


async def test_end_offsets_are_where_the_next_record_goes(bench: Workbench) -> None:
    log, topic = await bench.log(), await bench.topic()
    everywhere = {TopicPartition(topic, n): 0 for n in range(bench.harness.partitions)}
    assert await log.end_offsets(topic) == everywhere
    await log.append([Outgoing(topic, b"a", partition=1, timestamp=1)] * 3)
    assert await log.end_offsets(topic) == everywhere | {TopicPartition(topic, 1): 3}
    [position] = await log.append([Outgoing(topic, b"b", partition=1, timestamp=1)])
    assert position.offset == 3


async def test_reading_goes_on_from_any_offset(bench: Workbench) -> None:
    log, topic = await bench.log(), await bench.topic()
    await log.append([Outgoing(topic, b"%d" % n, partition=0, timestamp=1) for n in range(20)])
    at = TopicPartition(topic, 0)
    assert [r.offset for r in await log.read(at, 5, 3)] == [5, 6, 7]
    assert [int(r.value) for r in await log.read(at, 17, 100)] == [17, 18, 19]
    assert await log.read(at, 20, 100) == []
    assert await log.read(TopicPartition(topic, 1), 0, 100) == []


async def test_what_was_acknowledged_survives_kill_9(bench: Workbench) -> None:
    topic = await bench.topic()
    async with bench.child("append", topic) as child:
        said = await lines(child, 200, bench.harness.patience)
        said += await kill(child)
    log = await bench.log()
    found = {str(record.position): record.value.decode() for record in await bench.read_all(topic)}
    acknowledged = {position: number for number, position in (line.split() for line in said)}
    assert len(acknowledged) >= 200
    assert acknowledged.items() <= found.items()
    assert await log.append(numbered(topic, 1))


async def test_appended_records_survive_close(bench: Workbench) -> None:
    topic = await bench.topic()
    positions = await (await bench.log()).append(numbered(topic, 50))
    log = await bench.reopen()
    assert await log.partitions(topic) == bench.harness.partitions
    records = await bench.read_all(topic)
    assert sorted(r.position for r in records) == sorted(positions)
    assert values(records) == list(range(50))


POISON = {
    "arbitrary bytes": Outgoing("", bytes(range(256)) * 3, key=b"\x00\xff", timestamp=1),
    "empty value": Outgoing("", b"", key=b"k", timestamp=1),
    "no key": Outgoing("", b"v", timestamp=1),
    "empty key": Outgoing("", b"v", key=b"", timestamp=1),
    "odd headers": Outgoing(
        "",
        b"v",
        headers=(("a", b""), ("a", b"\x00\xff"), ("", b"empty"), ("grün\n\x00", bytes(range(256)))),
        timestamp=1,
    ),
    "looks like SQL": Outgoing("", b"'; DROP TABLE records; --", key=b"' OR 1=1", timestamp=1),
    "far future": Outgoing("", b"v", timestamp=32_503_680_000_000),
}


@pytest.mark.parametrize("name", POISON)
async def test_a_poison_record_passes_unchanged(bench: Workbench, name: str) -> None:
    log, topic = await bench.log(), await bench.topic()
    poison = POISON[name]
    sent = Outgoing(topic, poison.value, poison.key, poison.headers, poison.timestamp)
    [position] = await log.append([sent])
    [record] = await bench.drain(await log.subscribe(bench.name("g"), topic), 1)
    assert record.position == position
    got = (record.value, record.key, record.headers, record.timestamp)
    assert got == (sent.value, sent.key, sent.headers, sent.timestamp)
    assert await log.read(TopicPartition(topic, position.partition), position.offset, 1) == [record]


async def test_a_record_without_a_time_gets_the_present(bench: Workbench) -> None:
    """With time 0 it would be older than any retention and deleted at once."""
    log, topic = await bench.log(), await bench.topic()
    before = time.time_ns() // 1_000_000 - 1000
    await log.append([Outgoing(topic, b"v")])
    [record] = await bench.read_all(topic)
    assert before < record.timestamp < before + 3_600_000


async def test_an_oversized_record_is_refused_and_the_log_goes_on(bench: Workbench) -> None:
    log, topic = await bench.log(), await bench.topic()
    good = Outgoing(topic, b"0", key=b"k", timestamp=1)
    huge = Outgoing(topic, bytes(MAX_RECORD + 1), key=b"k", timestamp=1)
    with pytest.raises(RecordTooLarge, match=str(MAX_RECORD)):
        await log.append([good, huge, good])
    assert await bench.read_all(topic) == []
    await log.append([good])
    assert values(await bench.read_all(topic)) == [0]


async def test_a_record_of_the_largest_size_passes(bench: Workbench) -> None:
    log, topic = await bench.log(), await bench.topic()
    largest = bytes(range(256)) * (MAX_RECORD // 256)
    assert len(largest) == MAX_RECORD
    await log.append([Outgoing(topic, largest, key=b"k", timestamp=1)])
    [record] = await bench.drain(await log.subscribe(bench.name("g"), topic), 1)
    assert record.value == largest


async def test_a_big_batch_arrives_whole_and_in_order(bench: Workbench) -> None:
    log, topic = await bench.log(), await bench.topic()
    padding = b"." * 90
    sent = [
        Outgoing(topic, b"%08d" % n + padding, key=b"k%d" % (n % 50), timestamp=1)
        for n in range(20_000)
    ]
    positions = await log.append(sent)
    assert len(set(positions)) == len(sent)
    subscription = await log.subscribe(bench.name("g"), topic)
    seen: dict[bytes | None, int] = {}
    for record in await bench.drain(subscription, len(sent)):
        number = int(record.value[:8])
        assert number > seen.get(record.key, -1)
        seen[record.key] = number
    assert sorted(seen.values()) == list(range(len(sent) - 50, len(sent)))


async def test_away_and_back(bench: Workbench) -> None:
    log, topic = await bench.log(), await bench.topic()
    await log.append(numbered(topic, 10))
    big = [Outgoing(topic, bytes(MEBIBYTE), key=b"big", timestamp=1)]
    async with bench.harness.away(log):
        with pytest.raises(LogUnavailable) as caught:
            await log.append(big)
        assert caught.value.retriable
        assert str(caught.value).strip()
    await log.append(numbered(topic, 10, start=10))
    records = [record for record in await bench.read_all(topic) if record.key != b"big"]
    assert values(records) == list(range(20))


async def test_a_topic_that_does_not_exist_is_named(bench: Workbench) -> None:
    log = await bench.log()
    missing = bench.name("missing")
    with pytest.raises(LogError, match=missing):
        await log.partitions(missing)
    with pytest.raises(LogError, match=missing):
        await log.append([Outgoing(missing, b"v", timestamp=1)])
    with pytest.raises(LogError, match=missing):
        await log.subscribe(bench.name("g"), missing)
    with pytest.raises(LogError, match=missing):
        await log.end_offsets(missing)


async def test_creating_an_existing_topic_leaves_it_as_it_is(bench: Workbench) -> None:
    log, topic = await bench.log(), await bench.topic()
    await log.append(numbered(topic, 10))
    other = bench.name("other")
    await log.create([Topic(topic, bench.harness.partitions + 3), Topic(other, 1)])
    assert await log.partitions(topic) == bench.harness.partitions
    assert await log.partitions(other) == 1
    assert values(await bench.read_all(topic)) == list(range(10))
