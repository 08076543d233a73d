"""The runners: one bad record stops nothing, a refusing log or store loses nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tocsin.clock import ManualClock
from tocsin.contracts import DeadLetter, Topics
from tocsin.errors import BadInput, LogUnavailable, RecordTooLarge, StoreUnavailable
from tocsin.log.base import MAX_RECORD, Outgoing, Record, Topic, TopicPartition
from tocsin.log.sqlite import SqliteLog
from tocsin.metrics import Metrics
from tocsin.runtime import SLICE, SinkRunner, StageRunner, process_safely
from tocsin.stage import Batch
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tocsin.log.base import Position
    from tocsin.log.sqlite_writer import Part
    from tocsin.runtime import Runner
    from tocsin.state import State

NOW = 1_767_225_600_000
IN, OUT = "in", "out"


class Counting:
    """Counts records by their first word; refuses some on purpose and chokes on others."""

    name, topic, stateful = "counting", IN, True

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        self.sizes.append(len(records))
        batch = Batch()
        for record in records:
            word, _, rest = record.value.decode().partition(" ")
            if word == "skip":
                batch.filtered["skip"] += 1
                continue
            state[word] = state.get(word, 0) + 1
            if word == "bad":
                raise BadInput("bad_word", "this word is bad")
            if word == "defect":
                raise ZeroDivisionError("who would have thought")
            size = int(rest) if word == "large" else 0
            batch.outputs.append(Outgoing(OUT, record.value + bytes(size), timestamp=now))
            batch.sent += 1
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        return [Outgoing(OUT, b"due", timestamp=now)] if state.get("tick") == 1 else []


class Unsteady(SqliteLog):
    """A log that refuses the next `refusals` writes."""

    refusals = 0

    async def write(self, parts: Sequence[Part]) -> list[Position]:
        if self.refusals:
            self.refusals -= 1
            raise LogUnavailable("the disk is full")
        return await super().write(parts)


class Watched(Metrics):
    """Metrics that wake whoever waits for a figure."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Event()

    def batch(self, stage: str, received: int, batch: Batch, seconds: float = 0.0) -> None:
        super().batch(stage, received, batch, seconds)
        self._changed.set()

    def error(self, stage: str, code: str) -> None:
        super().error(stage, code)
        self._changed.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not reached():
                self._changed.clear()
                await self._changed.wait()


@pytest_asyncio.fixture
async def log(tmp_path: Path) -> AsyncIterator[Unsteady]:
    log = Unsteady(tmp_path / "log.sqlite", clock=ManualClock(NOW))
    await log.start()
    await log.create([Topic(name, 2) for name in (IN, OUT, Topics.DEAD_LETTERS)])
    yield log
    await log.close()


async def feed(log: SqliteLog, *values: bytes) -> None:
    """Append, all to one partition: their order counts."""
    await log.append([Outgoing(IN, value, partition=0, timestamp=NOW) for value in values])


async def values(log: SqliteLog, topic: str) -> list[bytes]:
    return [r.value for n in (0, 1) for r in await log.read(TopicPartition(topic, n), 0, 10_000)]


async def work(runner: Runner, metrics: Watched, reached: Callable[[], bool]) -> None:
    """Run until a figure is reached, then stop in good order."""
    async with asyncio.TaskGroup() as group:
        group.create_task(runner.run())
        await metrics.until(reached)
        runner.stop()


def received(metrics: Metrics, name: str, count: int) -> Callable[[], bool]:
    return lambda: metrics.account(name).received >= count


def counting(log: SqliteLog, metrics: Metrics, **options: int) -> tuple[Counting, StageRunner]:
    stage = Counting()
    return stage, StageRunner(stage, log, clock=ManualClock(NOW), metrics=metrics, **options)


async def test_records_become_outputs_state_and_offsets(log: Unsteady) -> None:
    metrics = Watched()
    _, runner = counting(log, metrics)
    await feed(log, b"a", b"b", b"skip", b"a")
    await work(runner, metrics, received(metrics, "counting", 4))
    assert sorted(await values(log, OUT)) == [b"a", b"a", b"b"]
    account = metrics.account("counting")
    assert (account.sent, account.filtered["skip"], account.balanced) == (3, 1, True)
    assert (await log.committed("counting", IN))[TopicPartition(IN, 0)] == 4


async def test_what_was_completed_is_not_done_again_and_state_goes_on(log: Unsteady) -> None:
    for _ in range(2):
        metrics = Watched()
        _, runner = counting(log, metrics)
        await feed(log, b"a")
        await work(runner, metrics, received(metrics, "counting", 1))
    assert await values(log, OUT) == [b"a", b"a"]
    subscription = await log.subscribe("counting", IN, stateful=True)
    await subscription.poll(1, 0.01)
    assert dict(subscription.state(0)) == {"a": 2}


async def test_a_poison_record_is_dead_lettered_and_its_neighbours_are_not(
    log: Unsteady, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Watched()
    _, runner = counting(log, metrics)
    await feed(log, b"a", b"bad x", b"a", b"defect y", b"a")
    await work(runner, metrics, received(metrics, "counting", 5))
    assert await values(log, OUT) == [b"a"] * 3
    letters = [DeadLetter.decode(value) for value in await values(log, Topics.DEAD_LETTERS)]
    found = {(x.code, x.reason, x.original, x.origin) for x in letters}
    assert found == {
        ("bad_word", "this word is bad", b"bad x", "in/0/1"),
        ("internal", "ZeroDivisionError: who would have thought", b"defect y", "in/0/3"),
    }
    assert metrics.account("counting").balanced
    # A defect is told with its trace, bad input is not: it is in the dead letters.
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info is not None for record in told] == [True]
    assert "in/0/3" in told[0].getMessage()


def records(*values: bytes) -> list[Record]:
    return [Record(IN, 0, n, None, value, timestamp=NOW) for n, value in enumerate(values)]


def test_a_poison_records_changes_of_state_are_taken_back() -> None:
    state = KeyedState({"bad": b"7"})
    batch = process_safely(Counting(), records(b"a", b"bad", b"a", b"defect"), state, NOW)
    assert dict(state) == {"bad": 7, "a": 2}
    assert state.changes() == {"a": b"2"}
    assert batch.accounted == 4


def test_an_output_the_log_would_refuse_makes_a_dead_letter_not_an_endless_loop() -> None:
    state = KeyedState()
    values = (b"a", b"large %d" % MAX_RECORD, b"large 10")
    batch = process_safely(Counting(), records(*values), state, NOW)
    letters = [o for o in batch.outputs if o.topic == Topics.DEAD_LETTERS]
    assert [DeadLetter.decode(o.value).code for o in letters] == ["output_too_large"]
    assert [len(o.value) for o in batch.outputs if o.topic == OUT] == [1, len(b"large 10") + 10]
    assert dict(state) == {"a": 1, "large": 1}
    assert batch.accounted == 3


def test_a_stage_without_state_is_isolated_just_so() -> None:
    batch = process_safely(Counting(), records(b"a", b"bad"), None, NOW)
    assert (batch.sent, batch.dead["bad_word"]) == (1, 1)


async def test_a_batch_is_cut_into_slices_so_that_heartbeats_get_their_turn(log: Unsteady) -> None:
    metrics = Watched()
    stage, runner = counting(log, metrics, batch_size=1_000)
    await feed(log, *[b"a"] * (SLICE * 2 + 1))
    await work(runner, metrics, received(metrics, "counting", SLICE * 2 + 1))
    assert max(stage.sizes) == SLICE
    assert sum(stage.sizes) == SLICE * 2 + 1


async def test_a_log_that_refuses_is_tried_again_and_nothing_is_lost_or_done_twice(
    log: Unsteady, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Watched()
    _, runner = counting(log, metrics)
    await feed(log, b"a", b"b")
    log.refusals = 2
    downs: list[str] = []

    def reached() -> bool:
        downs.append(runner.down)
        return metrics.account("counting").received >= 2

    await work(runner, metrics, reached)
    assert sorted(await values(log, OUT)) == [b"a", b"b"]
    account = metrics.account("counting")
    assert (account.received, account.errors["log_unavailable"]) == (2, 2)
    assert account.balanced
    assert "the disk is full" in downs
    assert "counting: the disk is full; nothing is lost" in caplog.text


async def test_good_health_returns_with_the_log(log: Unsteady) -> None:
    metrics = Watched()
    _, runner = counting(log, metrics)
    await feed(log, b"a")
    log.refusals = 1
    await work(runner, metrics, received(metrics, "counting", 1))
    assert runner.down == ""


async def test_stopping_does_not_wait_for_a_log_that_stays_away(
    log: Unsteady, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.runtime.RETRY_FIRST", 3_600.0)
    metrics = Watched()
    _, runner = counting(log, metrics)
    await feed(log, b"a")
    log.refusals = 1_000
    async with asyncio.timeout(20):
        await work(runner, metrics, lambda: metrics.account("counting").errors.total() > 0)
    assert await values(log, OUT) == []


async def test_time_alone_makes_outputs_and_moves_no_offset(log: Unsteady) -> None:
    metrics = Watched()
    _, runner = counting(log, metrics)
    await feed(log, b"tick")
    end = asyncio.Event()
    append = log.write

    async def noticed(parts: Sequence[Part]) -> list[Position]:
        positions = await append(parts)
        if any(outgoing.value == b"due" for part in parts for outgoing in part.records):
            end.set()
        return positions

    log.write = noticed  # type: ignore[method-assign]  # the group calls it by this name
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(runner.run())
        await end.wait()
        runner.stop()
    assert (await values(log, OUT)).count(b"tick") == 1
    assert (await log.committed("counting", IN))[TopicPartition(IN, 0)] == 1
    assert metrics.account("counting").received == 1


class Shelf:
    """A sink that is away for a while and refuses some for good."""

    name, topic = "shelf", IN

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.written: list[bytes] = []

    async def write(self, records: Sequence[Record]) -> Batch:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("the store does not answer")
        self.written += [record.value for record in records]
        return Batch(sent=len(records))


async def test_a_store_that_is_away_holds_the_offsets_and_gets_everything_later(
    log: Unsteady,
) -> None:
    metrics, sink = Watched(), Shelf(away=2)
    runner = SinkRunner(sink, log, clock=ManualClock(NOW), metrics=metrics)
    await feed(log, b"a", b"b")
    seen: list[int] = []

    def reached() -> bool:
        seen.append(metrics.account("shelf").received)
        return metrics.account("shelf").received == 2

    await work(runner, metrics, reached)
    assert sink.written == [b"a", b"b"]
    assert metrics.account("shelf").errors["store_unavailable"] == 2
    assert 0 in seen
    assert (await log.committed("shelf", IN))[TopicPartition(IN, 0)] == 2


async def test_while_the_store_is_away_no_offset_moves(log: Unsteady) -> None:
    metrics, sink = Watched(), Shelf(away=1_000)
    runner = SinkRunner(sink, log, clock=ManualClock(NOW), metrics=metrics)
    await feed(log, b"a")
    await work(runner, metrics, lambda: metrics.account("shelf").errors.total() >= 1)
    assert (await log.committed("shelf", IN))[TopicPartition(IN, 0)] == 0
    assert runner.down == "the store does not answer"


async def test_a_defect_of_a_sink_is_not_swallowed(log: Unsteady) -> None:
    class Broken(Shelf):
        async def write(self, records: Sequence[Record]) -> Batch:
            raise RuntimeError("a defect")

    await feed(log, b"a")
    runner = SinkRunner(Broken(), log, clock=ManualClock(NOW), metrics=Metrics())
    with pytest.raises(RuntimeError, match="a defect"):
        await runner.run()


def test_a_record_too_large_is_an_error_that_no_retry_helps() -> None:
    assert not RecordTooLarge.retriable
    assert LogUnavailable.retriable
