"""Syslog over TCP and TLS (RFC 6587, RFC 5425).

Plain syslog over TCP has no acknowledgement: a sender takes for delivered what its kernel took.
What can be done here is done: a connection is not read on before what was read of it is durable
in the log, so that when the log is slow or away its sender has to wait; and a stop takes first
what has arrived. What a kill -9 destroys is what stood in the buffers of this process (for each
connection twice UNREAD and asyncio's 256 KiB, and one unfinished line) and of the kernels.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from ingest.sources.framing import Framer
from ingest.sources.gathering import Gathered
from ingest.sources.listening import BACKLOG, HANDSHAKE, LINGER, LINGER_MAX, Listening
from ingest.sources.records import BLANK, canonical_peer, dead, raw, syslog_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ingest.sources.framing import Fault
    from tocsin.clock import Clock
    from tocsin.log.base import Log, Outgoing
    from tocsin.source_config import SyslogSource

logger = logging.getLogger(__name__)

#: Bytes that may stand unread of a connection before its sender has to wait. asyncio reads up to
#: 256 KiB at once, so it may be that much more.
UNREAD = 64 * 1024

_REASONS = {
    "too_long": "a message longer than max_line ({} bytes); this is its beginning",
    "truncated": "the connection ended within this octet-counted message",
}


class _Incoming(asyncio.Protocol):
    """One connection's bytes. Not a StreamReader: that forgets what it has when a reset comes."""

    def __init__(self, connected: Callable[[_Incoming], None]) -> None:
        self.transport: asyncio.Transport
        self.broken: Exception | None = None
        self._connected = connected
        self._chunks: list[bytes] = []
        self._size = 0
        self._ended = False
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # of a stream server
        self.transport = transport
        self._connected(self)

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        if self._size >= UNREAD:
            self.transport.pause_reading()
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.broken = exc
        self._ended = True
        self._changed.set()

    async def read(self) -> bytes:
        """What has arrived, at least one byte; b"" at the end."""
        while not (self._chunks or self._ended):
            self._changed.clear()
            await self._changed.wait()
        return self.take()

    def take(self) -> bytes:
        """What has arrived."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if not self.transport.is_closing():
            self.transport.resume_reading()
        return data


class SyslogStream(Listening):
    """One `syslog` entry with `transport: tcp`."""

    def __init__(self, settings: SyslogSource, log: Log, clock: Clock, *, nonce: str) -> None:
        kind = "syslog tls" if settings.tls else "syslog tcp"
        super().__init__(settings, log, clock, nonce=nonce, kind=kind, source="syslog")
        self._syslog = settings
        if self._context is not None:
            # Senders of syslog do not read. One that closes while a session ticket stands unread
            # resets the connection, and its kernel throws away what it has not sent yet: rsyslog
            # lost hundreds of messages whenever the worker of its disk queue had finished.
            self._context.num_tickets = 0
        self._reads: set[asyncio.Timeout] = set()
        self._close_at = 0.0

    @property
    def _socket_type(self) -> socket.SocketKind:
        return socket.SOCK_STREAM

    async def _serve(self, listener: socket.socket) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._settle(), name=f"{self.name} joining")
            await self._connections(listener)
        now = self._clock.now()
        await self._deliver(self._gathering.flush(), now)

    async def _connections(self, listener: socket.socket) -> None:
        """Serve connections until stopped and the last one is over."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:

            def connected(incoming: _Incoming) -> None:
                if self._may_connect():
                    group.create_task(self._connection(incoming))
                else:
                    incoming.transport.abort()

            server = await loop.create_server(
                lambda: _Incoming(connected),
                sock=listener,
                backlog=BACKLOG,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE if self._context else None,
            )
            self.listening.set()
            await self._stopping.wait()
            server.close()
            self._close_at = loop.time() + LINGER_MAX
            for read in self._reads:
                read.reschedule(loop.time() + LINGER)

    def _may_connect(self) -> bool:
        if self._stopping.is_set():
            return False
        if self.account.connections >= self._syslog.max_connections:
            self.account.refused["connections"] += 1
            return False
        self.account.connections += 1
        return True

    async def _connection(self, incoming: _Incoming) -> None:
        try:
            peername = incoming.transport.get_extra_info("peername") or ("",)
            _keep_alive(incoming.transport)
            await self._messages(incoming, canonical_peer(peername[0]))
            if incoming.broken is not None:
                self.account.errors["connection"] += 1
                logger.info("%s: a connection broke: %s", self.name, incoming.broken)
        except Exception:
            # A defect that one sender meets must not take the others along.
            self.account.errors["internal"] += 1
            logger.exception("%s: a connection failed", self.name)
        finally:
            self.account.connections -= 1
            # Nothing was written: there is nothing to wait for, and a peer may never answer.
            incoming.transport.abort()

    async def _messages(self, incoming: _Incoming, peer: str) -> None:
        """Everything that a connection brings."""
        framer = Framer(self._syslog.max_line, self._syslog.framing)
        while data := await self._read(incoming):
            self.account.bytes += len(data)
            await self._take(framer.feed(data), framer, peer)
        await self._take(framer.end(), framer, peer)

    async def _read(self, incoming: _Incoming) -> bytes:
        """What has arrived, b"" when nothing more will be taken of this connection."""
        now = asyncio.get_running_loop().time()
        until = now + self._syslog.idle / 1_000
        if self._stopping.is_set():
            if now >= self._close_at:
                return b""
            until = min(now + LINGER, self._close_at)
        try:
            async with asyncio.timeout_at(until) as limit:
                self._reads.add(limit)
                try:
                    return await incoming.read()
                finally:
                    self._reads.discard(limit)
        except TimeoutError:
            data = incoming.take()
            if not data and not self._stopping.is_set():
                self.account.refused["idle"] += 1
            return data

    async def _take(self, messages: Sequence[bytes], framer: Framer, peer: str) -> None:
        faults, framer.faults = framer.faults, []
        account = self.account
        if not self._is_plain(messages):
            now = self._clock.now()
            gathered, sender = Gathered(), peer.encode()
            for message in messages:
                self._gather(gathered, message, sender, now)
            account.received += len(messages)
            await self._deliver(gathered, now)
            messages = ()
        records = list(self._records(messages, faults, peer))
        account.received += len(messages) + len(faults)
        account.filtered["blank"] += len(messages) + len(faults) - len(records)
        if not records:
            return
        size = sum(len(record.value) for record in records)
        await self._appender.until_room(size)
        if await self._append(records, size):
            account.appended += len(records) - len(faults)
            for fault in faults:
                account.dead[fault.code] += 1
        else:
            account.dropped["stopped"] += len(records)

    def _records(
        self, messages: Sequence[bytes], faults: Sequence[Fault], peer: str
    ) -> Iterator[Outgoing]:
        now, key = self._clock.now(), peer.encode()
        headers = self._labels.headers(now, peer)
        for message in messages:
            if message.strip(BLANK):
                yield raw(message, syslog_key(message, key), headers, self._ids.next(), now)
        for code, beginning in faults:
            reason = _REASONS[code].format(self._syslog.max_line)
            yield from dead(code, reason, beginning, key, headers, self._ids.next(), now)


def _keep_alive(transport: asyncio.Transport) -> None:
    """A sender that vanished is found out by the kernel, long before the idle time is over."""
    connection = transport.get_extra_info("socket")
    with suppress(OSError):  # it may be gone already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
