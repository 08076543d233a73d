"""The way of a source's records into the log: many senders, one append at a time, bounded.

While one append is under way the records of all senders gather, and go together in the next: a
thousand connections cost the log as little as one. Whoever hands records over is told when they
are durable, and only then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from tocsin.errors import LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.log.base import Log, Outgoing

#: Most that one append takes together.
MAX_RECORDS = 5_000
MAX_BYTES = 8 * 1024 * 1024


class _Handed(NamedTuple):
    records: Sequence[Outgoing]
    size: int
    done: asyncio.Future[None]


class Appender:
    """Appends for one source; `run` does the work until `close`."""

    def __init__(self, log: Log, *, max_waiting: int) -> None:
        """`max_waiting` bounds the bytes handed over and not appended."""
        self.waiting = 0
        self._log = log
        self._max_waiting = max_waiting
        self._queue: deque[_Handed] = deque()
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more may wait; anything may if nothing does."""
        return self.waiting == 0 or self.waiting + size <= self._max_waiting

    @property
    def room(self) -> int:
        """How many bytes more may wait."""
        return max(0, self._max_waiting - self.waiting)

    async def append(self, records: Sequence[Outgoing], size: int) -> None:
        """Append; the records are durable when it returns. `size` is their bytes.

        Raises LogError: nothing is known of these records, the same may be handed over again.
        """
        if self._closed:
            raise LogUnavailable("the source was stopped")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(_Handed(records, size, done))
        self.waiting += size
        self._ready.set()
        try:
            await done
        finally:
            self.waiting -= size
            self._room.set()

    async def until_room(self, size: int) -> None:
        """Wait until so many bytes more may wait."""
        while not self.has_room(size):
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """Let `run` return when everything handed over is done."""
        self._closed = True
        self._ready.set()

    async def run(self) -> None:
        """Append what is handed over until closed; whoever still waits when it is cancelled is
        told that nothing is known."""
        taken: list[_Handed] = []
        try:
            while True:
                await self._ready.wait()
                self._ready.clear()
                while taken := self._take():
                    await self._append(taken)
                if self._closed:
                    return
        finally:
            stopped = LogUnavailable("stopped while writing: do it again after the next start")
            _fail([*taken, *self._queue], stopped)
            self._queue.clear()

    def _take(self) -> list[_Handed]:
        taken: list[_Handed] = []
        records = size = 0
        while self._queue and (not taken or (records < MAX_RECORDS and size < MAX_BYTES)):
            handed = self._queue.popleft()
            if handed.done.cancelled():
                continue
            taken.append(handed)
            records += len(handed.records)
            size += handed.size
        return taken

    async def _append(self, taken: Sequence[_Handed]) -> None:
        try:
            await self._log.append([record for handed in taken for record in handed.records])
        except LogUnavailable as error:
            _fail(taken, error)
            return
        except Exception as error:
            # One sender's records may not be what fails another's.
            if len(taken) == 1:
                _fail(taken, error)
                return
            for handed in taken:
                await self._append([handed])
            return
        for handed in taken:
            if not handed.done.done():
                handed.done.set_result(None)


def _fail(taken: Sequence[_Handed], error: Exception) -> None:
    for handed in taken:
        if not handed.done.done():
            handed.done.set_exception(error)


async def rest(seconds: float, stopping: asyncio.Event) -> None:
    """Wait that long, or until told to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
