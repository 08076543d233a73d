"""Syslog over TCP and TLS: real sockets, the embedded log."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from typing import TYPE_CHECKING, Any

import pytest

from ingest.sources.listening import bind
from ingest.sources.records import syslog_key
from ingest.sources.syslog_stream import SyslogStream
from tests.ingest.sources.collected import letters, lines, raw_records, running, until
from tests.ingest.sources.conftest import NOW
from tests.ingest.sources.memory_log import MemoryLog, unavailable_once
from tocsin.errors import ConfigError, LogUnavailable
from tocsin.source_config import SyslogSource

if TYPE_CHECKING:
    from tests.ingest.sources.certificates import Certificates
    from tocsin.clock import ManualClock
    from tocsin.log.base import Log
    from tocsin.log.sqlite import SqliteLog

NONCE = "00112233aabbccdd"


def stream(log: Log, clock: ManualClock, **settings: Any) -> SyslogStream:
    chosen = SyslogSource.model_validate({"type": "syslog", "port": 0, **settings})
    return SyslogStream(chosen, log, clock, nonce=NONCE)


async def send(address: tuple[str, int], *data: bytes, **options: Any) -> None:
    """Send each piece by itself, then close."""
    _, writer = await asyncio.open_connection(*address, **options)
    for piece in data:
        writer.write(piece)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def nothing_from(reader: asyncio.StreamReader) -> bool:
    """Whether the other side ends the connection, with a TLS alert at most."""
    try:
        return b"13>" not in await reader.read()
    except (OSError, ssl.SSLError):
        return True


async def test_both_framings_on_one_port_and_one_connection(
    log: SqliteLog, clock: ManualClock
) -> None:
    source = stream(log, clock)
    async with running(source) as address:
        await send(address, b"<13>one\n<13>two\r\n", b"9 <13>thr", b"ee\n<13>four")
        await until(lambda: source.account.appended == 4)
    assert await lines(log) == [b"<13>one", b"<13>two", b"<13>three", b"<13>four"]
    assert source.account.filtered == {"blank": 1}
    assert source.account.bytes == 37


async def test_a_record_says_where_it_comes_from(log: SqliteLog, clock: ManualClock) -> None:
    source = stream(
        log, clock, source="dmz", tenant="acme", timezone="Europe/Berlin", formats=["a.b", "c"]
    )
    async with running(source) as address:
        await send(address, b"<13>one\n<13>two\n")
        await until(lambda: source.account.appended == 2)
    one, two = await raw_records(log)
    assert one.key == b"127.0.0.1"
    assert one.timestamp == NOW
    assert dict(one.headers) == {
        "source": b"dmz",
        "tenant": b"acme",
        "received": b"%d" % NOW,
        "timezone": b"Europe/Berlin",
        "format": b"a.b,c",
        "peer": b"127.0.0.1",
        "origin-id": f"{NONCE}{0:016x}".encode(),
    }
    assert two.header("origin-id") == f"{NONCE}{1:016x}".encode()


@pytest.mark.parametrize(
    ("message", "key"),
    [
        (b"<34>1 2026-11-22T10:00:00.003Z web-1.example.com su - ID47 - x", b"web-1.example.com"),
        (b"<34>1 - - su - - - x", b"peer"),
        (b"<34>Oct 11 22:14:15 web-1 su: x", b"web-1"),
        (b"<34>Oct  1 22:14:15 192.0.2.7 su[1]: x", b"192.0.2.7"),
        (b"<34>2026-11-22T10:00:00+01:00 web-1 su: x", b"web-1"),
        (b"<34>Oct 11 22:14:15 su: x", b"peer"),
        (b"<34>Oct 11 22:14:15 su[42]: x", b"peer"),
        (b"Oct 11 22:14:15 web-1 su: x", b"peer"),
        (b"<34>" + b"9" * 100_000, b"peer"),
        (b"", b"peer"),
    ],
)
def test_one_hosts_messages_stay_in_order(message: bytes, key: bytes) -> None:
    assert syslog_key(message, b"peer") == key


async def test_without_settings_a_record_says_no_more_than_it_must(
    log: SqliteLog, clock: ManualClock
) -> None:
    source = stream(log, clock)
    async with running(source) as address:
        await send(address, b"<13>one\n")
        await until(lambda: source.account.appended == 1)
    (record,) = await raw_records(log)
    names = [name for name, _ in record.headers]
    assert names == ["source", "tenant", "received", "peer", "origin-id"]
    assert record.header("source") == b"syslog"


async def test_a_message_too_long_is_a_dead_letter_and_the_connection_goes_on(
    log: SqliteLog, clock: ManualClock
) -> None:
    source = stream(log, clock, max_line=480, tenant="acme")
    long = b"<13>" + b"x" * 600
    async with running(source) as address:
        await send(address, long + b"\n<13>a\n", b"%d %s" % (len(long), long), b"5 <13>b")
        await until(lambda: source.account.appended == 2)
    assert await lines(log) == [b"<13>a", b"<13>b"]
    first, second = await letters(log)
    assert first.original == second.original == long[:480]
    assert (first.stage, first.code, first.key) == ("collect", "too_long", b"127.0.0.1")
    assert first.id != second.id
    assert first.headers["tenant"] == "acme"
    assert len(first.headers["origin-id"]) == 32
    assert source.account.dead == {"too_long": 2}


async def test_a_connection_that_ends_within_a_counted_message(
    log: SqliteLog, clock: ManualClock
) -> None:
    source = stream(log, clock)
    async with running(source) as address:
        await send(address, b"20 <13>only half")
        await until(lambda: source.account.dead.total() == 1)
    (letter,) = await letters(log)
    assert (letter.code, letter.original) == ("truncated", b"<13>only half")


async def test_what_had_arrived_before_a_reset_is_kept(log: SqliteLog, clock: ManualClock) -> None:
    source = stream(log, clock)
    sent = [b"<13>line %d" % number for number in range(2_000)]
    async with running(source) as address:
        connection = socket.create_connection(address)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await asyncio.to_thread(connection.sendall, b"".join(each + b"\n" for each in sent))
        await until(lambda: source.account.bytes >= 20_000)
        connection.close()
        await until(lambda: source.account.connections == 0)
    taken = await lines(log)
    assert taken[:-1] == sent[: len(taken) - 1]
    assert len(taken) > 1_000


async def test_connections_beyond_the_limit_are_closed_and_counted(
    log: SqliteLog, clock: ManualClock
) -> None:
    source = stream(log, clock, max_connections=2)
    async with running(source) as address:
        held = [await asyncio.open_connection(*address) for _ in range(2)]
        await until(lambda: source.account.connections == 2)
        reader, writer = await asyncio.open_connection(*address)
        assert await nothing_from(reader)
        writer.close()
        assert source.account.refused == {"connections": 1}
        for _, writer in held:
            writer.close()
        await until(lambda: source.account.connections == 0)
        await send(address, b"<13>now there is room\n")
        await until(lambda: source.account.appended == 1)


async def test_a_silent_connection_is_closed_and_its_last_line_kept(
    log: SqliteLog, clock: ManualClock
) -> None:
    source = stream(log, clock, idle="50ms")
    async with running(source) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"<13>no end")
        assert await reader.read() == b""
        writer.close()
        await until(lambda: source.account.appended == 1)
        assert source.account.refused == {"idle": 1}
    assert await lines(log) == [b"<13>no end"]


async def test_a_stop_takes_what_has_arrived(log: SqliteLog, clock: ManualClock) -> None:
    source = stream(log, clock)
    sent = [b"<13>line %d" % number for number in range(20_000)]
    async with running(source) as address:
        _, writer = await asyncio.open_connection(*address)
        writer.write(b"".join(line + b"\n" for line in sent))
        await writer.drain()
        await until(lambda: source.account.connections == 1)
    assert await lines(log) == sent
    writer.close()


async def test_while_the_log_is_away_the_sender_waits_and_nothing_is_lost_or_doubled(
    clock: ManualClock,
) -> None:
    memory = MemoryLog()
    memory.before = unavailable_once("raw")
    source = stream(memory, clock)
    async with running(source) as address:
        await send(address, b"<13>one\n<13>two\n")
        await until(lambda: source.account.appended == 2)
        assert source.account.errors == {"log_unavailable": 1}
        assert source.down == ""
    assert memory.lines() == [b"<13>one", b"<13>two"]


async def test_an_append_whose_answer_was_lost_makes_no_second_identity(
    clock: ManualClock,
) -> None:
    memory = MemoryLog()
    memory.after = unavailable_once("raw")
    source = stream(memory, clock)
    async with running(source) as address:
        await send(address, b"<13>one\n")
        await until(lambda: source.account.appended == 1)
    assert memory.lines() == [b"<13>one", b"<13>one"]
    assert len(set(memory.origins())) == 1


async def test_a_log_that_stays_away_makes_senders_wait_and_does_not_hold_up_a_stop(
    clock: ManualClock,
) -> None:
    memory = MemoryLog()

    def away(_: object) -> None:
        raise LogUnavailable("no broker")

    memory.before = away
    source = stream(memory, clock, max_waiting=1024 * 1024)
    line = b"<13>" + b"x" * 1_000 + b"\n"

    async def flood(address: tuple[str, int]) -> None:
        _, writer = await asyncio.open_connection(*address)
        try:
            while True:
                writer.write(line * 100)
                await writer.drain()
        finally:
            writer.transport.abort()

    async with running(source) as address:
        flooding = [asyncio.create_task(flood(address)) for _ in range(3)]
        await until(lambda: source.down != "")
        assert "no broker" in source.down
        await asyncio.wait(flooding, timeout=0.3)
        assert not any(task.done() for task in flooding)
        assert source.account.bytes < 3_000_000, "nobody made the senders wait"
        for task in flooding:
            task.cancel()
        await asyncio.wait(flooding)
    assert source.account.dropped["stopped"] > 0


async def test_a_defect_that_one_connection_meets_stays_its_own(
    log: SqliteLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = stream(log, clock)
    original = source._records

    def fragile(messages: Any, faults: Any, peer: str) -> Any:
        assert messages != [b"<13>bad"]
        return original(messages, faults, peer)

    monkeypatch.setattr(source, "_records", fragile)
    async with running(source) as address:
        await send(address, b"<13>bad\n")
        await until(lambda: source.account.errors["internal"] == 1)
        await send(address, b"<13>good\n")
        await until(lambda: source.account.appended == 1)
    assert await lines(log) == [b"<13>good"]


async def test_a_port_in_use_is_tried_again(
    log: SqliteLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.sources.listening.LISTEN_AGAIN", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        source = stream(log, clock, port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match="cannot listen: Address already in use"):
            await source.check()
        work = asyncio.create_task(source.run())
        await until(lambda: source.account.errors["listen"] >= 2)
        assert "Address already in use" in source.down
    await source.listening.wait()
    assert source.down == ""
    source.stop()
    await work


def test_answers_are_not_held_back_for_more() -> None:
    """asyncio sets TCP_NODELAY only on sockets that name their protocol."""
    bound = bind(SyslogSource(type="syslog", port=0), socket.SOCK_STREAM)
    with bound:
        assert bound.proto == socket.IPPROTO_TCP


class TestTls:
    @pytest.fixture
    def tls(self, certificates: Certificates) -> dict[str, str]:
        return {
            "certificate_file": str(certificates.server),
            "key_file": str(certificates.server_key),
        }

    async def test_octet_counted_and_lines(
        self,
        log: SqliteLog,
        clock: ManualClock,
        tls: dict[str, str],
        certificates: Certificates,
    ) -> None:
        source = stream(log, clock, tls=tls)
        assert source.name == "syslog tls 127.0.0.1:0"
        async with running(source) as address:
            context = certificates.client_context()
            await send(address, b"7 <13>one", b"<13>two\n", ssl=context)
            await until(lambda: source.account.appended == 2)
        assert await lines(log) == [b"<13>one", b"<13>two"]

    async def test_nothing_is_written_to_a_sender_that_does_not_read(
        self,
        log: SqliteLog,
        clock: ManualClock,
        tls: dict[str, str],
        certificates: Certificates,
    ) -> None:
        """A socket closed with something unread in it is reset, and what it sent last is lost."""
        source = stream(log, clock, tls=tls)
        sent = [b"<13>line %d" % number for number in range(3_000)]
        async with running(source) as address:

            def send() -> None:
                with socket.create_connection(address) as connection:
                    context = certificates.client_context()
                    secured = context.wrap_socket(connection, server_hostname="localhost")
                    secured.sendall(b"".join(line + b"\n" for line in sent))
                    secured.close()

            for _ in range(3):
                await asyncio.to_thread(send)
            await until(lambda: source.account.connections == 0)
            await until(lambda: source.account.appended == 3 * len(sent))
            assert source.account.errors == {}

    async def test_a_client_certificate_where_one_is_asked_for(
        self,
        log: SqliteLog,
        clock: ManualClock,
        tls: dict[str, str],
        certificates: Certificates,
    ) -> None:
        source = stream(log, clock, tls={**tls, "client_ca_file": str(certificates.authority)})
        async with running(source) as address:
            await send(address, b"<13>known\n", ssl=certificates.client_context("client"))
            await until(lambda: source.account.appended == 1)
            for who in ("", "stranger"):
                context = certificates.client_context(who)
                reader, writer = await asyncio.open_connection(*address, ssl=context)
                writer.write(b"<13>unknown\n")
                assert await nothing_from(reader)
                writer.transport.abort()
        assert await lines(log) == [b"<13>known"]

    async def test_plain_text_and_old_tls_are_refused(
        self,
        log: SqliteLog,
        clock: ManualClock,
        tls: dict[str, str],
        certificates: Certificates,
    ) -> None:
        source = stream(log, clock, tls=tls)
        assert source._context is not None
        assert source._context.minimum_version is ssl.TLSVersion.TLSv1_2
        async with running(source) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"<13>in the clear\n" * 10)
            assert await nothing_from(reader)
            writer.transport.abort()
        assert await lines(log) == []

    def test_files_that_cannot_be_used_are_named(
        self, log: SqliteLog, clock: ManualClock, certificates: Certificates
    ) -> None:
        for wrong in (
            {"certificate_file": "/nowhere/cert.pem"},
            {
                "certificate_file": str(certificates.server),
                "key_file": str(certificates.client_key),
            },
            {"certificate_file": str(certificates.authority)},
        ):
            with pytest.raises(ConfigError, match=wrong["certificate_file"]):
                stream(log, clock, tls=wrong)
