"""The act stage's worker: carries out effects, in order per target, and records how they ended.

The rim around `act_state`: it reads `effects`, makes the calls and writes what was decided. One
writer makes all state changes of the worker and their records durable, several in one go; what
is started is durable before its call, an offset only moves over effects that are done with.
Whatever the log refuses ends the session, and a new one starts from what was completed: recovery
while running and after kill -9 are one path. Calls under way outlive a session.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from playbooks import act_state
from playbooks.act_calls import Calls
from playbooks.act_keeping import Keeping
from playbooks.act_model import Place, Policy, Route, Step
from playbooks.act_partition import Lane, Partition, Work
from playbooks.act_writes import NAME, Write, apply, book, expiry_record, lane_of, read
from playbooks.ended import KEPT_WHOLE
from playbooks.guards import Part
from playbooks.reconciler import Reconciler
from tocsin.contracts import Effect, Mode, Topics
from tocsin.deadletters import dead_letters
from tocsin.errors import ConfigError, LogError
from tocsin.log.base import Completion, Outgoing, TopicPartition
from tocsin.reconcile_config import ReconcileSettings
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from playbooks.act_calls import AnswerLine
    from playbooks.guards import SiteGuards
    from responders.base import Connector
    from tocsin.clock import Clock
    from tocsin.log.base import Log, Record, Subscription
    from tocsin.metrics import Metrics
    from tocsin.state import KeyedState

_log = logging.getLogger(__name__)


#: Records taken from the log at a time, and the longest wait for the first, seconds.
POLL_RECORDS, POLL_SECONDS = 200, 0.25

#: Seconds between two looks at leases and guard lists.
TICK_SECONDS = 1.0

#: Ticks between two prunings of the state; each happens with the partition's next write.
PRUNE_TICKS = 600

#: An expiry that was asked for and did not happen is asked for again after this time, ms.
ASK_AGAIN = 30_000

#: How long `stop` waits for effects under way, seconds; what is left is resumed by the next worker.
STOP_SECONDS = 10.0

#: Wait before trying the log again: doubled from the first to the second, seconds.
RETRY_FIRST, RETRY_LAST = 0.1, 5.0


class ActWorker:
    """Carries out effects until stopped.

    `bindings` maps each verb to the name of the connector that serves it (see
    `responders.catalog.bind`); `guards` gives the site's guards as of now and is asked each
    tick, outside the event loop; `kept_whole` is how long effects are kept whole, ms. Raises
    ConfigError if a binding names no connector, or one without that verb.
    """

    name = NAME
    topic = Topics.EFFECTS

    def __init__(
        self,
        log: Log,
        connectors: Mapping[str, Connector],
        *,
        bindings: Mapping[str, str],
        guards: Callable[[], SiteGuards],
        clock: Clock,
        metrics: Metrics,
        mode: Mode = Mode.DRY_RUN,
        notify_in_dry_run: bool = False,
        reconcile: ReconcileSettings | None = None,
        answer_line: AnswerLine | None = None,
        kept_whole: int = KEPT_WHOLE,
    ) -> None:
        self._log = log
        self._kept_whole = kept_whole
        self._connectors = connectors
        self._guards = guards
        self._clock = clock
        self._metrics = metrics
        #: Why nothing can be carried out just now, or "".
        self.down = ""
        self._stopping = asyncio.Event()
        self._calls = Calls(connectors, clock, answer_line)
        reconcile = reconcile or ReconcileSettings(every=0)
        self._reconciler = Reconciler(
            connectors, self._calls.slot, clock, metrics, every=reconcile.every
        )
        undoers = {
            (name, action.verb): Route(name, action)
            for name, connector in connectors.items()
            for action in connector.manifest.actions
        }
        self._policy = Policy(
            routes=_routes(bindings, undoers),
            undoers=undoers,
            site=guards(),
            mode=mode,
            notify_in_dry_run=notify_in_dry_run,
            reapply_missing=reconcile.reapply_missing,
            remove_orphans=reconcile.remove_orphans,
        )

    def stop(self) -> None:
        """Take no more effects, finish those under way within STOP_SECONDS, let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Carry out effects until `stop`; failures of the log are retried for ever."""
        delay = RETRY_FIRST
        try:
            while not self._stopping.is_set():
                started = time.monotonic()
                try:
                    await self._session()
                except* LogError as group:
                    self._report(group)
                if time.monotonic() - started > RETRY_LAST:
                    delay = RETRY_FIRST
                await _wait(self._stopping, 0 if self._stopping.is_set() else delay)
                delay = min(delay * 2, RETRY_LAST)
        finally:
            await self._calls.abandon()

    def _report(self, group: BaseExceptionGroup[LogError]) -> None:
        for error in group.exceptions:
            code = error.code if isinstance(error, LogError) else LogError.code
            self._metrics.error(NAME, code)
            self.down = str(error)
            _log.warning(
                "%s: %s; no effect is lost or made twice, going on from the last completed work",
                NAME,
                error,
            )

    def _works(self) -> None:
        self.down = ""

    async def _session(self) -> None:
        session = _Session(
            self._policy,
            self._calls,
            self._clock,
            self._metrics,
            self._log,
            self._works,
            self._kept_whole,
        )
        subscription = await self._log.subscribe(
            NAME, Topics.EFFECTS, stateful=True, listener=session
        )
        try:
            await session.run(subscription, self._stopping, self._guards, self._reconciler)
        finally:
            self._policy = session.policy
            await subscription.close()


def _routes(
    bindings: Mapping[str, str], undoers: Mapping[tuple[str, str], Route]
) -> dict[str, Route]:
    wrong = [f"{verb}: {name}" for verb, name in bindings.items() if (name, verb) not in undoers]
    if wrong:
        raise ConfigError(
            f"response.bindings name connectors that do not serve the verb: {', '.join(wrong)}"
        )
    return {verb: undoers[name, verb] for verb, name in bindings.items()}


class _Session:
    """One membership of the group: a poller, a writer, a ticker, and a lane per target."""

    def __init__(
        self,
        policy: Policy,
        calls: Calls,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        works: Callable[[], None],
        kept_whole: int,
    ) -> None:
        self._kept_whole = kept_whole
        self.policy = policy
        self._works = works
        self._calls = calls
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._partitions: dict[int, Partition] = {}
        self._writes: asyncio.Queue[Write] = asyncio.Queue()
        self._asked: dict[str, int] = {}
        self._kept: dict[int, Keeping] = {}

    async def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """Lanes of new partitions are made when their records come."""

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Calls under way are cut off: the next owner resumes them by their idempotence."""
        gone = frozenset(at.partition for at in partitions)
        for number in gone:
            self._kept.pop(number, None)
            if (partition := self._partitions.pop(number, None)) is not None:
                await partition.cancel()
        await self._calls.abandon(frozenset(self._partitions) - gone)

    async def run(
        self,
        subscription: Subscription,
        stopping: asyncio.Event,
        current: Callable[[], SiteGuards],
        reconciler: Reconciler,
    ) -> None:
        self._subscription = subscription
        self._total = await self._log.partitions(Topics.EFFECTS)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                background = (
                    tasks.create_task(self._write_all(), name="act writer"),
                    tasks.create_task(self._tick_all(current), name="act ticker"),
                    tasks.create_task(
                        reconciler.run(self._log, subscription), name="act reconciler"
                    ),
                )
                await self._poll_all(stopping)
                await self._drain()
                for task in background:
                    task.cancel()
        finally:
            for partition in self._partitions.values():
                await partition.cancel()

    async def _poll_all(self, stopping: asyncio.Event) -> None:
        first = True
        while not stopping.is_set():
            polled = await self._subscription.poll(POLL_RECORDS, POLL_SECONDS)
            if first:
                owned = frozenset(at.partition for at in self._subscription.assignment)
                await self._calls.abandon(owned)
                first = not owned
            for at, records in polled.items():
                for record in records:
                    self._take(self._partition(at), record)
            if not any(partition.lanes for partition in self._partitions.values()):
                self._works()
            self._balance()

    def _partition(self, at: TopicPartition) -> Partition:
        if at.partition not in self._partitions:
            self._partitions[at.partition] = Partition(at)
        return self._partitions[at.partition]

    def _balance(self) -> None:
        """Back-pressure: a partition with too much under way is paused until half is done."""
        for partition in self._partitions.values():
            if partition.overfull and not partition.paused:
                partition.paused = True
                self._subscription.pause(frozenset({partition.at}))
            elif partition.paused and partition.drained:
                partition.paused = False
                self._subscription.resume(frozenset({partition.at}))

    def _take(self, partition: Partition, record: Record) -> None:
        work = read(record)
        lane = partition.take(work, lane_of(work, self.policy))
        if lane.task is None:
            lane.task = self._tasks.create_task(self._follow(partition, lane), name="act lane")

    async def _follow(self, partition: Partition, lane: Lane) -> None:
        """Do the work on one target, one after the other."""
        while (work := lane.next()) is not None:
            if work.effect is None:
                await self._refuse(partition, work)
            else:
                await self._carry_out(partition, work, work.effect)
            partition.finished(lane, work)
        partition.leave(lane)

    async def _refuse(self, partition: Partition, work: Work) -> None:
        now = self._clock.now()
        letters = dead_letters(NAME, work.record, "not_an_effect", work.mistake, now)
        await self._write(partition, work, lambda state, place: Step(letters, dead="not_an_effect"))

    async def _carry_out(self, partition: Partition, work: Work, effect: Effect) -> None:
        key = (effect.id, effect.attempt)
        running = self._calls.running(key)
        if running is None:
            state = self._subscription.state(partition.at.partition)
            name = act_state.connector_of(state, effect, self.policy)
            async with self._calls.slot(name):
                step = await self._write(partition, work, self._beginning(effect))
                if step.invocation is None:
                    return
                running = self._calls.start(key, partition.at.partition, step.invocation)
                await asyncio.shield(running.task)
        invocation, outcome = running.invocation, await asyncio.shield(running.task)
        await self._write(
            partition,
            work,
            lambda state, place: act_state.finish(state, effect, place, invocation, outcome),
        )
        self._calls.forget(key)

    def _beginning(self, effect: Effect) -> Callable[[KeyedState, Place], Step]:
        def begin(state: KeyedState, place: Place) -> Step:
            owned = sorted(at.partition for at in self._subscription.assignment)
            windows = [self._subscription.state(number) for number in owned]
            policy = self.policy
            if len(owned) < self._total:
                part = Part(frozenset(owned), self._total)
                policy = replace(policy, site=replace(policy.site, part=part))
            return act_state.begin(state, effect, place, policy, windows)

        return begin

    async def _write(
        self, partition: Partition, work: Work, change: Callable[[KeyedState, Place], Step]
    ) -> Step:
        """Have the writer apply `change`; when this returns it is durable."""
        write = Write(partition, work, change)
        self._writes.put_nowait(write)
        return await write.done

    async def _write_all(self) -> None:
        while True:
            writes = [await self._writes.get()]
            while not self._writes.empty():
                writes.append(self._writes.get_nowait())
            await self._write_some([write for write in writes if not write.done.cancelled()])

    async def _write_some(self, writes: list[Write]) -> None:
        started = time.perf_counter()
        completions: dict[int, Completion] = {}
        applied: list[tuple[Write, Step]] = []
        received, batch = 0, Batch()
        for write in writes:
            at = write.partition.at
            if self._partitions.get(at.partition) is not write.partition:
                write.done.cancel()
                continue
            state = self._subscription.state(at.partition)
            place = Place(at.partition, write.work.record.offset, self._clock.now())
            keeping = self._keeping(at.partition, state)
            keeping.sweep(write.partition.committed, place.now)
            if write.partition.prune_due:
                keeping.prune_rates(place.now)
                write.partition.prune_due = False
            step = apply(write, state, place, keeping)
            completion = completions.setdefault(at.partition, Completion(at, None, [], state))
            completion.outputs = [*completion.outputs, *step.outputs]
            if step.invocation is None:
                received += 1
                book(batch, step)
                moved = write.partition.done(write.work.record.offset)
                completion.offset = completion.offset if moved is None else moved
            applied.append((write, step))
        if completions:
            await self._subscription.complete(list(completions.values()))
            self._works()
        for write, step in applied:
            if step.alarm:
                _log.error("%s", step.alarm)
            if not write.done.done():
                write.done.set_result(step)
        self._metrics.batch(NAME, received, batch, time.perf_counter() - started)

    def _keeping(self, partition: int, state: KeyedState) -> Keeping:
        """Made anew for another state: the partition was away meanwhile."""
        keeping = self._kept.get(partition)
        if keeping is None or keeping.state is not state:
            keeping = self._kept[partition] = Keeping(state, self._kept_whole)
        return keeping

    async def _tick_all(self, current: Callable[[], SiteGuards]) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            ticks += 1
            site = await asyncio.to_thread(current)
            self.policy = replace(self.policy, site=site)
            await self._ask_for_undos()
            if ticks % PRUNE_TICKS == 0:
                for partition in self._partitions.values():
                    partition.prune_due = True

    async def _ask_for_undos(self) -> None:
        now = self._clock.now()
        asked: list[Effect] = []
        records: list[Outgoing] = []
        for at in sorted(self._subscription.assignment):
            state = self._subscription.state(at.partition)
            for effect in self._keeping(at.partition, state).due(now):
                if abs(now - self._asked.get(effect.id, now - ASK_AGAIN)) >= ASK_AGAIN:
                    asked.append(effect)
                    records.append(expiry_record(effect, at.partition, now))
        if records:
            await self._log.append(records)
        self._asked = {
            key: when for key, when in self._asked.items() if abs(now - when) < ASK_AGAIN
        }
        self._asked.update((effect.id, now) for effect in asked)

    async def _drain(self) -> None:
        """Give effects under way some time; whatever is left, the next worker resumes."""
        lanes = [
            lane.task
            for partition in self._partitions.values()
            for lane in partition.lanes.values()
            if lane.task is not None
        ]
        if lanes:
            await asyncio.wait(lanes, timeout=STOP_SECONDS)
        for lane in lanes:
            lane.cancel()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, at most so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
