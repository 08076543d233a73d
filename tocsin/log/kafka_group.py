"""A member of a Kafka consumer group: assignment, polling, completing.

The protocol is Kafka's classic one with eager rebalancing: aiokafka has no cooperative assignor,
and its sticky one keeps what it remembers in class attributes that all subscriptions of a process
would share. Little is lost: a stateful member reloads its state at each assignment anyway,
because only that is right, and assignments change when workers come and go.

During a rebalance the records in hand are waited for (`HANDOVER_PATIENCE`), so that work that is
about to be completed is not thrown away and done again by the next owner.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError

from tocsin.errors import Fenced, LogError, LogUnavailable, RecordTooLarge
from tocsin.log.base import Record, TopicPartition
from tocsin.log.kafka_client import (
    GROUP_REQUEST_TIMEOUT_MS,
    HEARTBEAT_MS,
    REBALANCE_TIMEOUT_MS,
    SESSION_TIMEOUT_MS,
    stop_consumer,
)
from tocsin.log.kafka_producer import TIME_HEADER, check_sizes
from tocsin.log.kafka_state import StateStore, changelog_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tocsin.log.base import Completion, Listener, Subscription
    from tocsin.log.kafka import KafkaLog
    from tocsin.state import KeyedState

logger = logging.getLogger(__name__)

#: How long a rebalance waits for the records in hand to be completed, seconds.
HANDOVER_PATIENCE = 5.0
#: Longest that joining a group may take beyond the longest rebalance, seconds: a connection that
#: broke in the middle of it can leave aiokafka waiting without end.
JOIN_PATIENCE = REBALANCE_TIMEOUT_MS / 1000 + 15.0
#: After so long without a record the broker is asked whether it is there, seconds.
SILENCE = 3.0


def to_records(topic: str, batch: Iterable[Any]) -> list[Record]:
    """Tocsin's records of aiokafka's; `topic` is without prefix."""
    make = tuple.__new__  # half the cost of calling Record, and this is the hottest loop
    return [
        make(
            Record,
            (topic, r.partition, r.offset, r.key, r.value or b"", r.headers, r.timestamp),
        )
        if not r.headers or r.headers[-1][0] != TIME_HEADER
        else _untimely(topic, r)
        for r in batch
    ]


def _untimely(topic: str, r: Any) -> Record:
    """The record whose own time travelled in a header; a stranger's may say anything there."""
    *headers, (_, timestamp) = r.headers
    try:
        time = int(timestamp)
    except (TypeError, ValueError):
        headers, time = r.headers, r.timestamp
    return Record(topic, r.partition, r.offset, r.key, r.value or b"", tuple(headers), time)


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's callbacks; it logs and forgets what they raise, so they raise nothing."""

    def __init__(self, subscription: KafkaSubscription) -> None:
        self._subscription = subscription

    async def on_partitions_revoked(self, revoked: Iterable[KafkaPartition]) -> None:
        await self._subscription._hand_over(frozenset(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[KafkaPartition]) -> None:
        self._subscription._take_over(frozenset(assigned))


class KafkaSubscription:
    """A member of a group; see tocsin.log.base.Subscription for what the calls mean.

    A stateful subscription that another worker fenced is over: every later call raises Fenced.
    Close it and subscribe again; the new one starts from what really was committed.
    """

    def __init__(
        self,
        log: KafkaLog,
        group: str,
        topic: str,
        *,
        stateful: bool,
        listener: Listener | None,
        on_close: Callable[[Subscription], None],
    ) -> None:
        self._log = log
        self._connection = log.connection
        self._group = group
        self._topic = topic
        self._listener = listener
        self._on_close = on_close
        self._store = (
            StateStore(log.connection, group, topic, changelog_of(group)) if stateful else None
        )
        self._consumer: AIOKafkaConsumer | None = None
        self._owned: frozenset[TopicPartition] = frozenset()
        self._paused: frozenset[TopicPartition] = frozenset()
        self._assigned: frozenset[KafkaPartition] = frozenset()
        self._taking: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._in_hand: dict[TopicPartition, int] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._completing = asyncio.Lock()
        self._broken: LogError | None = None
        self._heard = 0.0
        self._joining: float | None = 0.0

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions owned and ready."""
        return self._owned

    async def start(self) -> None:
        """Join the group; partitions come with the first polls."""
        self._heard = self._joining = asyncio.get_running_loop().time()
        self._consumer = AIOKafkaConsumer(
            **self._connection.options(
                group_id=self._connection.outer(self._group),
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                isolation_level="read_committed",
                partition_assignment_strategy=(RoundRobinPartitionAssignor,),
                session_timeout_ms=SESSION_TIMEOUT_MS,
                heartbeat_interval_ms=HEARTBEAT_MS,
                rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
                request_timeout_ms=GROUP_REQUEST_TIMEOUT_MS,
            )
        )
        async with self._connection.deadline(f"joining group {self._group}"):
            await self._consumer.start()
        topic = self._connection.outer(self._topic)
        self._consumer.subscribe([topic], listener=_Rebalances(self))

    async def close(self) -> None:
        """Leave the group; uncompleted records go to the next member."""
        consumer, self._consumer = self._consumer, None
        await self._stop_taking()
        self._drop()
        self._broken = Fenced(f"{self._group}: the subscription is closed")
        if consumer is not None:
            await stop_consumer(consumer)
        if self._store is not None:
            await self._store.release()
        self._on_close(self)

    # -- rebalances -------------------------------------------------------------------------

    async def _hand_over(self, revoked: frozenset[KafkaPartition]) -> None:
        """Called before a rebalance; the member keeps its heartbeats and partitions meanwhile."""
        self._ready.clear()
        self._joining = asyncio.get_running_loop().time()
        await self._stop_taking()
        lost = self._owned
        if lost:
            await self._hear(self._listener.revoked(lost) if self._listener else None)
            await self._wait_for_hands()
            async with self._completing:
                self._drop()
        if self._store is not None:
            await self._store.release()

    async def _wait_for_hands(self) -> None:
        try:
            async with asyncio.timeout(HANDOVER_PATIENCE):
                await self._quiet.wait()
        except TimeoutError:
            logger.info("%s: work in hand goes to the next owner: %s", self._group, self._in_hand)

    def _take_over(self, assigned: frozenset[KafkaPartition]) -> None:
        """Called with the new assignment; heartbeats stand still until this returns."""
        if self._consumer is None:
            return  # closing: the partitions go to another member at once
        self._joining = None
        self._consumer.pause(*assigned)
        self._assigned = assigned
        self._taking = asyncio.create_task(self._take(assigned))

    async def _take(self, assigned: frozenset[KafkaPartition]) -> None:
        consumer = self._live()
        partitions = frozenset(TopicPartition(self._topic, at.partition) for at in assigned)
        try:
            if self._store is not None and assigned:
                await self._store.take(consumer, assigned)
            self._owned = partitions
            if self._listener is not None and partitions:
                await self._listener.assigned(partitions)
            consumer.resume(*assigned)
        except KafkaError as error:
            raise self._connection.meaning(error, f"{self._group} taking over") from error
        self._heard = asyncio.get_running_loop().time()
        self._ready.set()

    async def _stop_taking(self) -> None:
        taking, self._taking = self._taking, None
        if taking is None:
            return
        taking.cancel()
        await asyncio.wait({taking})
        if not taking.cancelled() and (error := taking.exception()) is not None:
            logger.info("%s: an assignment was not taken over: %s", self._group, error)

    def _drop(self) -> None:
        self._owned = frozenset()
        self._paused = frozenset()
        self._in_hand.clear()
        self._quiet.set()
        self._ready.clear()

    async def _hear(self, heard: Any) -> None:
        """Let the listener work on a revocation, in bounded time; its failure ends us."""
        if heard is None:
            return
        try:
            async with asyncio.timeout(HANDOVER_PATIENCE):
                await heard
        except Exception as error:
            logger.exception("%s: the listener failed on revoked partitions", self._group)
            self._broken = LogError(f"{self._group}: the listener failed: {error}")

    # -- work -------------------------------------------------------------------------------

    async def poll(
        self, max_records: int, timeout: float
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        """Records that are next; see Subscription.poll."""
        consumer = self._live()
        self._settle_hands()
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        if not await self._settled(timeout):
            await self._check_silence()
            self._check_joining()
            return {}
        try:
            fetched = await consumer.getmany(
                timeout_ms=max(0, round((until - loop.time()) * 1000)), max_records=max_records
            )
        except KafkaError as error:
            raise self._connection.meaning(error, f"{self._group} polling") from error
        if not fetched:
            await self._check_silence()
            return {}
        self._heard = loop.time()
        return {
            TopicPartition(self._topic, at.partition): self._hand(at.partition, batch)
            for at, batch in fetched.items()
        }

    def _hand(self, partition: int, batch: Sequence[Any]) -> list[Record]:
        records = to_records(self._topic, batch)
        self._in_hand[TopicPartition(self._topic, partition)] = records[-1].offset + 1
        self._quiet.clear()
        return records

    def _settle_hands(self) -> None:
        """A caller that polls again is between two pieces of work: a rebalance may go on."""
        self._in_hand.clear()
        self._quiet.set()

    async def _settled(self, timeout: float) -> bool:
        """Whether partitions are owned and ready, waiting up to `timeout`."""
        if self._ready.is_set():
            return True
        waits: set[asyncio.Future[Any]] = {asyncio.ensure_future(self._ready.wait())}
        ready = set(waits)
        if self._taking is not None:
            waits.add(self._taking)
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for wait in ready:
            wait.cancel()
        taking = self._taking
        failed = taking is not None and taking.done() and not taking.cancelled()
        if taking is not None and failed and (error := taking.exception()) is not None:
            self._taking = asyncio.create_task(self._take(self._assigned))
            raise error
        return self._ready.is_set()

    async def _check_silence(self) -> None:
        """No record may mean that there is none, or that there is no broker."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._heard > SILENCE:
            await self._log.probe()
            self._heard = loop.time()

    def _check_joining(self) -> None:
        """The broker answers; raises LogUnavailable if the group has not for too long."""
        waited = asyncio.get_running_loop().time() - (self._joining or math.inf)
        if waited > JOIN_PATIENCE:
            raise LogUnavailable(
                f"{self._group}: no partitions of {self._topic} were assigned within "
                f"{waited:.0f} s; it joins the group anew"
            )

    def state(self, partition: int) -> KeyedState:
        """The keyed state of an owned partition."""
        if self._store is None:
            raise LogError(f"{self._group}: the subscription keeps no state")
        if TopicPartition(self._topic, partition) not in self._owned:
            raise Fenced(f"{self._group}: {self._topic}/{partition} is no longer owned")
        return self._store.state(partition)

    async def complete(self, work: Sequence[Completion]) -> None:
        """Make work durable; see Subscription.complete."""
        self._live()
        for completion in work:
            check_sizes(completion.outputs)
        async with self._completing:
            mine = [completion for completion in work if self._is_mine(completion)]
            if self._store is None:
                await self._append_and_commit(mine)
            else:
                await self._transact(self._store, mine)
            self._put_down(mine)
        if len(mine) < len(work):
            lost = sorted({c.partition.partition for c in work if c not in mine})
            raise Fenced(
                f"{self._group}: partitions {lost} of {self._topic} went to another worker, which "
                "does this work again"
            )

    def _is_mine(self, completion: Completion) -> bool:
        if completion.partition not in self._owned:
            return False
        if self._store is None or completion.state is None:
            return True
        return self._store.state(completion.partition.partition) is completion.state

    async def _transact(self, store: StateStore, work: Sequence[Completion]) -> None:
        try:
            await store.complete(work)
        except (LogUnavailable, RecordTooLarge):
            raise  # it may be given again
        except LogError as error:
            self._broken = error
            self._drop()
            raise

    async def _append_and_commit(self, work: Sequence[Completion]) -> None:
        outputs = [record for completion in work for record in completion.outputs]
        if outputs:
            await self._log.append(outputs)
        name = self._connection.outer(self._topic)
        offsets = {
            KafkaPartition(name, completion.partition.partition): completion.offset
            for completion in work
            if completion.offset is not None
        }
        if offsets:
            async with self._connection.deadline(f"committing offsets of {self._group}"):
                await self._live().commit(offsets)

    def _put_down(self, work: Sequence[Completion]) -> None:
        for completion in work:
            done = completion.offset
            if done is not None and self._in_hand.get(completion.partition, done + 1) <= done:
                del self._in_hand[completion.partition]
        if not self._in_hand:
            self._quiet.set()

    def pause(self, partitions: frozenset[TopicPartition]) -> None:
        """Stop delivering these partitions until resumed or assigned anew."""
        mine = partitions & self._owned
        self._paused |= mine
        self._live().pause(*self._kafka(mine))

    def resume(self, partitions: frozenset[TopicPartition]) -> None:
        """Deliver these partitions again."""
        mine = partitions & self._owned
        self._paused -= mine
        self._live().resume(*self._kafka(mine))

    def _kafka(self, partitions: frozenset[TopicPartition]) -> list[KafkaPartition]:
        name = self._connection.outer(self._topic)
        return [KafkaPartition(name, at.partition) for at in partitions]

    def _live(self) -> AIOKafkaConsumer:
        if self._broken is not None:
            raise self._broken
        assert self._consumer is not None  # noqa: S101  # started, and not closed
        return self._consumer
