"""One Faust app as a member of a group: what it collects, restores and is told.

See tocsin.log.faust_tables for what is left to Faust and what is not.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import faust
import orjson
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport

from tocsin.errors import Fenced, LogError, LogUnavailable
from tocsin.log.base import Record, TopicPartition
from tocsin.log.kafka_client import CLOSE_PATIENCE, stop_consumer
from tocsin.log.kafka_group import HANDOVER_PATIENCE, SILENCE, to_records
from tocsin.log.kafka_producer import Change, check_sizes
from tocsin.log.kafka_state import StateStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from faust.types import TP

    from tocsin.log.base import Completion, Listener, Subscription
    from tocsin.log.kafka import KafkaLog
    from tocsin.state import KeyedState

logger = logging.getLogger(__name__)

#: Events collected and not yet polled, before the agent waits.
MAX_PENDING = 4_000
#: Longest that Faust may take over partitions without reading anything of their changelog,
#: seconds. Its recovery waits without end for a record that a broken connection took along (seen
#: after a broker was frozen for a minute); a new app starts from what was committed.
RECOVERY_PATIENCE = 20.0
#: Longest that stopping an app may take, seconds.
STOP_PATIENCE = 15.0
#: Longest that its consumer may take to leave the group, seconds.
LEAVE_PATIENCE = 3 * CLOSE_PATIENCE
#: The table; its changelog is `<group>-state-changelog`.
TABLE = "state"


def changelog_of(group: str) -> str:
    """The topic that Faust restores a group's table from, without prefix."""
    return f"{group}-{TABLE}-changelog"


class _Thread(AIOKafkaConsumerThread):
    """Faust reads uncommitted records unless it runs transactions of its own; Tocsin never does."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer

    async def leave(self) -> None:
        """Leave the group for good, in bounded time, whatever Faust itself is waiting for."""
        if self._consumer is not None:
            await stop_consumer(self._consumer)


class _Consumer(Consumer):
    def _new_consumer_thread(self) -> _Thread:
        thread = _Thread(self, loop=self.loop, beacon=self.beacon)
        app: Any = self.app
        app.reading = thread
        return thread


class _Transport(Transport):
    Consumer = _Consumer


class FaustApp(faust.App):
    """Faust, which asks before it recovers the table whether the partitions were taken over."""

    take_over: Callable[[set[TP]], Awaitable[None]]
    #: The thread that is the group's member, once there is one.
    reading: _Thread | None = None

    async def leave(self) -> None:
        """Leave the group, so that whoever comes next is not kept waiting by an app that hangs."""
        if self.reading is None or self.reading.thread_loop.is_closed():
            return
        left = asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(self.reading.leave(), self.reading.thread_loop)
        )
        done, _ = await asyncio.wait({left}, timeout=LEAVE_PATIENCE)
        if not done:
            logger.warning("%s: Faust's consumer did not answer; it is abandoned", self.conf.id)
        elif not left.cancelled() and (error := left.exception()) is not None:
            logger.warning("%s: leaving the group: %r", self.conf.id, error)

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        if not self.should_stop:
            await self.take_over(assigned)
        await super()._on_partitions_assigned(assigned, generation_id)

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)


class FaustSubscription:
    """One Faust app as a member of a group; see tocsin.log.base.Subscription.

    What ends the app (a crash of Faust's, being fenced) ends the subscription: calls raise until it
    is closed, and a new one starts from what was committed.
    """

    def __init__(
        self,
        log: KafkaLog,
        app: FaustApp,
        group: str,
        topic: str,
        partitions: int,
        listener: Listener | None,
        *,
        on_close: Callable[[Subscription], None],
    ) -> None:
        self._log = log
        self._on_close = on_close
        self._app = app
        self._group = group
        self._topic = topic
        self._listener = listener
        self._changelog = changelog_of(group)
        self._table = app.Table(TABLE, partitions=partitions)
        self._store = StateStore(log.connection, group, topic, self._changelog, encode=_entry)
        self._paused: frozenset[TopicPartition] = frozenset()
        self._pending: dict[int, deque[Any]] = {}
        self._assignments = 0
        self._next: dict[int, int] = {}
        self._in_hand: dict[int, int] = {}
        self._changed = asyncio.Event()
        self._space = asyncio.Event()
        self._space.set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._completing = asyncio.Lock()
        self._broken: LogError | None = None
        self._heard = 0.0
        self._settled = False
        self._recovery: tuple[float, int] = (0.0, 0)
        self._running: asyncio.Task[None] | None = None
        self._define()

    def _define(self) -> None:
        app, name = self._app, self._log.connection.outer(self._topic)
        raw = app.topic(
            name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        app.agent(raw, name=f"{self._group}-collect")(self._collect)
        app.on_partitions_revoked.connect(self._revoked)
        app.take_over = self._take_over
        self._table.on_recover(self._recovered)

    def start(self) -> None:
        """Start the app; partitions come when the table is recovered."""
        self._heard = asyncio.get_running_loop().time()
        self._recovery = (self._heard, 0)
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Leave the group; uncompleted records go to the next member."""
        self._break(Fenced(f"{self._group}: the subscription is closed"))
        self._drop()
        # Stopping an app can take for ever without a broker. One that were given up while it is a
        # member would join again when the broker is back, hold partitions, fence its successor.
        await self._app.leave()
        stopping = asyncio.create_task(self._app.stop())
        done, _ = await asyncio.wait({stopping}, timeout=STOP_PATIENCE)
        if not done:
            logger.warning("%s: Faust did not stop in time and is abandoned", self._group)
        tasks = {stopping} if self._running is None else {stopping, self._running}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CLOSE_PATIENCE)
        await self._store.release()
        self._on_close(self)

    # -- Faust's side -----------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._app.start()
            await self._app.wait_until_stopped()
            reason = self._app.crash_reason
        except Exception as error:  # Faust raises whatever its parts raise
            reason = error
        self._break(
            LogUnavailable(
                f"{self._group}: Faust's worker on Kafka at {self._log.connection.address} ended: "
                f"{reason!r}; what was acknowledged is safe, it starts again from there"
            )
        )

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _break(self, error: LogError) -> None:
        self._broken = self._broken or error
        self._changed.set()
        self._space.set()
        self._quiet.set()

    async def _collect(self, stream: Any) -> None:
        async for event in stream.noack().events():
            self._pending.setdefault(event.message.partition, deque()).append(event)
            self._changed.set()
            if sum(map(len, self._pending.values())) >= MAX_PENDING:
                self._space.clear()
                await self._space.wait()

    async def _revoked(self, *_: Any, **__: Any) -> None:
        """Faust is about to rebalance: let the work in hand end, then forget everything."""
        self._settled = False
        self._recovery = (asyncio.get_running_loop().time(), 0)
        self._pending.clear()
        lost = self.assignment
        if lost:
            with suppress(TimeoutError):
                async with asyncio.timeout(HANDOVER_PATIENCE):
                    if self._listener is not None:
                        await self._listener.revoked(lost)
                    await self._quiet.wait()
            async with self._completing:
                self._drop()

    async def _take_over(self, assigned: set[TP]) -> None:
        """Partitions are assigned and not recovered yet: fence whoever had them, mark the end."""
        if self._broken is not None:
            return  # closed or about to be: nobody is to be fenced any more
        name = self._log.connection.outer(self._topic)
        mine = sorted(at.partition for at in assigned if at.topic == name)
        self._settled = not mine
        self._recovery = (asyncio.get_running_loop().time(), 0)
        barrier = {(self._changelog, partition): [_barrier(partition)] for partition in mine}
        try:
            await self._store.fence(mine)
            if barrier:
                await self._log.write(barrier)
        except LogError as error:
            self._break(error)

    async def _recovered(self) -> None:
        """The table is recovered: make the states of the partitions that are now ours.

        Faust forgets what its callbacks raise.
        """
        try:
            await self._adopt()
        except LogError as error:
            self._break(error)

    async def _adopt(self) -> None:
        assigned = self._app.consumer.assignment()
        name = self._log.connection.outer(self._topic)
        mine = {at.partition for at in assigned if at.topic == name}
        stored: dict[int, dict[str, bytes]] = {partition: {} for partition in mine}
        for key in list(self._table.data):
            partition, _, inner = key.partition(":")
            if int(partition) in stored:
                [value] = self._table.data[key]
                stored[int(partition)][inner] = orjson.dumps(value)
            else:
                del self._table.data[key]
        committed = await self._log.committed(self._group, self._topic)
        self._drop()
        self._next = {
            partition: committed[TopicPartition(self._topic, partition)] for partition in mine
        }
        self._store.adopt(stored)
        if self._listener is not None and mine:
            await self._listener.assigned(self.assignment)
        self._heard = asyncio.get_running_loop().time()
        self._settled = True
        self._changed.set()

    async def _check_recovery(self) -> None:
        """Partitions are being taken over: raises LogUnavailable if nothing moves any more."""
        now, read = asyncio.get_running_loop().time(), self._recovered_offsets()
        if now - self._heard > SILENCE:
            await self._log.probe()  # without a broker that is what there is to say
            self._heard = now
        since, known = self._recovery
        if read != known:
            self._recovery = (now, read)
        elif now - since > RECOVERY_PATIENCE:
            self._break(
                LogUnavailable(
                    f"{self._group}: Faust has not taken over its partitions of {self._topic} for "
                    f"{now - since:.0f} s ({self._progress()}); it starts again"
                )
            )
            self._check()

    def _progress(self) -> str:
        """Which partitions were assigned, and how far their changelogs were read."""
        tables: Any = self._app.tables
        recovery = tables.recovery
        read = [
            f"{at.partition}: {recovery.active_offsets.get(at)} of {end}"
            for at, end in sorted(recovery.active_highwaters.items())
        ]
        return f"changelog read to {', '.join(read)}" if read else "none is assigned"

    def _recovered_offsets(self) -> int:
        """How far the changelogs have been read, all partitions together."""
        tables: Any = self._app.tables
        return sum(offset or 0 for offset in tables.recovery.active_offsets.values())

    def _drop(self) -> None:
        self._assignments += 1
        self._store.forget()
        self._next.clear()
        self._paused = frozenset()
        self._pending.clear()
        self._in_hand.clear()
        self._space.set()
        self._quiet.set()

    # -- the stage's side -------------------------------------------------------------------

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions whose state is recovered."""
        return frozenset(
            TopicPartition(self._topic, partition) for partition in self._store.partitions
        )

    async def poll(
        self, max_records: int, timeout: float
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        """Records that are next; see Subscription.poll."""
        self._check()
        self._in_hand.clear()
        self._quiet.set()
        assignments = self._assignments
        polled = await self._take(max_records)
        if not polled and timeout > 0:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._changed.wait()
            self._check()
            polled = await self._take(max_records)
        loop = asyncio.get_running_loop()
        if not self._settled:
            await self._check_recovery()
        elif not polled and loop.time() - self._heard > SILENCE:
            polled = await self._overlooked(max_records)
            self._heard = loop.time()
        if assignments != self._assignments:
            return {}  # a rebalance came in between; what was taken is delivered to its owner
        if polled:
            self._heard = loop.time()
            self._in_hand = {at.partition: rs[-1].offset + 1 for at, rs in polled.items()}
            self._next.update(self._in_hand)
            self._quiet.clear()
        return polled

    async def _take(self, max_records: int) -> dict[TopicPartition, list[Record]]:
        taken: dict[TopicPartition, list[Record]] = {}
        for partition in sorted(self._store.partitions):
            at = TopicPartition(self._topic, partition)
            waiting = self._pending.get(partition)
            if not waiting or at in self._paused or max_records <= 0:
                continue
            records = await self._without_gaps(at, waiting, max_records)
            max_records -= len(records)
            if records and waiting is self._pending.get(partition):
                taken[at] = records
        self._space.set()
        return taken

    async def _without_gaps(
        self, at: TopicPartition, waiting: deque[Any], most: int
    ) -> list[Record]:
        """The next records of a partition: collected ones, and before them what was dropped."""
        records: list[Record] = []
        expected = self._next[at.partition]
        while waiting and len(records) < most:
            offset = waiting[0].message.offset
            if offset > expected:
                found = await self._log.read(at, expected, most - len(records))
                dropped = [record for record in found if record.offset < offset]
                records += dropped
                expected = dropped[-1].offset + 1 if dropped else offset
                continue
            event = waiting.popleft()
            if offset == expected:
                records += to_records(self._topic, [_Message(event)])
                expected += 1
        return records

    async def _overlooked(self, max_records: int) -> dict[TopicPartition, list[Record]]:
        """Nothing came for a while: is there nothing, or no broker, or did Faust drop the last?"""
        found: dict[TopicPartition, list[Record]] = {}
        for at, end in (await self._log.end_offsets(self._topic)).items():
            partition, idle = at.partition, at not in self._paused
            expected = self._next.get(partition, end)
            if idle and partition in self._store.partitions and expected < end:
                records = await self._log.read(at, expected, max_records)
                if records and not self._pending.get(partition):
                    found[at] = records
        return found

    def state(self, partition: int) -> KeyedState:
        """The keyed state of an owned partition."""
        if partition not in self._store.partitions:
            raise Fenced(f"{self._group}: {self._topic}/{partition} is no longer owned")
        return self._store.state(partition)

    async def complete(self, work: Sequence[Completion]) -> None:
        """Outputs and changes in one transaction, then acknowledgements; see the module."""
        async with self._completing:
            self._check()
            mine = [completion for completion in work if self._is_mine(completion)]
            for completion in mine:
                check_sizes(completion.outputs)
            changed = [
                (completion.partition.partition, completion.state.changes())
                for completion in mine
                if completion.state is not None
            ]
            try:
                await self._store.complete(mine)
            except Fenced as error:
                self._break(error)
                raise
            self._update_table(changed)
            self._put_down(mine)
        if len(mine) < len(work):
            lost = sorted({c.partition.partition for c in work if c not in mine})
            raise Fenced(
                f"{self._group}: partitions {lost} of {self._topic} went to another worker, which "
                "does this work again"
            )

    def _is_mine(self, completion: Completion) -> bool:
        partition = completion.partition.partition
        if partition not in self._store.partitions:
            return False
        return completion.state is None or completion.state is self._store.state(partition)

    def _update_table(self, changed: Sequence[tuple[int, Mapping[str, bytes | None]]]) -> None:
        """The table in memory as its changelog is."""
        data = self._table.data
        for partition, changes in changed:
            for key, value in changes.items():
                if value is None:
                    data.pop(f"{partition}:{key}", None)
                else:
                    data[f"{partition}:{key}"] = [orjson.loads(value)]

    def _put_down(self, work: Sequence[Completion]) -> None:
        for completion in work:
            partition, done = completion.partition.partition, completion.offset
            if done is not None and self._in_hand.get(partition, done + 1) <= done:
                del self._in_hand[partition]
        if not self._in_hand:
            self._quiet.set()

    def pause(self, partitions: frozenset[TopicPartition]) -> None:
        """Stop delivering these partitions; a long pause holds back the others, too."""
        self._paused |= partitions & self.assignment

    def resume(self, partitions: frozenset[TopicPartition]) -> None:
        """Deliver these partitions again."""
        self._paused -= partitions
        self._changed.set()


def _entry(partition: int, key: str, value: bytes | None) -> Change:
    """A changelog record as Faust's table reads it.

    The key names its partition, because a table is one mapping for all partitions of a worker.
    The value stands in a list, because Faust's store takes a falsy value after a deletion in the
    same batch for deleted.
    """
    name = json.dumps(f"{partition}:{key}").encode()
    return Change(name, None if value is None else b"[" + value + b"]")


def _barrier(partition: int) -> Change:
    """The deletion of a key that no state has: Faust reads up to it and nothing changes."""
    return Change(json.dumps(f"{partition}!").encode(), None)


class _Message:
    """A Faust event with the attributes of an aiokafka record."""

    __slots__ = ("headers", "key", "offset", "partition", "timestamp", "value")

    def __init__(self, event: Any) -> None:
        message = event.message
        self.partition = message.partition
        self.offset = message.offset
        self.key = message.key
        self.value = message.value
        self.headers = tuple(message.headers or ())
        self.timestamp = round(message.timestamp * 1000)
