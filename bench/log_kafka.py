"""What Tocsin's Kafka log costs beside the bare client: `python -m bench.log_kafka [BOOTSTRAP]`.

Ours and aiokafka's own `send` and `getmany`, with the same settings (idempotent, LZ4, all
acknowledgements; read_committed, one commit for each poll), on the same broker, one after the
other in each round, so that both see the same machine. Without an address a broker is started.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from dev.servers import kafka
from tocsin.config import LogSettings
from tocsin.log.base import Completion, Outgoing, Topic
from tocsin.log.kafka import KafkaLog
from tocsin.log.kafka_producer import BATCH_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RECORD_BYTES = 500
BATCH = 1000
BATCHES = 60
ROUNDS = 5
PARTITIONS = 4

#: Share of the bare client's rate that the log must reach.
BAR = 0.70


class Rate(NamedTuple):
    """Records per second of the clock, and of this process's CPU."""

    wall: float
    cpu: float


def run(bootstrap: str | None = None) -> list[dict[str, Any]]:
    """Rates in records per second, medians of ROUNDS; `share` is ours of the bare client's."""
    if bootstrap is not None:
        return asyncio.run(_run(bootstrap))
    with TemporaryDirectory(prefix="tocsin-bench-") as directory, kafka(Path(directory)) as server:
        return asyncio.run(_run(server.bootstrap))


async def _run(bootstrap: str) -> list[dict[str, Any]]:
    works = {"append": (_append, _bare_append), "poll + complete": (_consume, _bare_consume)}
    ours: dict[str, list[Rate]] = {name: [] for name in works}
    bare: dict[str, list[Rate]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        settings = LogSettings(
            backend="kafka", bootstrap_servers=bootstrap, prefix=f"{uuid4().hex[:8]}."
        )
        log = KafkaLog(settings, client_id="bench")
        await log.start()
        await log.create([Topic("in", PARTITIONS), Topic("bare", PARTITIONS)])
        for topic in ("in", "bare"):  # leaders and connections are found before the clock runs
            await log.append([Outgoing(topic, b"", partition=n) for n in range(PARTITIONS)])
        for name, (work, bare_work) in works.items():
            ours[name].append(await _rate(work, log))
            bare[name].append(await _rate(bare_work, log))
        await log.close()
    return [_figure(name, ours[name], bare[name]) for name in works]


async def _rate(work: Callable[[KafkaLog], Awaitable[Span]], log: KafkaLog) -> Rate:
    span = await work(log)
    return Rate(span.records / span.wall, span.records / span.cpu)


class Span(NamedTuple):
    """How many records, in how many seconds of the clock and of this process."""

    records: int
    wall: float
    cpu: float


class Stopwatch:
    """Runs from its making."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self, count: int) -> Span:
        return Span(count, time.perf_counter() - self._wall, time.process_time() - self._cpu)


def _values() -> list[tuple[bytes, bytes]]:
    """Keys and values of one batch; half of a value's bytes are random, as in a log line."""
    return [
        (b"key-%d" % n, os.urandom(RECORD_BYTES // 4).hex().encode().ljust(RECORD_BYTES, b"."))
        for n in range(BATCH)
    ]


async def _append(log: KafkaLog) -> Span:
    batch = [Outgoing("in", value, key) for key, value in _values()]
    watch = Stopwatch()
    for _ in range(BATCHES):
        await log.append(batch)
    return watch.stop(BATCH * BATCHES)


async def _bare_append(log: KafkaLog) -> Span:
    topic, batch = log.connection.outer("bare"), _values()
    producer = AIOKafkaProducer(
        bootstrap_servers=log.connection.address,
        enable_idempotence=True,
        compression_type="lz4",
        max_batch_size=BATCH_BYTES,
    )
    await producer.start()
    await producer.send_and_wait(topic, b"", partition=0)
    watch = Stopwatch()
    for _ in range(BATCHES):
        sent = [await producer.send(topic, value, key) for key, value in batch]
        await asyncio.gather(*sent)
    span = watch.stop(BATCH * BATCHES)
    await producer.stop()
    return span


async def _consume(log: KafkaLog) -> Span:
    subscription = await log.subscribe("bench", "in")
    while not subscription.assignment:
        await subscription.poll(1, 0.1)
    watch, count = Stopwatch(), 0
    while count < BATCH * BATCHES:
        polled = await subscription.poll(BATCH, 1.0)
        await subscription.complete([Completion(at, r[-1].offset + 1) for at, r in polled.items()])
        count += sum(len(records) for records in polled.values())
    span = watch.stop(count)
    await subscription.close()
    return span


async def _bare_consume(log: KafkaLog) -> Span:
    consumer = AIOKafkaConsumer(
        log.connection.outer("bare"),
        bootstrap_servers=log.connection.address,
        group_id=log.connection.outer("bare"),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await consumer.start()
    watch, count = Stopwatch(), 0
    while count < BATCH * BATCHES:
        polled = await consumer.getmany(timeout_ms=1000, max_records=BATCH)
        await consumer.commit({at: r[-1].offset + 1 for at, r in polled.items()})
        count += sum(len(records) for records in polled.values())
    span = watch.stop(count)
    await consumer.stop()
    return span


def _figure(name: str, ours: list[Rate], bare: list[Rate]) -> dict[str, Any]:
    value = statistics.median(rate.wall for rate in ours)
    beside = statistics.median(rate.wall for rate in bare)
    return {
        "name": f"kafka {name}, {RECORD_BYTES} B, batches of {BATCH}",
        "unit": "records/s",
        "value": round(value),
        "per_cpu_second": round(statistics.median(rate.cpu for rate in ours)),
        "bare": round(beside),
        "bare_per_cpu_second": round(statistics.median(rate.cpu for rate in bare)),
        "share": round(value / beside, 2),
        "rounds": [round(rate.wall) for rate in ours],
        "bar": round(BAR * beside),
    }


if __name__ == "__main__":
    print(json.dumps(run(*sys.argv[1:2]), indent=1))
