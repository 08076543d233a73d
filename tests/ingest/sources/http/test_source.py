"""The `http` source as a server: durable before it answers, bounded, and polite about it."""

from __future__ import annotations

import asyncio
import gzip
import random
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.ingest.sources.collected import letters, lines, raw_records, until
from tests.ingest.sources.http.served import client, http_source
from tests.ingest.sources.memory_log import MemoryLog, unavailable_once
from tocsin.errors import LogUnavailable
from tocsin.log.base import MAX_RECORD

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence

    from tests.ingest.sources.certificates import Certificates
    from tocsin.clock import ManualClock
    from tocsin.log.base import Outgoing, Position
    from tocsin.log.sqlite import SqliteLog

MIB = 1024 * 1024


class HeldLog(MemoryLog):
    """A log that appends when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.asked = asyncio.Event()

    async def append(self, records: Sequence[Outgoing]) -> list[Position]:
        self.asked.set()
        await self.let.wait()
        return await super().append(records)


async def test_plain_lines(log: SqliteLog, clock: ManualClock) -> None:
    source = http_source(log, clock, source="appliance", tenant="acme", formats=["cef"])
    async with client(source) as http:
        answer = await http.post("/ingest", content=b"one\r\n\n  \ntwo")
        assert answer.json() == {"accepted": 2}
        answer = await http.post("/ingest", json=[{"a": 1}, {"a": 2}])
        assert answer.json() == {"accepted": 1}
        json = {"Content-Type": "application/json; charset=utf-8"}
        answer = await http.post("/ingest", content=b'{"a":1}\n{"a":2}\n', headers=json)
        assert answer.json() == {"accepted": 2}
        assert (await http.post("/ingest", content=b"\n")).status_code == 400
    taken = [b"one", b"two", b'[{"a":1},{"a":2}]', b'{"a":1}', b'{"a":2}']
    records = await raw_records(log)
    assert [record.value for record in records] == taken
    headers = {name: value for name, value in records[0].headers if name != "origin-id"}
    assert headers["source"] == b"appliance"
    assert headers["tenant"] == b"acme"
    assert headers["format"] == b"cef"
    assert source.account.filtered == {"blank": 1}
    assert source.account.waiting == 0


async def test_a_key_makes_a_body_sent_again_the_same_events(
    log: SqliteLog, clock: ManualClock
) -> None:
    async with client(http_source(log, clock)) as http:
        for key in ("k1", "k1", "k2"):
            await http.post("/ingest", content=b"a\nb", headers={"Idempotency-Key": key})
    identities = [record.header("origin-id") for record in await raw_records(log)]
    assert identities[:2] == identities[2:4]
    assert len(set(identities)) == 4


async def test_a_line_too_large_for_a_record_is_kept_in_parts(
    log: SqliteLog, clock: ManualClock
) -> None:
    source = http_source(log, clock)
    async with client(source) as http:
        answer = await http.post("/ingest", content=b"small\n" + b"x" * (MAX_RECORD + 1))
        assert answer.json() == {"accepted": 2}
    assert await lines(log) == [b"small"]
    parts = await letters(log)
    assert b"".join(part.original for part in parts) == b"x" * (MAX_RECORD + 1)
    assert {part.code for part in parts} == {"too_long"}
    assert source.account.dead == {"too_long": 1}


async def test_the_answer_comes_after_the_log_has_it(clock: ManualClock) -> None:
    held = HeldLog()
    async with client(http_source(held, clock)) as http:
        asking = asyncio.create_task(http.post("/ingest", content=b"one"))
        await held.asked.wait()
        done, _ = await asyncio.wait({asking}, timeout=0.1)
        assert not done, "it was answered before the log had it"
        held.let.set()
        assert (await asking).status_code == 200
    assert held.lines() == [b"one"]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/ingest", b"one", {}, 503),
        ("/services/collector", b'{"event":"x"}', {}, 503),
        ("/_bulk", b'{"index":{}}\n{}\n', {}, 503),
        (
            "/v1/logs",
            b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"flags":1}]}]}]}',
            {"Content-Type": "application/json"},
            503,
        ),
        ("/_bulk", b"rubbish", {}, 503),
    ],
)
async def test_while_the_log_is_away_the_sender_is_asked_to_come_again(
    clock: ManualClock, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    memory = MemoryLog()

    def away(_: object) -> None:
        raise LogUnavailable("no broker at 192.0.2.1")

    memory.before = away
    source = http_source(memory, clock)
    async with client(source) as http:
        answer = await http.post(path, content=body, headers=headers)
        assert answer.status_code == status
        assert answer.headers["retry-after"] == "2"
        assert "192.0.2.1" not in answer.text
    assert source.account.refused == {"unavailable": 1}
    assert source.account.errors == {"log_unavailable": 1}


async def test_it_says_that_the_log_is_away_until_it_is_back(clock: ManualClock) -> None:
    memory = MemoryLog()
    memory.before = unavailable_once("raw")
    source = http_source(memory, clock)
    async with client(source) as http:
        assert (await http.post("/ingest", content=b"one")).status_code == 503
        assert "the broker is away" in source.down
        assert (await http.post("/ingest", content=b"one")).status_code == 200
        assert source.down == ""


async def test_more_than_may_wait_is_told_to_come_again(clock: ManualClock) -> None:
    held = HeldLog()
    source = http_source(held, clock, max_waiting=MIB)
    async with client(source) as http:
        large = b"x" * (MIB - 10)
        first = asyncio.create_task(http.post("/ingest", content=large))
        await held.asked.wait()
        answer = await http.post("/ingest", content=b"y" * 100)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
        hec = await http.post("/services/collector", content=b'{"event":"more"}')
        assert (hec.status_code, hec.json()["code"]) == (503, 9)
        held.let.set()
        assert (await first).status_code == 200
        assert (await http.post("/ingest", content=b"y" * 100)).status_code == 200
    assert source.account.refused == {"busy": 2}
    assert held.lines() == [large, b"y" * 100]


async def test_bodies_that_are_received_together_are_bounded(clock: ManualClock) -> None:
    held = HeldLog()
    source = http_source(held, clock, max_waiting=MIB, max_body=4 * MIB)

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * (MIB - 1) + b"\n"
        await held.let.wait()

    async with client(source) as http:
        first = asyncio.create_task(http.post("/ingest", content=slowly()))
        await until(lambda: source._intake._bodies.held >= 3 * MIB)
        answer = await http.post("/ingest", content=b"y")
        assert answer.status_code == 429
        held.let.set()
        assert (await first).status_code == 200
        assert source._intake._bodies.held == 0


async def test_bodies_too_large_and_bombs(log: SqliteLog, clock: ManualClock) -> None:
    source = http_source(log, clock, max_body=MIB)
    gzipped = {"Content-Encoding": "gzip"}

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000

    async with client(source) as http:
        assert (await http.post("/ingest", content=b"x" * (MIB + 1))).status_code == 413
        assert (await http.post("/ingest", content=endless())).status_code == 413
        bomb = gzip.compress(bytes(40 * MIB))
        assert (await http.post("/ingest", content=bomb, headers=gzipped)).status_code == 413
        for wrong in (b"no gzip", gzip.compress(b"one")[:-3]):
            answer = await http.post("/ingest", content=wrong, headers=gzipped)
            assert answer.status_code == 400
        brotli = {"Content-Encoding": "br"}
        assert (await http.post("/ingest", content=b"x", headers=brotli)).status_code == 415
        assert (await http.post("/ingest", content=b"x" * MIB)).status_code == 200
        assert source._intake._bodies.held == 0
    assert source.account.refused == {"too_large": 3, "malformed": 2, "unsupported": 1}
    assert len(await lines(log)) == 1


async def test_a_sender_that_stops_in_the_middle(log: SqliteLog, clock: ManualClock) -> None:
    source = http_source(log, clock, idle="1s")
    async with client(source) as http:
        host, port = http.base_url.host, http.base_url.port
        head = b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"
        openings = {b"": 0, b"POST /ing": 0, head: 408}
        opened = [await asyncio.open_connection(host, port) for _ in openings]
        for (_, writer), opening in zip(opened, openings, strict=True):
            writer.write(opening)
        for (reader, writer), status in zip(opened, openings.values(), strict=True):
            async with asyncio.timeout(20):
                answer = await _rest(reader)
            assert answer.startswith(b"HTTP/1.1 %d" % status) if status else answer == b""
            writer.close()
        await until(lambda: source.account.connections == 0)
    assert source.account.refused == {"timeout": 3}
    assert await lines(log) == []


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_a_sender_that_goes_away_in_the_middle(log: SqliteLog, clock: ManualClock) -> None:
    source = http_source(log, clock)
    async with client(source) as http:
        _, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
        writer.write(b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        await until(lambda: source._intake._bodies.held == 4)
        writer.close()
        await until(lambda: source.account.refused["disconnected"] == 1)
        assert source._intake._bodies.held == 0
    assert await lines(log) == []


async def test_connections_beyond_the_limit_are_closed(log: SqliteLog, clock: ManualClock) -> None:
    source = http_source(log, clock, max_connections=2)
    async with client(source) as http:
        held = [
            await asyncio.open_connection(http.base_url.host, http.base_url.port) for _ in range(2)
        ]
        await until(lambda: source.account.connections == 2)
        with pytest.raises(httpx.TransportError):
            await http.post("/ingest", content=b"one")
        assert source.account.refused["connections"] == 1
        for _, writer in held:
            writer.close()
        await until(lambda: source.account.connections == 0)
        assert (await http.post("/ingest", content=b"one")).status_code == 200


async def test_a_stop_lets_requests_under_way_finish(clock: ManualClock) -> None:
    held = HeldLog()
    source = http_source(held, clock)
    async with client(source) as http:
        asking = asyncio.create_task(http.post("/ingest", content=b"one"))
        await held.asked.wait()
        source.stop()
        held.let.set()
        assert (await asking).status_code == 200
    assert held.lines() == [b"one"]


async def test_what_is_no_http_and_what_is_not_here(log: SqliteLog, clock: ManualClock) -> None:
    source = http_source(log, clock)
    async with client(source) as http:
        reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
        writer.write(b"<13>syslog on the wrong port\n\r\n\r\n")
        assert b"400 Bad Request" in await _rest(reader)
        assert source.account.refused == {"malformed": 1}
        writer.close()
        assert (await http.get("/a/b/c")).status_code == 404
        assert (await http.get("/ingest")).status_code in (200, 405)
        assert (await http.delete("/_bulk")).status_code == 405


async def test_a_large_batch_is_taken_apart_off_the_loop(
    log: SqliteLog, clock: ManualClock
) -> None:
    sent = [b'{"event":"line %d"}' % number for number in range(60_000)]
    async with client(http_source(log, clock)) as http:
        answer = await http.post("/services/collector", content=b"".join(sent))
        assert answer.status_code == 200
    assert await lines(log) == sent


BODIES: dict[str, tuple[bytes, str]] = {
    "/services/collector": (b'{"time":1,"event":{"a":["x",1.5]}}{"event":"b"}', ""),
    "/services/collector/raw": (b"one\ntwo\n", ""),
    "/services/collector/ack": (b'{"acks":[1,2]}', ""),
    "/_bulk": (b'{"create":{"_index":"x","_id":"1"}}\n{"a":1}\n{"delete":{"_id":1}}\n', ""),
    "/v1/logs": (
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":"1"},"flags":1}]}]}]}',
        "application/json",
    ),
    "/ingest": (b'[{"a":1}]', "application/json"),
}


async def test_whatever_is_sent_is_answered_and_nothing_breaks(clock: ManualClock) -> None:
    """Mutated bodies and headers: never a 500, and everything received is accounted for."""
    chance = random.Random(11)  # noqa: S311  (test data)
    source = http_source(MemoryLog(), clock)
    seen = set()
    async with client(source) as http:
        for path, (body, kind) in BODIES.items():
            for _ in range(60):
                damaged = bytearray(body)
                for _ in range(chance.randrange(4)):
                    damaged[chance.randrange(len(damaged))] = chance.randrange(256)
                headers = {
                    "Content-Type": chance.choice([kind, "application/x-protobuf", "\xff/;"]),
                    "Content-Encoding": chance.choice(["", "", "gzip", "deflate", "x"]),
                    "X-Splunk-Request-Channel": chance.choice(["", "c"]),
                    "Idempotency-Key": chance.choice(["", "k" * 300]),
                }
                sent = [(n.encode(), v.encode("latin-1")) for n, v in headers.items() if v]
                answer = await http.post(path, content=bytes(damaged), headers=sent)
                seen.add(answer.status_code)
    assert seen == {200, 400, 415}
    assert source.account.errors == {}


class TestTls:
    @pytest.fixture
    def tls(self, certificates: Certificates) -> dict[str, Any]:
        return {
            "certificate_file": str(certificates.server),
            "key_file": str(certificates.server_key),
        }

    async def test_https(
        self, log: SqliteLog, clock: ManualClock, tls: dict[str, Any], certificates: Certificates
    ) -> None:
        source = http_source(log, clock, tls=tls)
        assert source.name.startswith("https ")
        async with client(source, verify=certificates.client_context()) as http:
            assert (await http.post("/ingest", content=b"one")).status_code == 200
        assert await lines(log) == [b"one"]

    async def test_a_client_certificate_where_one_is_asked_for(
        self, log: SqliteLog, clock: ManualClock, tls: dict[str, Any], certificates: Certificates
    ) -> None:
        source = http_source(log, clock, tls={**tls, "client_ca_file": certificates.authority})
        async with client(source, verify=certificates.client_context("client")) as http:
            assert (await http.post("/ingest", content=b"known")).status_code == 200
            for who in ("", "stranger"):
                context: ssl.SSLContext = certificates.client_context(who)
                async with httpx.AsyncClient(verify=context, trust_env=False) as other:
                    with pytest.raises(httpx.TransportError):
                        await other.post(f"{http.base_url}/ingest", content=b"unknown")
        assert await lines(log) == [b"known"]
