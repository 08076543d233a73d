"""How fast the embedded log is: `python -m bench.log`.

500-byte records with a key and three headers, in batches of 1000, through the public
asynchronous interface, four partitions, synchronous=FULL, on the disk that holds `TMPDIR`.
Written bytes and fsyncs dominate, so the medium matters: /dev/shm is no disk.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from tocsin.clock import SystemClock
from tocsin.contracts import raw_record
from tocsin.log.base import Completion, Outgoing, Topic
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RECORD_BYTES = 500
BATCH = 1000
BATCHES = 100
ROUNDS = 5

#: Time of the records, ms; ten of them share a millisecond.
NOW = 1_700_000_000_000

#: What `make bench` holds the figure against, records per second.
BAR = 50_000


class Rate(NamedTuple):
    """Records per second of the clock, and of this process's CPU (which a busy machine keeps)."""

    wall: float
    cpu: float


def run() -> list[dict[str, Any]]:
    """Rates in records per second: the median of ROUNDS fresh files, and each round's."""
    return asyncio.run(_run())


async def _run() -> list[dict[str, Any]]:
    appends: list[Rate] = []
    polls: list[Rate] = []
    singles: list[Rate] = []
    for _ in range(ROUNDS):
        with TemporaryDirectory(prefix="tocsin-bench-") as directory:
            log = SqliteLog(Path(directory) / "log.db", clock=SystemClock())
            await log.start()
            await log.create([Topic("in"), Topic("out"), Topic("single")])
            appends.append(await _rate(_append, log))
            polls.append(await _rate(_consume, log))
            singles.append(await _rate(_single, log))
            await log.close()
    return [
        _figure("sqlite append, 500 B, batches of 1000", appends, BAR),
        _figure("sqlite poll + complete, batches of 1000", polls),
        _figure("sqlite append, 64 callers with one record each", singles),
    ]


async def _rate(work: Callable[[SqliteLog], Awaitable[int]], log: SqliteLog) -> Rate:
    started, cpu = time.perf_counter(), time.process_time()
    count = await work(log)
    return Rate(count / (time.perf_counter() - started), count / (time.process_time() - cpu))


def _records(topic: str) -> list[Outgoing]:
    lines = [
        raw_record(b"x" * RECORD_BYTES, source="bench", received=NOW + n // 10, key=b"key-%d" % n)
        for n in range(BATCH)
    ]
    return [line._replace(topic=topic) for line in lines]


async def _append(log: SqliteLog) -> int:
    batch = _records("in")
    for _ in range(BATCHES):
        await log.append(batch)
    return BATCH * BATCHES


async def _consume(log: SqliteLog) -> int:
    subscription = await log.subscribe("bench", "in")
    count = 0
    while count < BATCH * BATCHES:
        polled = await subscription.poll(BATCH, 1.0)
        await subscription.complete([Completion(at, r[-1].offset + 1) for at, r in polled.items()])
        count += sum(len(records) for records in polled.values())
    return count


async def _single(log: SqliteLog) -> int:
    batch = _records("single")

    async def caller() -> None:
        for record in batch[:50]:
            await log.append([record])

    async with asyncio.TaskGroup() as callers:
        for _ in range(64):
            callers.create_task(caller())
    return 64 * 50


def _figure(name: str, rates: list[Rate], bar: int | None = None) -> dict[str, Any]:
    figure = {
        "name": name,
        "unit": "records/s",
        "value": round(statistics.median(rate.wall for rate in rates)),
        "per_cpu_second": round(statistics.median(rate.cpu for rate in rates)),
        "rounds": [round(rate.wall) for rate in rates],
    }
    return figure if bar is None else {**figure, "bar": bar}


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
