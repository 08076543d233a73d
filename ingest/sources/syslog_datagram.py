"""Syslog over UDP (RFC 5426): one message in each datagram.

Nobody can be made to wait: what comes faster than the log takes it is dropped and counted, here
(`queue_full`) or by the kernel (`kernel`, as far as it tells: Linux).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ingest.sources.gathering import Gathered
from ingest.sources.listening import Listening
from ingest.sources.records import BLANK, canonical_peer, raw, syslog_key

if TYPE_CHECKING:
    from ingest.sources.account import SourceAccount
    from tocsin.clock import Clock
    from tocsin.log.base import Headers, Log, Outgoing
    from tocsin.source_config import SyslogSource

logger = logging.getLogger(__name__)

#: Largest datagram, and how much the kernel is asked to hold, bytes (it may allow less:
#: net.core.rmem_max).
DATAGRAM = 65_535
KERNEL_BUFFER = 8 * 1024 * 1024

#: Datagrams taken before the event loop gets its turn, and appended together.
TURN = 512
BATCH = 5_000

#: Turns taken after a stop: what the kernel holds, but not a flood without end.
LAST_TURNS = 200

#: What a waiting datagram takes beside its bytes, bytes.
OVERHEAD = 200

#: getsockopt(SOL_SOCKET, SO_MEMINFO) on Linux: nine counters, the last of which is of datagrams
#: that found no room.
_SO_MEMINFO, _MEMINFO, _DROPS = 55, struct.Struct("9I"), 8


class _Datagram(NamedTuple):
    data: bytes
    peer: str
    received: int


class SyslogDatagram(Listening):
    """One `syslog` entry with `transport: udp`."""

    def __init__(self, settings: SyslogSource, log: Log, clock: Clock, *, nonce: str) -> None:
        super().__init__(settings, log, clock, nonce=nonce, kind="syslog udp", source="syslog")
        self._limit = settings.max_waiting
        self._queue: deque[_Datagram] = deque()
        self._size = 0
        self._ready = asyncio.Event()
        self._headers: tuple[tuple[int, str], Headers] = ((-1, ""), ())

    @property
    def _socket_type(self) -> socket.SocketKind:
        return socket.SOCK_DGRAM

    async def _serve(self, listener: socket.socket) -> None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(self._drain(listener), name=f"{self.name} draining")
            group.create_task(self._settle(), name=f"{self.name} joining")
            loop.add_reader(listener, self._receive, listener)
            self.listening.set()
            try:
                await self._stopping.wait()
            finally:
                loop.remove_reader(listener)
            for _ in range(LAST_TURNS):
                if not self._receive(listener):
                    break
                await asyncio.sleep(0)
            self._ready.set()
            await draining
        now = self._clock.now()
        await self._deliver(self._gathering.flush(), now)

    def _receive(self, listener: socket.socket) -> bool:
        """Take what has arrived; False if nothing had."""
        account, now, taken = self.account, self._clock.now(), 0
        try:
            while taken < TURN:
                data, address = listener.recvfrom(DATAGRAM)
                self._enqueue(account, data, address[0], now)
                taken += 1
        except BlockingIOError:
            pass  # that was all
        except OSError as error:
            account.errors["socket"] += 1
            logger.warning("%s: %s; it goes on", self.name, error)
        if taken:
            self._ready.set()
        return taken > 0

    def _enqueue(self, account: SourceAccount, data: bytes, host: str, now: int) -> None:
        account.received += 1
        account.bytes += len(data)
        data = data.rstrip(BLANK)
        if not data:
            account.filtered["blank"] += 1
        elif self._size >= self._limit:
            account.dropped["queue_full"] += 1
        else:
            self._size += len(data) + OVERHEAD
            self._queue.append(_Datagram(data, canonical_peer(host), now))

    async def _drain(self, listener: socket.socket) -> None:
        """Append what was received, until stopped and everything is done."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._queue:
                await self._append_some()
                self._count_kernel_drops(listener)
            if self._stopping.is_set():
                return

    async def _append_some(self) -> None:
        queue = self._queue
        batch = [queue.popleft() for _ in range(min(BATCH, len(queue)))]
        size = sum(len(each.data) for each in batch)
        if not self._is_plain([each.data for each in batch]):
            gathered = Gathered()
            for data, peer, received in batch:
                self._gather(gathered, data, peer.encode(), received)
            await self._deliver(gathered, batch[0].received)
            self._size -= size + OVERHEAD * len(batch)
            return
        if await self._append([self._record(each) for each in batch], size):
            self.account.appended += len(batch)
        else:
            self.account.dropped["stopped"] += len(batch)
        self._size -= size + OVERHEAD * len(batch)

    def _record(self, datagram: _Datagram) -> Outgoing:
        data, peer, received = datagram
        known, headers = self._headers
        if known != (received, peer):
            headers = self._labels.headers(received, peer)
            self._headers = ((received, peer), headers)
        return raw(data, syslog_key(data, peer.encode()), headers, self._ids.next(), received)

    def _count_kernel_drops(self, listener: socket.socket) -> None:
        with suppress(OSError, struct.error):
            counters = listener.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
            drops = _MEMINFO.unpack(counters)[_DROPS]
            self.account.received += drops - self.account.dropped["kernel"]
            self.account.dropped["kernel"] = drops
