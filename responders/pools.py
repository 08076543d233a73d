"""What enrichers share: answers kept for a while, and rates that are never exceeded.

Pure: the time is an argument, in ms. Nobody waits here; who must wait is told how long.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

V = TypeVar("V")


@dataclass(slots=True)
class Cache(Generic[V]):
    """Answers by key, the least recently used leave first; each is kept for its own time."""

    size: int
    _kept: OrderedDict[str, tuple[int, V]] = field(default_factory=OrderedDict)

    def get(self, key: str, now: int) -> V | None:
        """The answer, None if there is none or its time is over."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        until, value = kept
        if now >= until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return value

    def put(self, key: str, value: V, until: int) -> None:
        """Keep the answer until that time."""
        self._kept[key] = (until, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self.size:
            self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)


@dataclass(slots=True)
class Bucket:
    """At most `count` calls at once and `count` per `per` ms in the long run (a token bucket)."""

    count: int
    per: int
    _credit: int = -1
    _at: int = 0

    # In whole numbers: a call costs `per`, a ms brings `count`, and full is the product of both.

    def wait(self, now: int) -> int:
        """How long until a call may be made, ms; 0: now."""
        self._fill(now)
        return max(-(-(self.per - self._credit) // self.count), 0)

    def take(self, now: int) -> None:
        """Count a call; ask `wait` first."""
        self._fill(now)
        self._credit -= self.per

    def _fill(self, now: int) -> None:
        full = self.count * self.per
        if self._credit < 0:
            self._credit = full
        elif now > self._at:
            self._credit = min(self._credit + (now - self._at) * self.count, full)
        # A clock that was set back must not fill the bucket twice, nor stop it for ever.
        self._at = now


@dataclass(slots=True)
class Pool:
    """All rates of one key of one product, and the pause that the product asked for."""

    buckets: tuple[Bucket, ...]
    _paused_until: int = 0

    def take(self, now: int) -> int:
        """Take a call; 0, or how long to wait (ms) and then nothing is taken."""
        wait = max([self._paused_until - now, *(bucket.wait(now) for bucket in self.buckets), 0])
        if wait == 0:
            for bucket in self.buckets:
                bucket.take(now)
        return wait

    def pause(self, until: int) -> None:
        """No call before that time."""
        self._paused_until = max(self._paused_until, until)
