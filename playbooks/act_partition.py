"""What is under way in one partition of `effects`: a lane per target, and how far it is done."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tocsin.contracts import Effect
    from tocsin.log.base import Record, TopicPartition

#: Records and bytes under way at which a partition takes no more. Generous: a slow connector
#: must fill it before it can hold up the others.
MAX_UNDER_WAY = 2_000
MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Work:
    """A record and the effect in it; without an effect, why it is none."""

    record: Record
    effect: Effect | None
    mistake: str = ""


@dataclass(slots=True)
class Lane:
    """Work that is done in order: what may change one target, or one look-up of it."""

    name: str
    queue: deque[Work] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None

    def next(self) -> Work | None:
        """The work to do now; it stays in the queue until it is finished."""
        return self.queue[0] if self.queue else None


class Partition:
    """One owned partition of `effects`."""

    def __init__(self, at: TopicPartition) -> None:
        self.at = at
        self.lanes: dict[str, Lane] = {}
        self.paused = False
        self.committed = 0
        self.prune_due = False
        self._open: deque[int] = deque()
        self._done: set[int] = set()
        self._under_way = 0
        self._bytes = 0

    @property
    def overfull(self) -> bool:
        """Too much under way to take more."""
        return self._under_way >= MAX_UNDER_WAY or self._bytes >= MAX_BYTES

    @property
    def drained(self) -> bool:
        """Little enough under way to go on."""
        return self._under_way <= MAX_UNDER_WAY // 2 and self._bytes <= MAX_BYTES // 2

    def take(self, work: Work, name: str) -> Lane:
        """Put a record, in the order of the log, at the end of the lane of that name."""
        lane = self.lanes.setdefault(name, Lane(name))
        lane.queue.append(work)
        self._open.append(work.record.offset)
        self._under_way += 1
        self._bytes += len(work.record.value)
        return lane

    def finished(self, lane: Lane, work: Work) -> None:
        """The first work of the lane is durable."""
        lane.queue.popleft()
        self._under_way -= 1
        self._bytes -= len(work.record.value)

    def leave(self, lane: Lane) -> None:
        """The lane has no more work."""
        del self.lanes[lane.name]

    def done(self, offset: int) -> int | None:
        """Mark a record as done with; the next offset to read if that moved, else None.

        Offsets may have gaps (Kafka's transaction markers): what counts is the order of taking.
        """
        self._done.add(offset)
        moved = None
        while self._open and self._open[0] in self._done:
            self._done.discard(last := self._open.popleft())
            moved = last + 1
        if moved is not None:
            self.committed = moved
        return moved

    async def cancel(self) -> None:
        """End all lanes and wait until they have ended."""
        tasks = [lane.task for lane in self.lanes.values() if lane.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.lanes.clear()
