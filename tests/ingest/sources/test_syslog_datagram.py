"""Syslog over UDP: real sockets, the embedded log."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from ingest.sources.syslog_datagram import SyslogDatagram
from tests.ingest.sources.collected import lines, raw_records, running, until
from tests.ingest.sources.memory_log import MemoryLog, unavailable_once
from tocsin.errors import LogUnavailable
from tocsin.source_config import SyslogSource

if TYPE_CHECKING:
    from tocsin.clock import ManualClock
    from tocsin.log.base import Log
    from tocsin.log.sqlite import SqliteLog

NONCE = "00112233aabbccdd"


def datagrams(log: Log, clock: ManualClock, **settings: Any) -> SyslogDatagram:
    given = {"type": "syslog", "transport": "udp", "port": 0, **settings}
    return SyslogDatagram(SyslogSource.model_validate(given), log, clock, nonce=NONCE)


def send(address: tuple[str, int], *data: bytes) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        for piece in data:
            sender.sendto(piece, address)


async def received(source: SyslogDatagram, count: int) -> None:
    await until(lambda: source.account.received == count)


@pytest.mark.parametrize(("host", "peer"), [("127.0.0.1", b"127.0.0.1"), ("::1", b"::1")])
async def test_each_datagram_is_a_message(
    log: SqliteLog, clock: ManualClock, host: str, peer: bytes
) -> None:
    source = datagrams(log, clock, host=host, tenant="acme")
    async with running(source) as address:
        send(address, b"<13>one\n", b"<13>two\nlines\0", b"", b" \n", b"x" * 9_000)
        await until(lambda: source.account.received == 5)
    records = await raw_records(log)
    assert [r.value for r in records] == [b"<13>one", b"<13>two\nlines", b"x" * 9_000]
    assert {r.key for r in records} == {peer}
    assert {r.header("peer") for r in records} == {peer}
    assert {r.header("tenant") for r in records} == {b"acme"}
    assert len({r.header("origin-id") for r in records}) == 3
    assert source.account.filtered == {"blank": 2}


async def test_a_stop_takes_what_the_kernel_holds(log: SqliteLog, clock: ManualClock) -> None:
    source = datagrams(log, clock)
    sent = [b"<13>line %d" % number for number in range(100)]
    async with running(source) as address:
        send(address, *sent)
    assert await lines(log) == sent


async def test_while_the_log_is_away_they_wait_in_memory(clock: ManualClock) -> None:
    memory = MemoryLog()
    memory.before = unavailable_once("raw")
    source = datagrams(memory, clock)
    async with running(source) as address:
        send(address, b"<13>one", b"<13>two")
        await until(lambda: source.account.appended == 2)
    assert memory.lines() == [b"<13>one", b"<13>two"]
    assert source.account.errors == {"log_unavailable": 1}


async def test_what_finds_no_room_is_dropped_and_counted(clock: ManualClock) -> None:
    memory = MemoryLog()

    def away(_: object) -> None:
        raise LogUnavailable("no broker")

    memory.before = away
    source = datagrams(memory, clock, max_waiting=1024 * 1024)
    async with running(source) as address:
        for sent in range(50, 2_001, 50):
            send(address, *[b"x" * 1_000] * 50)
            await received(source, sent)
        assert source._size <= 1024 * 1024 + 1_200
    dropped = source.account.dropped
    assert dropped["queue_full"] + dropped["stopped"] + dropped["kernel"] == 2_000
    assert dropped["queue_full"] > 500


async def test_what_the_kernel_dropped_is_counted(
    log: SqliteLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.sources.syslog_datagram.KERNEL_BUFFER", 4_096)
    source = datagrams(log, clock)
    async with running(source) as address:
        send(address, *[b"x" * 500] * 400)  # in one go: the loop has no chance to read
        await until(lambda: source.account.received == 400)
    assert source.account.dropped["kernel"] > 0
    assert source.account.appended + source.account.dropped["kernel"] == 400
