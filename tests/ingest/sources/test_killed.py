"""kill -9 of a collecting process: what was acknowledged is there, and nothing is there twice."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from tests.ingest.sources.collected import raw_records
from tocsin.clock import SystemClock
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tocsin.log.base import Record

BATCH = 20


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


Post = Callable[[httpx.AsyncClient, str, int], Awaitable[bool]]


def names(sender: str, number: int) -> list[str]:
    """The events of a batch: each says who sent it, which batch it was, and which one it is."""
    return [f"{sender}-{number}-{item}" for item in range(BATCH)]


async def bulk(http: httpx.AsyncClient, sender: str, number: int) -> bool:
    """One batch of documents with ids; whether it was acknowledged."""
    lines: list[dict[str, Any]] = []
    for name in names(sender, number):
        lines += [{"create": {"_index": "logs", "_id": name}}, {"message": name}]
    body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    answer = await http.post("/_bulk", content=body)
    return answer.status_code == 200 and not answer.json()["errors"]


async def otlp(http: httpx.AsyncClient, sender: str, number: int) -> bool:
    """One batch of log records with ids; whether it was acknowledged."""
    records = [
        {
            "body": {"stringValue": name},
            "attributes": [{"key": "log.record.uid", "value": {"stringValue": name}}],
        }
        for name in names(sender, number)
    ]
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    return (await http.post("/v1/logs", json=body)).status_code == 200


async def keyed(http: httpx.AsyncClient, sender: str, number: int) -> bool:
    """One batch of plain lines under a key; whether it was acknowledged."""
    body = "\n".join(names(sender, number)).encode()
    headers = {"Idempotency-Key": f"{sender}-{number}"}
    return (await http.post("/ingest", content=body, headers=headers)).status_code == 200


async def hec(http: httpx.AsyncClient, sender: str, number: int) -> bool:
    """One batch of events, which bring no ids; whether it was acknowledged."""
    body = b"".join(orjson.dumps({"event": name}) for name in names(sender, number))
    answer = await http.post("/services/collector", content=body)
    return answer.status_code == 200 and answer.json()["code"] == 0


#: Those that send again what was not acknowledged make one event of it; HEC has no ids.
SAME_AGAIN: dict[str, Post] = {"bulk": bulk, "otlp": otlp, "keyed": keyed}
POSTS: dict[str, Post] = {**SAME_AGAIN, "hec": hec}
ROUNDS, SENDERS, FLOODS = 2, 2, 2


def name_of(record: Record) -> str:
    """What its sender called a record."""
    if not record.value.startswith(b"{"):
        return record.value.decode()
    document = orjson.loads(record.value)
    name = document.get("message") or document["event"]
    assert isinstance(name, str)
    return name


async def send_until_killed(
    post: Post, url: str, sender: str, heard: asyncio.Event
) -> tuple[set[int], int]:
    """The batches that were acknowledged, and the one that was under way at the end.

    `heard` is set when the first one is acknowledged.
    """
    acknowledged: set[int] = set()
    number = 0
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        while True:
            try:
                if await post(http, sender, number):
                    acknowledged.add(number)
                    heard.set()
            except httpx.TransportError:
                return acknowledged, number
            number += 1


async def send_again(url: str, sent: dict[str, tuple[set[int], int]]) -> None:
    """What was under way, and (as if their answers were lost) batches that were acknowledged."""
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        for sender, (acknowledged, under_way) in sent.items():
            post = SAME_AGAIN.get(sender.partition(".")[0])
            for number in (under_way, max(acknowledged)) if post is not None else ():
                assert post is not None
                assert await post(http, sender, number)


async def test_what_was_acknowledged_is_there_and_nothing_is_there_twice(tmp_path: Path) -> None:
    """HEC, `_bulk`, OTLP, plain lines and TCP at once; killed, started, killed again."""
    store = tmp_path / "log.sqlite"
    sent: dict[str, tuple[set[int], int]] = {}
    durable = 0
    for round_ in range(ROUNDS):
        async with collector(store) as running:
            heard = {
                f"{kind}.{round_}{number}": asyncio.Event()
                for kind in POSTS
                for number in range(SENDERS)
            }
            sending = {
                name: asyncio.create_task(send_until_killed(post, running.http, name, heard[name]))
                for kind, post in POSTS.items()
                for name in (f"{kind}.{round_}{number}" for number in range(SENDERS))
            }
            floods = [
                asyncio.create_task(flood(running.tcp, f"tcp.{round_}{number}"))
                for number in range(FLOODS)
            ]
            said = await running.told(2_000)
            await asyncio.gather(*(first.wait() for first in heard.values()))
            durable += max(said, await running.kill())
            await asyncio.gather(*floods)
            sent |= {name: await task for name, task in sending.items()}
    async with collector(store) as running:
        await send_again(running.http, sent)
        await running.kill()
    records = await records_of(store)
    posted = [record for record in records if not record.value.startswith(b"<13>")]
    for sender, (acknowledged, _) in sent.items():
        assert acknowledged, f"nothing of {sender} was acknowledged: the kill came too early"
    by_id = {record.header("origin-id"): name_of(record) for record in posted}
    counted = Counter(by_id.values())
    assert set(counted.values()) == {1}, "one event under two identities"
    for sender, (acknowledged, under_way) in sent.items():
        again = {under_way} if sender.partition(".")[0] in SAME_AGAIN else set()
        for number in acknowledged | again:
            assert counted.keys() >= set(names(sender, number)), "an acknowledged event is gone"
    assert len(posted) > len(by_id), "nothing was sent twice: the test proved nothing"
    check_order([record for record in records if record.value.startswith(b"<13>")])
    assert len(records) >= durable


def check_order(records: Sequence[Record]) -> None:
    """Plain syslog has no acknowledgement: what was in flight is lost and nothing else."""
    assert len({record.header("origin-id") for record in records}) == len(records)
    seen: dict[str, list[int]] = {}
    for record in records:
        sender, _, number = record.value.removeprefix(b"<13>").decode().partition(" ")
        seen.setdefault(sender, []).append(int(number))
    assert len(seen) == ROUNDS * FLOODS
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
