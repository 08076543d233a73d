"""Running a stage on a log: poll, process, complete; ticks; dead letters; recovery.

The runner is the same for every backend. Whatever the log refuses (broker away, disk full,
fenced) ends the subscription and a new one starts where the last completed work ended, so
recovery while running and recovery after kill -9 are one path, and the tests of one cover both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from tocsin.deadletters import dead_letters
from tocsin.errors import BadInput, LogError, StoreError, TocsinError
from tocsin.log.base import MAX_RECORD, Completion
from tocsin.stage import Batch
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.clock import Clock
    from tocsin.log.base import Log, Record, Subscription, TopicPartition
    from tocsin.metrics import Metrics
    from tocsin.stage import Stage

logger = logging.getLogger(__name__)

#: Seconds between two ticks of a stage, and the longest wait of one poll.
TICK_SECONDS = 0.25
#: Records processed between two turns of the event loop: heartbeats must not starve (session
#: time-out 6 s) even where a record costs milliseconds. A stage whose records cost little may
#: say a `slice` of its own.
SLICE = 100
#: Least seconds between two batches of a stage, of a stage with state, and of a sink, which nobody
#: waits for. Each batch costs a commit, on Kafka with state a transaction for each partition: at
#: 1,000 records a second without a pace there were hundreds a second, and the broker was the
#: busiest process of all. A stage that somebody waits for may say a `pace` of its own.
STAGE_PACE, STATEFUL_PACE, SINK_PACE = 0.03, 0.08, 0.5
#: Wait before trying the log or store again: doubled from the first to the second, seconds.
RETRY_FIRST, RETRY_LAST = 0.1, 5.0


class Sink(Protocol):
    """A stage that ends in something outside the log (the index stage)."""

    @property
    def name(self) -> str: ...

    @property
    def topic(self) -> str: ...

    async def write(self, records: Sequence[Record]) -> Batch:
        """Write records of one partition, in order; idempotent by their ids.

        What the store refuses for good is dead-lettered in the batch's outputs. Raises
        StoreUnavailable: the same records are written again later.
        """
        ...


class _Backoff:
    """Growing waits that end early when the runner is told to stop."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._next = RETRY_FIRST

    def reset(self) -> None:
        self._next = RETRY_FIRST

    async def wait(self) -> None:
        delay, self._next = self._next, min(self._next * 2, RETRY_LAST)
        await _rest(delay, self._stopping)


async def _rest(seconds: float, stopping: asyncio.Event) -> None:
    """Wait that long, or until told to stop; no time at all for what is not positive."""
    if seconds > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stopping.wait()


class Runner(ABC):
    """Keeps one unit of work going on one topic until stopped."""

    stateful = False
    pace = STAGE_PACE

    def __init__(
        self,
        name: str,
        topic: str,
        log: Log,
        *,
        clock: Clock,
        metrics: Metrics,
        batch_size: int = 1000,
    ) -> None:
        self.name = name
        self.topic = topic
        #: Why nothing can be processed just now, or "".
        self.down = ""
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self._batch_size = batch_size
        self._stopping = asyncio.Event()
        self._backoff = _Backoff(self._stopping)

    def stop(self) -> None:
        """Finish the batch under way, leave the group, and let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Process until `stop`; log and store failures are retried for ever, and counted.

        So are those that need a person: meanwhile the other stages go on.
        """
        while not self._stopping.is_set():
            try:
                await self._session()
            except (LogError, StoreError) as error:
                self.down = str(error)
                self._metrics.error(self.name, error.code)
                logger.warning(
                    "%s: %s; nothing is lost, going on from the last completed work",
                    self.name,
                    error,
                )
                await self._backoff.wait()

    async def _session(self) -> None:
        subscription = await self._log.subscribe(self.name, self.topic, stateful=self.stateful)
        try:
            while not self._stopping.is_set():
                polled = await subscription.poll(self._batch_size, TICK_SECONDS)
                began = time.monotonic()
                if polled:
                    await self._work(subscription, polled)
                    self._backoff.reset()
                await self._tick(subscription)
                self.down = ""
                if 0 < sum(map(len, polled.values())) < self._batch_size:
                    # A record alone waits for nothing, a backlog neither.
                    await _rest(began + self.pace - time.monotonic(), self._stopping)
        finally:
            await subscription.close()

    async def _work(
        self, subscription: Subscription, polled: Mapping[TopicPartition, Sequence[Record]]
    ) -> None:
        started = time.perf_counter()
        completions: list[Completion] = []
        booked: list[tuple[int, Batch]] = []
        for at, records in polled.items():
            state = subscription.state(at.partition) if self.stateful else None
            batch = await self._process(records, state)
            completions.append(Completion(at, records[-1].offset + 1, batch.outputs, state))
            booked.append((len(records), batch))
        await subscription.complete(completions)
        seconds = time.perf_counter() - started
        for received, batch in booked:
            self._metrics.batch(self.name, received, batch, seconds)

    @abstractmethod
    async def _process(self, records: Sequence[Record], state: KeyedState | None) -> Batch:
        """Process records of one partition."""

    @abstractmethod
    async def _tick(self, subscription: Subscription) -> None:
        """Write what time alone makes due."""


class StageRunner(Runner):
    """Runs a pure stage."""

    def __init__(
        self,
        stage: Stage,
        log: Log,
        *,
        clock: Clock,
        metrics: Metrics,
        batch_size: int = 1000,
    ) -> None:
        super().__init__(
            stage.name, stage.topic, log, clock=clock, metrics=metrics, batch_size=batch_size
        )
        self.stateful = stage.stateful
        self.pace = getattr(stage, "pace", STATEFUL_PACE if stage.stateful else STAGE_PACE)
        self._stage = stage
        self._next_tick = 0.0

    def use(self, stage: Stage) -> None:
        """Run another stage of the same name from the next slice on, as a restart would."""
        self._stage = stage

    async def _process(self, records: Sequence[Record], state: KeyedState | None) -> Batch:
        total = Batch()
        length = getattr(self._stage, "slice", SLICE)
        for start in range(0, len(records), length):
            part = records[start : start + length]
            _add(total, process_safely(self._stage, part, state, self._clock.now()))
            await asyncio.sleep(0)
        return total

    async def _tick(self, subscription: Subscription) -> None:
        if time.monotonic() < self._next_tick:
            return
        self._next_tick = time.monotonic() + TICK_SECONDS
        completions = []
        for at in sorted(subscription.assignment):
            state = subscription.state(at.partition) if self.stateful else KeyedState()
            if outputs := self._stage.tick(at.partition, state, self._clock.now()):
                completions.append(Completion(at, None, outputs))
        if completions:
            await subscription.complete(completions)


class SinkRunner(Runner):
    """Runs a sink; a store that is away holds the offsets back and nothing else."""

    pace = SINK_PACE

    def __init__(
        self, sink: Sink, log: Log, *, clock: Clock, metrics: Metrics, batch_size: int = 1000
    ) -> None:
        super().__init__(
            sink.name, sink.topic, log, clock=clock, metrics=metrics, batch_size=batch_size
        )
        self._sink = sink

    async def _process(self, records: Sequence[Record], state: KeyedState | None) -> Batch:
        return await self._sink.write(records)

    async def _tick(self, subscription: Subscription) -> None:
        """Time makes nothing due in a sink."""


def process_safely(
    stage: Stage, records: Sequence[Record], state: KeyedState | None, now: int
) -> Batch:
    """Process records so that one that cannot be processed never stops or spoils the others.

    The slice is tried as a whole; if that raises, its changes are taken back and each record is
    processed alone, and the one that raises becomes a dead letter. What is away just now
    (a retriable error) is no record's fault: it is raised, and the work is done again later.
    """
    held = KeyedState() if state is None else state
    held.savepoint()
    try:
        return _bounded(stage.process(records, held, now))
    except Exception as error:
        held.rollback()
        if isinstance(error, TocsinError) and error.retriable:
            raise
        if len(records) > 1:
            logger.info("%s: a slice failed, isolating its record", stage.name)
    total = Batch()
    for record in records:
        held.savepoint()
        try:
            part = _bounded(stage.process([record], held, now))
        except Exception as error:
            held.rollback()
            if isinstance(error, TocsinError) and error.retriable:
                raise
            part = _dead(stage.name, record, error, now)
        _add(total, part)
    return total


def _bounded(batch: Batch) -> Batch:
    """The batch; raises BadInput for an output that no log takes, which would be tried for ever."""
    for output in batch.outputs:
        if len(output.value) > MAX_RECORD:
            raise BadInput(
                "output_too_large",
                f"it leads to a record of {len(output.value)} bytes for {output.topic}; a record "
                f"has at most {MAX_RECORD}",
            )
    return batch


def _dead(stage: str, record: Record, error: Exception, now: int) -> Batch:
    """The record as a dead letter; what Tocsin did not foresee is logged with its trace."""
    if isinstance(error, BadInput):
        code = error.reason_code
    else:
        code = "internal"
        logger.error(
            "%s: %s could not be processed and is dead-lettered", stage, record.position,
            exc_info=error,
        )  # fmt: skip
    reason = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
    batch = Batch(outputs=dead_letters(stage, record, code, reason, now))
    batch.dead[code] = 1
    return batch


def _add(total: Batch, part: Batch) -> None:
    total.outputs.extend(part.outputs)
    total.sent += part.sent
    total.filtered.update(part.filtered)
    total.dead.update(part.dead)
    total.noted.update(part.noted)
