"""Keyed state on Kafka: a compacted changelog, changed in the transaction that completes work.

Each input partition has a transactional id of its own, so whoever takes a partition over fences
its predecessor, however long that one was frozen (aiokafka sends no group metadata with offsets,
KIP-447, so nothing else would). The order of taking over is what makes it right: first fence,
then read the changelog to its end, then the committed offset; nothing can be added in between.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import TopicPartition as KafkaPartition

from tocsin.log.kafka_client import free_consumer, stop_consumer
from tocsin.log.kafka_producer import Change, TransactionalProducer, Work, check_sizes
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer

    from tocsin.log.base import Completion
    from tocsin.log.kafka_client import Connection

#: Longest wait for one fetch of the changelog, ms.
RESTORE_WAIT_MS = 500


def changelog_of(group: str) -> str:
    """The topic that keeps a group's state, without prefix."""
    return f"{group}-changelog"


def plain_change(partition: int, key: str, value: bytes | None) -> Change:
    """The changelog record of a change, as `restore` reads it."""
    return Change(key.encode("utf-8", "surrogatepass"), value)


class StateStore:
    """The states of the partitions that one member owns, and the right to change them.

    `encode` makes the changelog's records.
    """

    def __init__(
        self,
        connection: Connection,
        group: str,
        topic: str,
        changelog: str,
        *,
        encode: Callable[[int, str, bytes | None], Change] = plain_change,
    ) -> None:
        self._connection = connection
        self._group = group
        self._topic = topic
        self._changelog = changelog
        self._encode = encode
        self._producers: dict[int, TransactionalProducer] = {}
        self._states: dict[int, KeyedState] = {}
        # What of the completion under way is done, for the case that all of it is given again.
        self._done: dict[int, Completion] = {}

    async def take(self, consumer: AIOKafkaConsumer, assigned: Iterable[KafkaPartition]) -> None:
        """Fence the previous owners, load the states, place the consumer where they ended.

        Raises LogUnavailable; then nothing is owned and it may be tried again.
        """
        inputs = sorted(assigned)
        partitions = [at.partition for at in inputs]
        try:
            await self.fence(partitions)
            self.adopt(await restore(self._connection, self._changelog, partitions))
            async with self._connection.deadline(f"asking where {self._group} goes on"):
                for at in inputs:
                    committed = await consumer.committed(at)
                    if committed is None:
                        await consumer.seek_to_beginning(at)
                    else:
                        consumer.seek(at, committed)
        except BaseException:
            await self.release()
            raise

    async def fence(self, partitions: Iterable[int]) -> None:
        """Take partitions: from here on their previous owners can change nothing any more."""
        await self.release()
        group = self._connection.outer(self._group)
        self._producers = {
            partition: TransactionalProducer(self._connection, f"{group}-{partition}")
            for partition in partitions
        }
        async with self._connection.deadline(f"taking over partitions of {self._group}"):
            await asyncio.gather(*(producer.start() for producer in self._producers.values()))

    def adopt(self, stored: Mapping[int, dict[str, bytes]]) -> None:
        """Hold these states: JSON bytes by key, of each partition taken."""
        self._states = {partition: KeyedState(values) for partition, values in stored.items()}

    async def release(self) -> None:
        """Forget the states and let go of the partitions."""
        producers, self._producers = self._producers, {}
        self.forget()
        await asyncio.gather(*(producer.close() for producer in producers.values()))

    def forget(self) -> None:
        """Forget the states, so that nothing can be completed on them."""
        self._states = {}
        self._done = {}

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions whose states are held."""
        return frozenset(self._states)

    def state(self, partition: int) -> KeyedState:
        """The state of a partition that was taken."""
        return self._states[partition]

    async def complete(self, work: Sequence[Completion]) -> None:
        """One transaction for each piece of work; all are tried, then the first error is raised.

        Work that LogUnavailable was raised for may be given again: what of it was done is not
        done twice.
        """
        changed = [_changed(completion) for completion in work]
        changes = [
            [self._encode(completion.partition.partition, *pair) for pair in keys.items()]
            for completion, keys in zip(work, changed, strict=True)
        ]
        for entries in changes:
            check_sizes(entries)
        for completion in work:
            if completion.state is not None:
                completion.state.saved()  # what changes from here on is the next completion's
        try:
            await self._complete_all(work, changes)
        except BaseException:
            for completion, keys in zip(work, changed, strict=True):
                if completion.state is not None and completion is not self._done_with(completion):
                    completion.state.unsaved(keys)
            raise
        self._done.clear()

    async def _complete_all(
        self, work: Sequence[Completion], changes: Sequence[Sequence[Change]]
    ) -> None:
        async with self._connection.deadline(f"completing work of {self._group}"):
            outcomes = await asyncio.gather(
                *(self._complete(*pair) for pair in zip(work, changes, strict=True)),
                return_exceptions=True,
            )
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome

    def _done_with(self, completion: Completion) -> Completion | None:
        return self._done.get(completion.partition.partition)

    async def _complete(self, completion: Completion, changes: Sequence[Change]) -> None:
        at = completion.partition
        if not completion.outputs and not changes and completion.offset is None:
            return
        done = self._done_with(completion)
        if done is not None and not changes and _same(done, completion):
            return
        offsets: dict[KafkaPartition, int] = {}
        if completion.offset is not None:
            where = KafkaPartition(self._connection.outer(at.topic), at.partition)
            offsets[where] = completion.offset
        work = Work(
            tuple(completion.outputs),
            {(self._changelog, at.partition): changes} if changes else {},
            self._connection.outer(self._group),
            offsets,
        )
        await self._producers[at.partition].transact(work)
        self._done[at.partition] = completion


def _changed(completion: Completion) -> dict[str, bytes | None]:
    return {} if completion.state is None else completion.state.changes()


def _same(done: Completion, completion: Completion) -> bool:
    """Whether a completion is the one that was done, given again."""
    return done.offset == completion.offset and list(done.outputs) == list(completion.outputs)


async def restore(
    connection: Connection, topic: str, partitions: Sequence[int]
) -> dict[int, dict[str, bytes]]:
    """The last value of each key of some partitions of a changelog.

    Reads to the end as it is now; raises LogUnavailable if Kafka stops answering on the way.
    """
    stored: dict[int, dict[str, bytes]] = {partition: {} for partition in partitions}
    wanted = [KafkaPartition(connection.outer(topic), partition) for partition in partitions]
    consumer = free_consumer(connection)
    doing = f"restoring state from {topic}"
    try:
        async with connection.deadline(doing):
            await consumer.start()
            consumer.assign(wanted)
            ends = await consumer.end_offsets(wanted)
            await consumer.seek_to_beginning(*wanted)
        while wanted := await _unfinished(consumer, wanted, ends):
            async with connection.deadline(doing):
                await _restore_some(consumer, wanted, stored)
    finally:
        await stop_consumer(consumer)
    return stored


async def _unfinished(
    consumer: AIOKafkaConsumer, wanted: Sequence[KafkaPartition], ends: Mapping[KafkaPartition, int]
) -> list[KafkaPartition]:
    return [at for at in wanted if await consumer.position(at) < ends[at]]


async def _restore_some(
    consumer: AIOKafkaConsumer,
    wanted: Sequence[KafkaPartition],
    stored: Mapping[int, dict[str, bytes]],
) -> None:
    """Read until something moved: a record, or the end of an aborted transaction."""
    before = [await consumer.position(at) for at in wanted]
    while before == [await consumer.position(at) for at in wanted]:
        for at, batch in (await consumer.getmany(timeout_ms=RESTORE_WAIT_MS)).items():
            state = stored[at.partition]
            for record in batch:
                key = record.key.decode("utf-8", "surrogatepass")
                if record.value is None:
                    state.pop(key, None)
                else:
                    state[key] = record.value
