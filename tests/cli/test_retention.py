"""The embedded log forgets what is old, and never what somebody has still to read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tocsin.cli.pipeline import Pipeline
from tocsin.cli.retention import Retention
from tocsin.clock import ManualClock
from tocsin.config import Settings
from tocsin.contracts import Topics
from tocsin.errors import LogUnavailable
from tocsin.log.base import Completion, Outgoing, Topic, TopicPartition
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOW, HOUR = 1_767_225_600_000, 3_600_000
AT = TopicPartition("t", 0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest_asyncio.fixture
async def log(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteLog]:
    """Four old records; group `one` has read three of them, group `two` one."""
    log = SqliteLog(tmp_path / "log.sqlite", clock=clock)
    await log.start()
    await log.create([Topic("t", 1, retention=HOUR)])
    for _ in range(4):
        await log.append([Outgoing("t", b"v")])
    for group, done in (("one", 3), ("two", 1)):
        subscription = await log.subscribe(group, "t")
        await subscription.poll(9, 20.0)
        await subscription.complete([Completion(AT, done)])
        await subscription.close()
    clock.advance(2 * HOUR)
    yield log
    await log.close()


@pytest.mark.parametrize(
    ("groups", "gone"),
    [({"one": "t"}, 3), ({"one": "t", "two": "t"}, 1), ({"one": "t", "new": "t"}, 0), ({}, 4)],
)
async def test_what_a_group_has_not_read_stays(
    log: SqliteLog, clock: ManualClock, groups: dict[str, str], gone: int
) -> None:
    assert await Retention(log, groups, clock).prune() == gone
    assert len(await log.read(AT, 0, 9)) == 4 - gone


async def test_it_prunes_at_its_start_goes_on_after_a_failure_and_stops_at_once(
    log: SqliteLog, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    pruned = asyncio.Event()

    class Failing(Retention):
        failures = 1

        async def prune(self) -> int:
            if self.failures:
                self.failures -= 1
                raise LogUnavailable("the disk is full")
            count = await super().prune()
            pruned.set()
            return count

    retention = Failing(log, {"one": "t"}, clock, interval=0.01)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(retention.run())
        await pruned.wait()
        retention.stop()
    assert "retention: the disk is full" in caplog.text
    assert len(await log.read(AT, 0, 9)) == 1
    idle = Retention(log, {}, clock, interval=3_600.0)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(idle.run())
        idle.stop()


async def test_the_pipeline_prunes_its_log_for_all_its_groups(tmp_path: Path) -> None:
    pipeline = Pipeline(Settings(data_dir=tmp_path), clock=ManualClock(NOW))
    async with pipeline:
        (retention,) = [w for w in pipeline.workers if isinstance(w, Retention)]
        assert retention._groups["normalize"] == Topics.RAW
        assert retention._groups["act"] == Topics.EFFECTS
        assert retention._groups["index-events"] == Topics.EVENTS
