"""When keyed state may be forgotten: event time has passed it, and its outputs are durable.

Event time of a partition is its watermark, the greatest time seen, kept in the state. A record
can be processed again although the state already holds its effect (outputs were lost in a
crash), and then needs the state it needed the first time. Offsets tell: a key that is due is kept
until REDELIVERY more records of its partition have come, more than are ever uncommitted at once.
"""

from __future__ import annotations

import heapq
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from tocsin.state import State

#: Most records of one partition that may be processed and not yet committed.
REDELIVERY = 5_000

#: The reserved key of [watermark in ms or null, offset of the last record processed].
PROGRESS = "progress"

T = TypeVar("T")


class Watermark:
    """Greatest event time of a partition, ms; None before the first event.

    A time ahead of the clock by more than the lateness moves it only that far: one source with
    a wrong clock must not make everybody else's events late.
    """

    def __init__(self, state: State, lateness: int) -> None:
        self._state = state
        self._lateness = lateness
        self.value: int | None = state.get(PROGRESS, (None,))[0]

    def is_late(self, at: int) -> bool:
        """Whether an event is older than the allowed lateness."""
        return self.value is not None and at < self.value - self._lateness

    def advance(self, at: int, now: int) -> None:
        """An event at `at` was seen."""
        at = min(at, now + self._lateness)
        if self.value is None or at > self.value:
            self.value = at

    def save(self, offset: int) -> None:
        """Write it to the state, with the offset of the last record that was processed."""
        self._state[PROGRESS] = [self.value, offset]


class Expiry:
    """The keys of one state in the order they become due; lives in memory, next to the state."""

    def __init__(self) -> None:
        #: What the watermark has not reached, a heap; and since which offset the others are due.
        self.ahead: list[tuple[int, str]] = []
        self.due: deque[tuple[int, str]] = deque()

    def add(self, due: int, key: str) -> None:
        """`key` may go once the watermark reaches `due`."""
        heapq.heappush(self.ahead, (due, key))

    def expired(self, watermark: int | None, offset: int, state: Container[str]) -> Iterator[str]:
        """Keys of `state` to delete now, while the record at `offset` is processed."""
        while self.ahead and watermark is not None and self.ahead[0][0] <= watermark:
            self.due.append((offset, heapq.heappop(self.ahead)[1]))
        while self.due and self.due[0][0] + REDELIVERY <= offset:
            _, key = self.due.popleft()
            if key in state:
                yield key

    def oldest(self) -> str | None:
        """The key that would be the next to expire, taken out; None if there is none."""
        if self.due:
            return self.due.popleft()[1]
        return heapq.heappop(self.ahead)[1] if self.ahead else None


class _Kept(NamedTuple, Generic[T]):
    state: Callable[[], State | None]
    progress: object
    companion: T


class Companions(Generic[T]):
    """What a stage keeps in memory beside each partition's state: only ever what it could rebuild.

    It is built anew with a new state object (after a rebalance another worker may have changed
    the content), with a state that took changes back, and after an exception.
    """

    def __init__(self, build: Callable[[State], T]) -> None:
        self._build = build
        self._kept: dict[int, _Kept[T]] = {}

    @contextmanager
    def of(self, partition: int, state: State) -> Iterator[T]:
        """The companion of `state`, which is the state of `partition`."""
        kept = self._kept.pop(partition, None)
        if kept and kept.state() is state and kept.progress == state.get(PROGRESS):
            companion = kept.companion
        else:
            companion = self._build(state)
        yield companion
        self._kept[partition] = _Kept(_reference(state), state.get(PROGRESS), companion)


def _reference(state: State) -> Callable[[], State | None]:
    try:
        return ref(state)
    except TypeError:  # a plain dict cannot be referred to weakly
        return lambda: state
