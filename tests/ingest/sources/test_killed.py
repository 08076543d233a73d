"""kill -9 of a collecting process: what was acknowledged is there, and nothing is there twice."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from tests.ingest.sources.collected import raw_records
from tocsin.clock import SystemClock
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tocsin.log.base import Record

BATCH = 20
SENDERS = 4


class Collector:
    """A running tests.ingest.sources.collector."""

    def __init__(self, process: asyncio.subprocess.Process, ports: dict[str, Any]) -> None:
        self.http = "http://{}:{}".format(*ports["http"])
        self.tcp: tuple[str, int] = tuple(ports["tcp"])
        self._process = process

    async def told(self, count: int) -> int:
        """How many records are durable, once there are so many."""
        assert self._process.stdout is not None
        durable = 0
        while durable < count:
            durable = int(await self._process.stdout.readline())
        return durable

    async def kill(self) -> int:
        """Kill it; how many records it said were durable before it died."""
        self._process.kill()
        assert self._process.stdout is not None
        left = (await self._process.stdout.read()).split(b"\n")
        assert await self._process.wait() == -signal.SIGKILL
        return max((int(line) for line in left if line), default=0)


@asynccontextmanager
async def collector(store: Path) -> AsyncIterator[Collector]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.ingest.sources.collector", str(store),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield Collector(process, json.loads(await process.stdout.readline()))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def records_of(store: Path) -> list[Record]:
    log = SqliteLog(store, clock=SystemClock())
    await log.start()
    try:
        return await raw_records(log)
    finally:
        await log.close()


Post = "Callable[[httpx.AsyncClient, str, int], Awaitable[bool]]"


async def bulk(http: httpx.AsyncClient, sender: str, number: int) -> bool:
    """One batch of documents with ids; whether it was acknowledged."""
    lines = []
    for item in range(BATCH):
        name = f"{sender}-{number}-{item}"
        lines += [{"create": {"_index": "logs", "_id": name}}, {"message": name}]
    body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    answer = await http.post("/_bulk", content=body)
    return answer.status_code == 200 and not answer.json()["errors"]


async def hec(http: httpx.AsyncClient, sender: str, number: int) -> bool:
    """One batch of events, which bring no ids; whether it was acknowledged."""
    body = b"".join(orjson.dumps({"event": f"{sender}-{number}-{item}"}) for item in range(BATCH))
    answer = await http.post("/services/collector", content=body)
    return answer.status_code == 200 and answer.json()["code"] == 0


async def send_until_killed(
    post: Callable[[httpx.AsyncClient, str, int], Awaitable[bool]], url: str, sender: str
) -> tuple[set[int], int]:
    """The batches that were acknowledged, and the one that was under way at the end."""
    acknowledged: set[int] = set()
    number = 0
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        while True:
            try:
                if await post(http, sender, number):
                    acknowledged.add(number)
            except httpx.TransportError:
                return acknowledged, number
            number += 1


async def test_documents_with_ids_are_all_there_and_none_is_twice(tmp_path: Path) -> None:
    """Senders send again what was not acknowledged, and (their answer lost) what was."""
    store = tmp_path / "log.sqlite"
    senders = [f"s{number}" for number in range(SENDERS)]
    expected: set[str] = set()
    for round_ in range(3):
        names = [f"{sender}r{round_}" for sender in senders]
        async with collector(store) as running:
            sending = [
                asyncio.create_task(send_until_killed(bulk, running.http, name)) for name in names
            ]
            await running.told(400)
            await running.kill()
            sent = dict(zip(names, await asyncio.gather(*sending), strict=True))
        present = {record.value for record in await records_of(store)}
        for name, (acknowledged, under_way) in sent.items():
            assert acknowledged, "nothing was acknowledged: the kill came too early"
            for number in acknowledged:
                documents = {
                    orjson.dumps({"message": f"{name}-{number}-{item}"}) for item in range(BATCH)
                }
                assert documents <= present
            expected |= {
                f"{name}-{number}-{item}"
                for number in {*acknowledged, under_way}
                for item in range(BATCH)
            }
        async with (
            collector(store) as running,
            httpx.AsyncClient(base_url=running.http, timeout=30, trust_env=False) as http,
        ):
            for name, (acknowledged, under_way) in sent.items():
                for number in (under_way, max(acknowledged)):
                    assert await bulk(http, name, number)
            await running.kill()
    records = await records_of(store)
    by_id = {
        record.header("origin-id"): orjson.loads(record.value)["message"] for record in records
    }
    assert Counter(by_id.values()) == Counter(expected)
    assert len(records) > len(by_id), "nothing was sent twice: the test proved nothing"


async def test_events_without_ids_that_were_acknowledged_are_there_once(tmp_path: Path) -> None:
    store = tmp_path / "log.sqlite"
    acknowledged: Counter[str] = Counter()
    for round_ in range(3):
        names = [f"s{number}r{round_}" for number in range(SENDERS)]
        async with collector(store) as running:
            sending = [
                asyncio.create_task(send_until_killed(hec, running.http, name)) for name in names
            ]
            await running.told(400)
            await running.kill()
            for name, (numbers, _) in zip(names, await asyncio.gather(*sending), strict=True):
                assert numbers
                acknowledged.update(f"{name}-{n}-{i}" for n in numbers for i in range(BATCH))
    records = await records_of(store)
    present = Counter(orjson.loads(record.value)["event"] for record in records)
    assert all(present[event] == 1 for event in acknowledged)
    assert max(present.values()) == 1
    assert len({record.header("origin-id") for record in records}) == len(records)


async def test_what_tcp_brought_and_the_log_took_is_there_in_order_and_once(
    tmp_path: Path,
) -> None:
    """Plain syslog has no acknowledgement: what was in flight is lost and nothing else."""
    store = tmp_path / "log.sqlite"
    durable = 0
    for round_ in range(3):
        async with collector(store) as running:
            sending = [
                asyncio.create_task(flood(running.tcp, f"s{number}r{round_}"))
                for number in range(SENDERS)
            ]
            said = await running.told(2_000)
            durable += max(said, await running.kill())
            await asyncio.gather(*sending)
    records = await records_of(store)
    assert len(records) >= durable
    assert len({record.header("origin-id") for record in records}) == len(records)
    seen: dict[str, list[int]] = {}
    for record in records:
        sender, _, number = record.value.removeprefix(b"<13>").decode().partition(" ")
        seen.setdefault(sender, []).append(int(number))
    assert len(seen) == 3 * SENDERS
    for numbers in seen.values():
        assert numbers == list(range(len(numbers))), "a gap, a double, or another order"


async def flood(address: tuple[str, int], sender: str) -> None:
    """Send numbered lines, in both framings, until nobody takes them."""
    _, writer = await asyncio.open_connection(*address)
    first = 0
    try:
        while not writer.transport.is_closing():
            for number in range(first, first + 50):
                line = b"<13>%s %d" % (sender.encode(), number)
                framed = b"%d %s" % (len(line), line) if number % 2 else line + b"\n"
                writer.write(framed)
            first += 50
            await writer.drain()
            await asyncio.sleep(0.001)  # not as fast as can be: others want to run, too
    except OSError:
        pass  # it was killed
    finally:
        writer.transport.abort()
