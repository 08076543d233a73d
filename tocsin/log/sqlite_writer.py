"""Group commit: whatever is waiting to be written when the disk is free shares a transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tocsin.errors import Fenced, LogUnavailable
from tocsin.log.sqlite_store import Commit, Write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tocsin.log.base import Outgoing, Position, TopicPartition
    from tocsin.log.sqlite_store import Written

#: Records that one transaction takes together, so that the first waiter is not kept for long.
MAX_SHARED = 10_000


@dataclass(frozen=True, slots=True)
class Part:
    """Records and a commit that belong together; left out unless `owned` when written."""

    records: Sequence[Outgoing]
    commit: Commit | None = None
    owned: Callable[[TopicPartition], bool] | None = None

    @property
    def lost(self) -> bool:
        """Whether the partition has gone to another member."""
        return (
            self.owned is not None
            and self.commit is not None
            and not self.owned(self.commit.partition)
        )


@dataclass(eq=False, slots=True)
class _Waiting:
    parts: Sequence[Part]
    done: asyncio.Future[list[Position]]
    lost: list[TopicPartition] = field(default_factory=list)

    def write(self) -> Write:
        """What is to be written now that it is known who owns what."""
        kept = [part for part in self.parts if not part.lost]
        self.lost = [part.commit.partition for part in self.parts if part.lost and part.commit]
        return Write(
            [record for part in kept for record in part.records],
            [part.commit for part in kept if part.commit is not None],
        )

    def settle(self, result: list[Position] | Exception) -> None:
        """Tell the caller, if it still listens."""
        if self.done.done():
            return
        if isinstance(result, Exception):
            self.done.set_exception(result)
        elif self.lost:
            self.done.set_exception(_fenced(self.lost))
        else:
            self.done.set_result(result)


class Writer:
    """Queues writes in order and hands them to the store.

    Ownership is looked at on the event loop in the same step in which the write is handed over,
    and the store's thread does things in the order it got them: so a write either comes before
    the next owner reads the partition's progress, or it is fenced.
    """

    def __init__(self, store: Callable[[Sequence[Write]], Awaitable[Written]]) -> None:
        self._store = store
        self._queue: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None

    async def write(self, parts: Sequence[Part]) -> list[Position]:
        """Positions of the parts' records, once durable.

        Raises Fenced after the owned parts were written, or what the store raised (then nothing
        was). A caller that is cancelled may or may not have been written.
        """
        waiting = _Waiting(parts, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="log writer")
        return await waiting.done

    async def flush(self) -> None:
        """Return when nothing is waiting."""
        while self._task is not None:
            await asyncio.wait({self._task})

    async def _drain(self) -> None:
        taken: list[_Waiting] = []
        try:
            while taken := self._take():
                written = await self._store([waiting.write() for waiting in taken])
                for waiting, result in zip(taken, written.results, strict=True):
                    waiting.settle(result)
        except Exception as error:
            self._fail((*taken, *self._queue), error)
        except asyncio.CancelledError:
            stopped = LogUnavailable(
                "the log was stopped while writing: this may or may not have been written, do it "
                "again after the next start"
            )
            self._fail((*taken, *self._queue), stopped)
            raise
        finally:
            self._task = None

    def _fail(self, all_waiting: Sequence[_Waiting], error: Exception) -> None:
        self._queue.clear()
        for waiting in all_waiting:
            waiting.settle(error)

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        size = 0
        while self._queue and size < MAX_SHARED:
            waiting = self._queue.popleft()
            if not waiting.done.cancelled():
                taken.append(waiting)
                size += sum(len(part.records) for part in waiting.parts)
        return taken


def _fenced(lost: Sequence[TopicPartition]) -> Fenced:
    names = ", ".join(f"{at.topic}/{at.partition}" for at in sorted(lost))
    return Fenced(
        f"{names} went to another member of the group; the work on it was not written and its "
        "new owner does it again. Drop what is in flight for it and go on."
    )
