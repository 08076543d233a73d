"""Behaviour on Kafka, its profiles in a Faust table, restarted in the middle: the same findings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from detect.behavior.replaying import run
from dev.servers import kafka
from tests.detect.behavior.events import DAY, HOUR, MONDAY, logon, records
from tests.flow.test_behavior import configured, story
from tests.flow.world import records as read
from tocsin.cli.judging import stood
from tocsin.cli.pipeline import Pipeline
from tocsin.clock import ManualClock
from tocsin.config import LogSettings, load
from tocsin.contracts import Finding, Topics
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tocsin.config import Settings
    from tocsin.contracts import Document

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

END = MONDAY + 13 * DAY
STAGES = ("observe", "behavior")


async def test_the_findings_are_those_of_memory_across_a_restart(tmp_path: Path) -> None:
    events = sorted(story(), key=lambda each: each["@timestamp"])
    events.append(logon(MONDAY + 12 * DAY + 8 * HOUR, "ada"))  # decides all that is before it
    expected = {each.id: each.message for each in run(events)}
    assert "Impossible travel" in " ".join(expected.values())
    with kafka(tmp_path / "kafka") as server:
        log = LogSettings(backend="kafka", bootstrap_servers=server.bootstrap, partitions=1)
        settings = load(configured(tmp_path)).model_copy(update={"log": log})
        half = len(events) // 2
        await _fed(settings, events[:half])
        found = await _fed(settings, events[half:])
        async with Pipeline(settings, stages=STAGES, clock=ManualClock(END)) as pipeline:
            kept = await stood(pipeline.log)
    assert found == expected
    assert kept.unread == []
    assert kept.profiles["user"] == 3
    (travel,) = kept.histories["impossible_travel"]
    assert travel.spent == 1


async def _fed(settings: Settings, events: Sequence[Document]) -> dict[str, str]:
    """What a process of its own finds, with everything that was found before."""
    async with Pipeline(settings, stages=STAGES, clock=ManualClock(END)) as pipeline:
        task = asyncio.create_task(pipeline.run())
        await pipeline.log.append(
            [Outgoing(Topics.EVENTS, r.value, b"one", timestamp=END) for r in records(events)]
        )
        assert await pipeline.settle(90), pipeline.down()
        pipeline.stop()
        await task
        found = [Finding.decode(r.value) for r in await read(pipeline.log, Topics.FINDINGS)]
    return {each.id: each.message for each in found}
