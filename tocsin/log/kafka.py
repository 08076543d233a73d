"""The log on Kafka (aiokafka).

Topics and groups carry the configured prefix inside Kafka only. Reading is `read_committed`
everywhere, so an aborted transaction is never seen. Positions have gaps where transactions were
marked or compaction removed records.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    TopicAlreadyExistsError,
    for_code,
)

from tocsin.errors import LogError
from tocsin.log.base import Outgoing, Position, Record, Topic, TopicPartition
from tocsin.log.kafka_client import (
    MAX_MESSAGE,
    PATIENCE,
    Connection,
    free_consumer,
    stop_consumer,
)
from tocsin.log.kafka_group import KafkaSubscription, to_records
from tocsin.log.kafka_producer import Producer, check_sizes
from tocsin.log.kafka_state import changelog_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer

    from tocsin.config import LogSettings
    from tocsin.log.base import Listener, Subscription
    from tocsin.log.kafka_producer import Entry

T = TypeVar("T")

#: Longest wait of one fetch outside a group, ms.
READ_WAIT_MS = 500


class KafkaLog:
    """The log on a Kafka cluster; see tocsin.log.base.Log for what the calls mean.

    `client_id` names this worker in the brokers' logs and metrics; a call that gets no answer
    raises LogUnavailable after `patience` seconds.
    """

    def __init__(
        self, settings: LogSettings, *, client_id: str, patience: float = PATIENCE
    ) -> None:
        self.connection = Connection(settings, client_id=client_id, patience=patience)
        self._replication = settings.replication_factor
        self._counts: dict[str, int] = {}
        self._producer: Producer | None = None
        self._producer_lock = asyncio.Lock()
        self._admin: AIOKafkaAdminClient | None = None
        self._reader: AIOKafkaConsumer | None = None
        self._reading = asyncio.Lock()
        self._subscriptions: set[Subscription] = set()

    async def start(self) -> None:
        """Connect. Raises LogUnavailable if no broker answers, LogError if it denies access."""
        try:
            async with self.connection.deadline("connecting"):
                self._admin = AIOKafkaAdminClient(**self.connection.options())
                await self._admin.start()
            await self._live_producer()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Leave the groups, flush, disconnect; in bounded time even without a broker."""
        for subscription in tuple(self._subscriptions):
            await subscription.close()
        if self._producer is not None:
            await self._producer.close()
            self._producer = None
        if self._reader is not None:
            await stop_consumer(self._reader)
            self._reader = None
        if self._admin is not None:
            await self._admin.close()
            self._admin = None

    async def create(self, topics: Sequence[Topic]) -> None:
        """Create the topics that do not exist and wait until they can be written."""
        known = await self.connection.call("listing topics", self._described)
        missing = [topic for topic in topics if self.connection.outer(topic.name) not in known]
        if missing:
            await self._create([self._new_topic(topic) for topic in missing])
        names = {self.connection.outer(topic.name) for topic in topics}

        async def writable() -> None:
            found = await self._described()
            if not all(found.get(name) for name in names):
                raise LeaderNotAvailableError

        await self.connection.call("waiting for the leaders of topics", writable)

    async def _create(self, new: list[NewTopic]) -> None:
        response = await self.connection.call(
            "creating topics", lambda: self._client().create_topics(new)
        )
        for name, code, *reason in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                text = " ".join(str(part) for part in reason if part)
                raise LogError(f"topic {name} cannot be created: {error.__name__} {text}".rstrip())

    def _new_topic(self, topic: Topic) -> NewTopic:
        configs = {
            "cleanup.policy": "compact" if topic.compacted else "delete",
            "max.message.bytes": str(MAX_MESSAGE),
            "min.insync.replicas": str(max(1, self._replication - 1)),
        }
        if not topic.compacted:
            configs["retention.ms"] = str(topic.retention)
        return NewTopic(
            self.connection.outer(topic.name),
            topic.partitions,
            self._replication,
            topic_configs=configs,
        )

    async def partitions(self, topic: str) -> int:
        """Number of partitions of a topic; raises LogError if it does not exist."""
        if topic not in self._counts:
            name = self.connection.outer(topic)

            async def led() -> dict[str, int]:
                known = await self._described()
                if known.get(name) == 0:
                    raise LeaderNotAvailableError
                return known

            known = await self.connection.call(f"looking up topic {topic}", led)
            if name not in known:
                raise LogError(
                    f"topic {topic} ({name} on Kafka at {self.connection.address}) does not "
                    "exist; create it or check log.prefix"
                )
            self._counts[topic] = known[name]
        return self._counts[topic]

    async def _described(self) -> dict[str, int]:
        """Partitions of each topic by Kafka's name; 0 while not all of them have a leader.

        A broker that comes back knows its topics before it leads them.
        """
        return {
            topic["topic"]: len(topic["partitions"])
            if all(partition["leader"] >= 0 for partition in topic["partitions"])
            else 0
            for topic in await self._client().describe_topics()
            if not topic["error_code"]
        }

    def _client(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            raise LogError("the log is not started")
        return self._admin

    async def probe(self) -> None:
        """Raises LogUnavailable if no broker answers."""
        await self.connection.call("asking for a sign of life", self._client().describe_cluster)

    async def append(self, records: Sequence[Outgoing]) -> list[Position]:
        """Append in order; see Log.append."""
        check_sizes(records)
        for topic in {record.topic for record in records}:
            await self.partitions(topic)
        return await self._produce(
            f"appending {len(records)} records", lambda producer: producer.append(records)
        )

    async def write(self, groups: Mapping[tuple[str, int], Sequence[Entry]]) -> None:
        """Append to given partitions of existing topics, also deletions of keys.

        What goes to one partition is appended whole or not at all up to
        tocsin.log.kafka_producer.BATCH_BYTES. Raises as `append`.
        """
        await self._produce(
            f"writing to {len(groups)} partitions", lambda producer: producer.write(groups)
        )

    async def _produce(self, doing: str, produce: Callable[[Producer], Awaitable[T]]) -> T:
        producer = await self._live_producer()
        try:
            async with self.connection.deadline(doing):
                return await produce(producer)
        except LogError as error:
            if isinstance(error.__cause__, KafkaError):
                # The producer may be dead for good (its sequence is broken); what it still holds
                # is done again by whoever asked for it.
                await self._discard(producer)
            raise

    async def _live_producer(self) -> Producer:
        async with self._producer_lock:
            if self._producer is None:
                producer = Producer(self.connection)
                try:
                    async with self.connection.deadline("connecting a producer"):
                        await producer.start()
                except BaseException:
                    await producer.close()
                    raise
                self._producer = producer
            return self._producer

    async def _discard(self, producer: Producer) -> None:
        if self._producer is producer:
            self._producer = None
        await producer.close()

    async def subscribe(
        self,
        group: str,
        topic: str,
        *,
        stateful: bool = False,
        listener: Listener | None = None,
    ) -> Subscription:
        """Join a group; see Log.subscribe.

        A stateful group keeps its state in the compacted topic `<group>-changelog`.
        """
        partitions = await self.partitions(topic)
        if stateful:
            await self.changelog(changelog_of(group), partitions)
        subscription = KafkaSubscription(
            self, group, topic, stateful=stateful, listener=listener, on_close=self._forget
        )
        self._subscriptions.add(subscription)
        try:
            await subscription.start()
        except BaseException:
            await subscription.close()
            raise
        return subscription

    def _forget(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    async def changelog(self, name: str, partitions: int) -> None:
        """Make sure a changelog topic exists beside an input topic of so many partitions."""
        await self.create([Topic(name, partitions=partitions, compacted=True, retention=-1)])
        if (found := await self.partitions(name)) != partitions:
            raise LogError(
                f"topic {name} has {found} partitions and its input has {partitions}: state would "
                "be lost; give the changelog as many (and start it empty), or the input as before"
            )

    async def read(self, at: TopicPartition, offset: int, max_records: int) -> list[Record]:
        """Records from `offset` on, outside any group; see Log.read."""
        if at.partition >= await self.partitions(at.topic):
            raise LogError(f"{at.topic} has no partition {at.partition}")
        where = KafkaPartition(self.connection.outer(at.topic), at.partition)
        records: list[Record] = []
        doing = f"reading {at.topic}/{at.partition} from {offset}"
        async with self._reading, self.connection.deadline(doing):
            reader = await self._reader_at(where, offset)
            end = (await reader.end_offsets([where]))[where]
            while len(records) < max_records and await reader.position(where) < end:
                fetched = await reader.getmany(
                    where, timeout_ms=READ_WAIT_MS, max_records=max_records - len(records)
                )
                for batch in fetched.values():
                    records.extend(to_records(at.topic, batch))
        return records

    async def _reader_at(self, where: KafkaPartition, offset: int) -> AIOKafkaConsumer:
        """The reader, placed at an offset; one that goes on where it was keeps its buffer."""
        reader = await self._live_reader()
        if reader.assignment() != {where}:
            reader.assign([where])
            reader.seek(where, offset)
        elif await reader.position(where) != offset:
            reader.seek(where, offset)
        return reader

    async def _live_reader(self) -> AIOKafkaConsumer:
        if self._reader is None:
            reader = free_consumer(self.connection)
            try:
                await reader.start()
            except BaseException:
                await stop_consumer(reader)
                raise
            self._reader = reader
        return self._reader

    async def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """The offsets up to which each partition can be read now."""
        partitions = range(await self.partitions(topic))
        name = self.connection.outer(topic)
        async with self._reading, self.connection.deadline(f"asking for the end of {topic}"):
            reader = await self._live_reader()
            ends = await reader.end_offsets([KafkaPartition(name, p) for p in partitions])
        return {TopicPartition(topic, at.partition): end for at, end in ends.items()}

    async def committed(self, group: str, topic: str) -> dict[TopicPartition, int]:
        """Committed offsets of a group; 0 where it has none."""
        name = self.connection.outer(topic)
        wanted = [KafkaPartition(name, p) for p in range(await self.partitions(topic))]
        found: dict[Any, Any] = await self.connection.call(
            f"asking for the offsets of group {group}",
            lambda: self._client().list_consumer_group_offsets(
                self.connection.outer(group), partitions=wanted
            ),
        )
        return {
            TopicPartition(topic, at.partition): max(found[at].offset, 0) if at in found else 0
            for at in wanted
        }
