"""kill -9 at random moments: the outcome is that of an undisturbed run.

TOCSIN_CRASH_RUNS sets how many disturbed runs there are (the full matrix has 30); each has its
number as seed, so a failing one can be run again alone.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.crashing import RUNS, feed, kill, read_outcome, worker
from tests.flow.world import Outcome, configure, story_records
from tests.playbooks.counting_target import CountingTarget, counting_target

if TYPE_CHECKING:
    from pathlib import Path

NOISE = 20
#: Seconds; ten times what a run takes, because a busy machine is no fault.
UNTIL_IDLE = ("--until-idle", "120")


def held(target: CountingTarget) -> set[str]:
    return {address for address, count in target.held.items() if count}


async def undisturbed(directory: Path) -> tuple[Outcome, set[str], float]:
    """The reference, and how long it took, seconds."""
    async with counting_target() as target:
        config = configure(directory, target.url)
        await feed(config, story_records(noise=NOISE))
        started = time.monotonic()
        process = await worker(config, *UNTIL_IDLE)
        assert await process.wait() == 0
        return await read_outcome(config), held(target), time.monotonic() - started


@pytest.fixture(scope="module")
def reference(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Outcome, set[str], float]:
    return asyncio.run(undisturbed(tmp_path_factory.mktemp("reference")))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(RUNS))
async def test_kill_9_embedded(
    seed: int, tmp_path: Path, reference: tuple[Outcome, set[str], float]
) -> None:
    expected, blocked, duration = reference
    rng = random.Random(seed)  # noqa: S311  (a seed, not a secret)
    async with counting_target() as target:
        config = configure(tmp_path, target.url)
        await feed(config, story_records(noise=NOISE))
        for _ in range(rng.randint(1, 4)):
            process = await worker(config, *UNTIL_IDLE)
            await asyncio.wait(
                {asyncio.create_task(process.wait())}, timeout=rng.uniform(0.2, 1.0) * duration
            )
            await kill(process)
        process = await worker(config, *UNTIL_IDLE)
        assert await process.wait() == 0
        found = await read_outcome(config)
    assert found.alerts == expected.alerts
    assert found.effects == expected.effects
    assert found == expected
    assert held(target) == blocked
    assert max(target.held.values()) == 1, "an effect happened twice"
