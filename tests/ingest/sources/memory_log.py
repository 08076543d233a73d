"""A log in memory for one test: what was appended, and failures on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.errors import LogUnavailable
from tocsin.log.base import Outgoing, Position, Record, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.log.base import Listener, Subscription, Topic


class Killed(BaseException):
    """The process died here: nothing may catch it."""


class MemoryLog:
    """tocsin.log.base.Log without groups; every topic has one partition."""

    def __init__(self) -> None:
        self.topics: dict[str, list[Record]] = {}
        self.before: Callable[[Sequence[Outgoing]], None] = lambda records: None
        self.after: Callable[[Sequence[Outgoing]], None] = lambda records: None

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def create(self, topics: Sequence[Topic]) -> None:
        for topic in topics:
            self.topics.setdefault(topic.name, [])

    async def partitions(self, topic: str) -> int:
        return 1

    async def append(self, records: Sequence[Outgoing]) -> list[Position]:
        self.before(records)
        positions = []
        for record in records:
            topic = self.topics.setdefault(record.topic, [])
            topic.append(
                Record(
                    record.topic,
                    0,
                    len(topic),
                    record.key,
                    record.value,
                    record.headers,
                    record.timestamp,
                )
            )
            positions.append(topic[-1].position)
        self.after(records)
        return positions

    async def subscribe(
        self, group: str, topic: str, *, stateful: bool = False, listener: Listener | None = None
    ) -> Subscription:
        raise NotImplementedError

    async def read(self, at: TopicPartition, offset: int, max_records: int) -> list[Record]:
        return self.topics[at.topic][offset : offset + max_records]

    async def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
        return {TopicPartition(topic, 0): len(self.topics[topic])}

    async def committed(self, group: str, topic: str) -> dict[TopicPartition, int]:
        return {}

    def lines(self) -> list[bytes]:
        """The values on `raw`, in order."""
        return [record.value for record in self.topics.get("raw", [])]

    def origins(self) -> list[bytes | None]:
        """The origin ids on `raw`, in order."""
        return [record.header("origin-id") for record in self.topics.get("raw", [])]


def die_on(topic: str, count: int) -> Callable[[Sequence[Outgoing]], None]:
    """A hook that dies at the `count`-th append to `topic` (from 1)."""
    seen = 0

    def hook(records: Sequence[Outgoing]) -> None:
        nonlocal seen
        if records[0].topic == topic:
            seen += 1
            if seen == count:
                raise Killed

    return hook


def unavailable_once(topic: str) -> Callable[[Sequence[Outgoing]], None]:
    """A hook that fails the first append to `topic`."""
    failed = False

    def hook(records: Sequence[Outgoing]) -> None:
        nonlocal failed
        if records[0].topic == topic and not failed:
            failed = True
            raise LogUnavailable("the broker is away")

    return hook
