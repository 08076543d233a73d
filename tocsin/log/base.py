"""The log: append, subscribe to a group, complete work, read from an offset.

Two implementations pass one contract suite (tests/contracts/): `sqlite` for one process without
a server and `kafka`. Vocabulary and meaning are Kafka's: a topic has partitions, a record's key
chooses its partition, order holds within a partition, a group shares the partitions of a topic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.state import KeyedState

Headers = tuple[tuple[str, bytes], ...]

#: Largest value a record may have, bytes; larger input is cut up or dead-lettered before the log.
MAX_RECORD = 8 * 1024 * 1024


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Position(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class Record(NamedTuple):
    """A record as read; `timestamp` is ms since the epoch, set by the producer.

    A named tuple because one is made for every record read: a frozen dataclass costs three times
    as much to make, more than the client spends on fetching and parsing it.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Headers = ()
    timestamp: int = 0

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)

    def header(self, name: str) -> bytes | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key == name), None)


class Outgoing(NamedTuple):
    """A record to append; without `partition` the key chooses, without a key any partition.

    A named tuple for the same reason as Record.
    """

    topic: str
    value: bytes
    key: bytes | None = None
    headers: Headers = ()
    timestamp: int = 0
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Topic:
    """How a topic is created; `retention` in ms, -1 keeps for ever."""

    name: str
    partitions: int = 4
    compacted: bool = False
    retention: int = 7 * 24 * 3_600_000


@dataclass(slots=True)
class Completion:
    """Finished work on one input partition: outputs first, then state, then the offset.

    `offset` is the next offset to read: everything before it is done, None leaves it as it is.
    SQLite commits all three in one transaction; Kafka in one transaction where the subscription
    is stateful, else outputs are acknowledged before the offset is committed.
    """

    partition: TopicPartition
    offset: int | None = None
    outputs: Sequence[Outgoing] = field(default_factory=tuple)
    state: KeyedState | None = None


class Listener(Protocol):
    """Told of partitions that come and go. Both calls finish before records flow again."""

    async def assigned(self, partitions: frozenset[TopicPartition]) -> None: ...

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None: ...


class Subscription(Protocol):
    """One member of a group that reads one topic."""

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions this member owns now."""
        ...

    async def poll(
        self, max_records: int, timeout: float
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        """Records that are next in each owned, unpaused partition, in order.

        Waits up to `timeout` seconds for the first. Polling again without `complete` goes on
        after the last record polled; a new member starts at the committed offset.
        Raises LogUnavailable.
        """
        ...

    def state(self, partition: int) -> KeyedState:
        """The keyed state of an owned partition (stateful subscriptions only), loaded."""
        ...

    async def complete(self, work: Sequence[Completion]) -> None:
        """Make outputs, state changes and offsets durable.

        Raises Fenced if a partition is no longer owned (nothing of that partition counts: its
        next owner does the work again), LogUnavailable to try again, RecordTooLarge.
        """
        ...

    def pause(self, partitions: frozenset[TopicPartition]) -> None:
        """Stop delivering these partitions (back-pressure); membership is kept."""
        ...

    def resume(self, partitions: frozenset[TopicPartition]) -> None: ...

    async def close(self) -> None:
        """Leave the group; uncompleted records will be delivered to the next member."""
        ...


class Log(Protocol):
    """A durable, partitioned, replayable record log."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def create(self, topics: Sequence[Topic]) -> None:
        """Create the topics that do not exist; an existing topic is left as it is."""
        ...

    async def partitions(self, topic: str) -> int:
        """Number of partitions of a topic; raises LogError if it does not exist."""
        ...

    async def append(self, records: Sequence[Outgoing]) -> list[Position]:
        """Append in order; when it returns the records are durable and have these positions.

        Raises RecordTooLarge (nothing was appended), LogUnavailable (some may have been).
        """
        ...

    async def subscribe(
        self,
        group: str,
        topic: str,
        *,
        stateful: bool = False,
        listener: Listener | None = None,
    ) -> Subscription:
        """Join `group` on `topic`; a group without a committed offset starts at the beginning."""
        ...

    async def read(self, at: TopicPartition, offset: int, max_records: int) -> list[Record]:
        """Records from `offset` on, outside any group; fewer or none at the end."""
        ...

    async def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """The offset that the next record of each partition will get."""
        ...

    async def committed(self, group: str, topic: str) -> dict[TopicPartition, int]:
        """Committed offsets of a group; 0 where it has none."""
        ...


def partition_for(key: bytes, partitions: int) -> int:
    """The embedded log's partitioner (CRC-32); Kafka's clients use their own (murmur2)."""
    return crc32(key) % partitions
