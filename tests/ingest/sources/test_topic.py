"""The Kafka source, with an embedded log in the place of the other cluster: both keep one
contract. The mock cluster and a real broker stand behind it in other tests."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from ingest.sources.topic import TopicSource
from tests.ingest.sources.collected import letters, lines, raw_records, until
from tests.ingest.sources.conftest import NOW
from tests.ingest.sources.memory_log import MemoryLog, unavailable_once
from tocsin.config import LogSettings
from tocsin.errors import LogError, LogUnavailable
from tocsin.log.base import MAX_RECORD, Outgoing, Topic, TopicPartition
from tocsin.log.kafka_reader import KafkaReader
from tocsin.log.sqlite import SqliteLog
from tocsin.source_config import KafkaSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tocsin.clock import ManualClock
    from tocsin.log.base import Log, Subscription

TOPIC = "beats"
AT = TopicPartition(TOPIC, 0)


class Elsewhere:
    """The other cluster: an embedded log that stays open however often the source connects."""

    def __init__(self, log: SqliteLog) -> None:
        self.log = log
        self.connections = 0

    async def start(self) -> None:
        self.connections += 1

    async def close(self) -> None: ...

    async def partitions(self, topic: str) -> int:
        return await self.log.partitions(topic)

    async def subscribe(self, group: str, topic: str) -> Subscription:
        await self.partitions(topic)
        return await self.log.subscribe(group, topic)


@pytest.fixture
async def elsewhere(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Elsewhere]:
    log = SqliteLog(tmp_path / "elsewhere.sqlite", clock=clock)
    await log.start()
    await log.create([Topic(TOPIC, 1)])
    yield Elsewhere(log)
    await log.close()


def topic_source(log: Log, clock: ManualClock, elsewhere: Any, **settings: Any) -> TopicSource:
    chosen = KafkaSource.model_validate({"type": "kafka", "topic": TOPIC, **settings})
    return TopicSource(chosen, log, clock, lambda: elsewhere)


@asynccontextmanager
async def reading(source: TopicSource) -> AsyncIterator[None]:
    work = asyncio.create_task(source.run())
    try:
        yield
    finally:
        source.stop()
        await work
    assert source.account.waiting == 0


async def test_values_keys_and_headers_are_kept(
    log: SqliteLog, clock: ManualClock, elsewhere: Elsewhere
) -> None:
    envelope = b'{"@timestamp":"2026-01-01T00:00:00Z","message":"x","agent":{"type":"filebeat"}}'
    theirs = (("trace", b"\xff\x00"), ("tenant", b"forged"), ("origin-id", b"forged"))
    await elsewhere.log.append(
        [
            Outgoing(TOPIC, envelope, b"web-1", theirs, NOW - 5),
            Outgoing(TOPIC, b"", b"web-1", (), NOW),
            Outgoing(TOPIC, b"not text \xff\x00", None, (), NOW - 3),
        ]
    )
    settings = {"tenant": "acme", "timezone": "Europe/Berlin", "formats": ["beats"]}
    source = topic_source(log, clock, elsewhere, **settings)
    async with reading(source):
        await until(lambda: source.account.appended == 2)
        await until(lambda: source.idle)
    first, second = await raw_records(log)
    assert (first.value, first.key, first.timestamp) == (envelope, b"web-1", NOW - 5)
    headers = dict(first.headers)
    assert len(headers.pop("origin-id")) == 32
    assert headers == {
        "source": TOPIC.encode(),
        "tenant": b"acme",
        "received": b"%d" % (NOW - 5),
        "timezone": b"Europe/Berlin",
        "format": b"beats",
        "kafka.trace": b"\xff\x00",
        "kafka.tenant": b"forged",
        "kafka.origin-id": b"forged",
    }
    assert (second.value, second.key) == (b"not text \xff\x00", None)
    assert source.account.filtered == {"tombstone": 1}
    assert await elsewhere.log.committed("tocsin", TOPIC) == {AT: 3}


async def test_it_goes_on_where_it_was(
    log: SqliteLog, clock: ManualClock, elsewhere: Elsewhere
) -> None:
    for number in range(3):
        await elsewhere.log.append([Outgoing(TOPIC, b"line %d" % number)])
        source = topic_source(log, clock, elsewhere)
        async with reading(source):
            await until(lambda source=source: source.account.appended == 1)  # type: ignore[misc]
    assert await lines(log) == [b"line 0", b"line 1", b"line 2"]


async def test_an_offset_is_not_committed_before_the_log_has_the_record(
    clock: ManualClock, elsewhere: Elsewhere
) -> None:
    memory = MemoryLog()

    def away(_: object) -> None:
        raise LogUnavailable("no broker")

    memory.before = away
    await elsewhere.log.append([Outgoing(TOPIC, b"one")])
    source = topic_source(memory, clock, elsewhere)
    async with reading(source):
        await until(lambda: source.account.errors["log_unavailable"] >= 2)
        assert source.down == "no broker"
        assert await elsewhere.log.committed("tocsin", TOPIC) == {AT: 0}
        memory.before = lambda _: None
        await until(lambda: source.account.appended == 1)
        await until(lambda: source.idle)
        assert source.down == ""
    assert memory.lines() == [b"one"]
    assert await elsewhere.log.committed("tocsin", TOPIC) == {AT: 1}


async def test_what_is_read_again_is_the_same_record(
    clock: ManualClock, elsewhere: Elsewhere
) -> None:
    memory = MemoryLog()
    memory.after = unavailable_once("raw")
    await elsewhere.log.append([Outgoing(TOPIC, b"one", timestamp=NOW - 7)])
    source = topic_source(memory, clock, elsewhere)
    async with reading(source):
        await until(lambda: source.account.appended == 1)
    first, second = memory.topics["raw"]
    assert first[3:] == second[3:], "key, value, headers and time are the same"


async def test_identities_tell_partitions_tenants_clusters_and_recreated_topics_apart(
    log: SqliteLog, clock: ManualClock, elsewhere: Elsewhere
) -> None:
    source = topic_source(log, clock, elsewhere)
    other = topic_source(log, clock, elsewhere, tenant="acme")
    third = topic_source(log, clock, elsewhere, bootstrap_servers="192.0.2.1:9092")
    await elsewhere.log.append([Outgoing(TOPIC, b"one", timestamp=NOW)])
    (record,) = await elsewhere.log.read(AT, 0, 10)
    again = record._replace(timestamp=NOW + 1)
    made = [
        each._made(r, each.account)[0]
        for each, r in (
            (source, record),
            (source, again),
            (source, record._replace(partition=1)),
            (other, record),
            (third, record),
        )
    ]
    identities = {dict(each.headers)["origin-id"] for each in made}
    assert len(identities) == 5
    assert source._made(record, source.account) == [made[0]]


async def test_what_no_record_can_hold_is_dead_lettered_and_the_rest_goes_on(
    log: SqliteLog, clock: ManualClock, tmp_path: Path
) -> None:
    large = SqliteLog(tmp_path / "large.sqlite", clock=clock, max_record=2 * MAX_RECORD)
    await large.start()
    await large.create([Topic(TOPIC, 1)])
    headers = tuple((f"h{number}", b"x" * 100_000) for number in range(3))
    await large.append(
        [
            Outgoing(TOPIC, b"x" * (MAX_RECORD + 1)),
            Outgoing(TOPIC, b"small", None, headers),
            Outgoing(TOPIC, b"fine"),
        ]
    )
    source = topic_source(log, clock, Elsewhere(large))
    async with reading(source):
        await until(lambda: source.account.appended == 1)
    await large.close()
    assert await lines(log) == [b"fine"]
    found = await letters(log)
    assert b"".join(each.original for each in found) == b"x" * (MAX_RECORD + 1) + b"small"
    assert source.account.dead == {"too_large": 2}


async def test_a_topic_that_is_not_there_yet(
    log: SqliteLog, clock: ManualClock, elsewhere: Elsewhere
) -> None:
    source = topic_source(log, clock, elsewhere, topic="later")
    with pytest.raises(LogError, match="later"):
        await source.check()
    async with reading(source):
        await until(lambda: "later" in source.down)
        assert not source.idle
        await elsewhere.log.create([Topic("later", 2)])
        await until(lambda: source.idle)
    assert await source.check() == "reachable, 2 partitions"


async def test_a_client_that_breaks_does_not_take_the_others_along(
    log: SqliteLog, clock: ManualClock, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Elsewhere.subscribe

    async def broken(self: Elsewhere, group: str, topic: str) -> Subscription:
        if self.connections == 1:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "in a header's name")
        return await original(self, group, topic)

    monkeypatch.setattr(Elsewhere, "subscribe", broken)
    await elsewhere.log.append([Outgoing(TOPIC, b"one")])
    source = topic_source(log, clock, elsewhere)
    async with reading(source):
        await until(lambda: source.account.appended == 1)
    assert source.account.errors == {"internal": 1}


async def test_over_kafkas_protocol_from_another_client(log: SqliteLog, clock: ManualClock) -> None:
    """librdkafka's mock cluster and producer: headers, keys, a time header that is none."""
    cluster = Producer({"test.mock.num.brokers": 1})
    [broker] = cluster.list_topics(timeout=10).brokers.values()
    address = f"{broker.host}:{broker.port}"
    other = Producer({"bootstrap.servers": address})
    headers: list[tuple[str, str | bytes | None]] = [
        ("trace", b"1"),
        ("nothing", None),
        ("tocsin-timestamp", b"no time"),
    ]
    for number in range(100):
        other.produce(TOPIC, b"line %d" % number, key=b"k", headers=headers, timestamp=NOW)
    other.produce(TOPIC, None, key=b"k")
    assert other.flush(10) == 0
    kafka = LogSettings(backend="kafka", bootstrap_servers=address, prefix="")
    chosen = KafkaSource(type="kafka", topic=TOPIC, bootstrap_servers=address)
    source = TopicSource(chosen, log, clock, lambda: KafkaReader(kafka, client_id="test"))
    async with reading(source):
        await until(lambda: source.account.received == 101)
    assert await lines(log) == [b"line %d" % number for number in range(100)]
    first, *_ = await raw_records(log)
    assert first.timestamp == NOW
    assert first.header("kafka.trace") == b"1"
    assert first.header("kafka.nothing") == b""
    assert first.header("kafka.tocsin-timestamp") == b"no time"
    assert source.account.filtered == {"tombstone": 1}
