"""Placing, packing and settling what is written to Kafka, without a broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import ProducerFenced
from aiokafka.structs import TopicPartition
from confluent_kafka import Message, Producer

from tocsin.config import LogSettings
from tocsin.errors import RecordTooLarge
from tocsin.log.base import MAX_RECORD, Outgoing
from tocsin.log.kafka_client import RECORD_OVERHEAD, Connection
from tocsin.log.kafka_group import to_records
from tocsin.log.kafka_producer import (
    TIME_HEADER,
    TransactionalProducer,
    Work,
    check_sizes,
    key_hash,
)

WORK = Work((), {}, "g", {TopicPartition("in", 0): 5})
OTHER = Work((), {}, "g", {TopicPartition("in", 0): 6})


def test_keys_go_where_other_clients_put_them() -> None:
    """librdkafka's murmur2 partitioner is the judge, on its mock cluster's four partitions."""
    other = Producer({"test.mock.num.brokers": 1, "partitioner": "murmur2_random"})
    placed: dict[bytes, int] = {}

    def delivered(_: object, message: Message) -> None:
        key, partition = message.key(), message.partition()
        assert isinstance(key, bytes)
        assert partition is not None
        placed[key] = partition

    for key in (b"kafka", b"\x00\xff\xfe", *(b"key-%d" % n * (n % 5 + 1) for n in range(60))):
        other.produce("t", b"", key, on_delivery=delivered)
    assert other.flush(20) == 0
    assert len(placed) == 62
    assert {key: key_hash(key) % 4 for key in placed} == placed


def test_sizes_are_checked_before_anything_is_sent() -> None:
    check_sizes([Outgoing("t", bytes(MAX_RECORD), key=b"k")])
    with pytest.raises(RecordTooLarge, match=str(MAX_RECORD)):
        check_sizes([Outgoing("t", b"small"), Outgoing("t", bytes(MAX_RECORD + 1))])
    with pytest.raises(RecordTooLarge, match="headers"):
        check_sizes([Outgoing("t", b"", headers=(("h", bytes(RECORD_OVERHEAD)),))])


def test_a_time_that_travelled_in_a_header_comes_back() -> None:
    class Fetched:
        partition, offset, key, value, timestamp = 0, 3, None, b"v", 1_700_000_000_000
        headers = (("a", b"1"), (TIME_HEADER, b"42"))

    [record] = to_records("t", [Fetched])
    assert record.timestamp == 42
    assert record.headers == (("a", b"1"),)


class FakeKafka:
    """An aiokafka producer whose steps can be told to hang or to fail."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.hangs: dict[str, asyncio.Event] = {}
        self.fenced = False

    def __getattr__(self, name: str) -> Any:
        async def step(*_: Any) -> None:
            self.steps.append(name)
            if name in self.hangs:
                await self.hangs[name].wait()
            if self.fenced:
                raise ProducerFenced

        return step


@pytest.fixture
async def producer() -> TransactionalProducer:
    made = TransactionalProducer(Connection(LogSettings(), client_id="t"), "id")
    await made.close()  # of the real client, which never connected
    made._producer = FakeKafka()
    return made


def kafka(producer: TransactionalProducer) -> FakeKafka:
    fake = producer._producer
    assert isinstance(fake, FakeKafka)
    return fake


async def give_up(producer: TransactionalProducer, step: str) -> None:
    """Start WORK and run out of time in a step."""
    kafka(producer).hangs[step] = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await producer.transact(WORK)


async def test_work_that_was_never_committed_is_taken_back_and_done_again(
    producer: TransactionalProducer,
) -> None:
    await give_up(producer, "send_offsets_to_transaction")
    kafka(producer).hangs.clear()
    await producer.transact(WORK)
    assert kafka(producer).steps == [
        "begin_transaction",
        "send_offsets_to_transaction",
        "abort_transaction",
        "begin_transaction",
        "send_offsets_to_transaction",
        "commit_transaction",
    ]


async def test_work_whose_commit_was_under_way_is_not_done_twice(
    producer: TransactionalProducer,
) -> None:
    await give_up(producer, "commit_transaction")
    kafka(producer).hangs.pop("commit_transaction").set()
    await producer.transact(WORK)
    assert kafka(producer).steps.count("commit_transaction") == 1
    await producer.transact(WORK)  # and from then on it is new work
    assert kafka(producer).steps.count("commit_transaction") == 2


async def test_other_work_waits_for_the_commit_under_way(producer: TransactionalProducer) -> None:
    await give_up(producer, "commit_transaction")
    kafka(producer).hangs.pop("commit_transaction").set()
    await producer.transact(OTHER)
    assert kafka(producer).steps.count("commit_transaction") == 2


async def test_a_fenced_producer_learns_it_when_it_settles(
    producer: TransactionalProducer,
) -> None:
    await give_up(producer, "send_offsets_to_transaction")
    kafka(producer).hangs.clear()
    kafka(producer).fenced = True
    with pytest.raises(ProducerFenced):
        await producer.transact(WORK)
