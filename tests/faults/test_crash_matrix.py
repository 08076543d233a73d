"""kill -9 of the whole pipeline at random moments: the outcome is that of an undisturbed run.

Behaviour is on, with what it has learned in earlier days. TOCSIN_CRASH_RUNS sets how many disturbed
runs there are (the full matrix has 30); each has its number as seed, so a failing one can be run
again alone.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.faults.behaving import SECTIONS, TOLD, parts
from tests.faults.crashing import RUNS, at_work, feed, kill, read_outcome, rules_of, told, worker
from tests.faults.running import running
from tests.flow.world import Outcome, configure
from tests.playbooks.counting_target import CountingTarget, counting_target
from tocsin.cli.settling import QUIET_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

NOISE = 20
#: Seconds; ten times what a part takes, because a busy machine is no fault.
PATIENCE = 120


class Reference(NamedTuple):
    """What came of an undisturbed run, how long each part took (s), and what the first left."""

    outcome: Outcome
    held: set[str]
    durations: tuple[float, ...]
    learned: Path


def held(target: CountingTarget) -> set[str]:
    return {address for address, count in target.held.items() if count}


async def undisturbed(directory: Path) -> Reference:
    durations = []
    async with counting_target() as target:
        config = configure(directory, target.url, **SECTIONS)
        for part in parts(noise=NOISE):
            started = time.monotonic()
            await feed(config, part)
            await to_the_end(config)
            durations.append(time.monotonic() - started - QUIET_SECONDS)
            if len(durations) == 1:
                shutil.copytree(directory / "data", directory / "learned")
        found = await read_outcome(config)
        return Reference(found, held(target), tuple(durations), directory / "learned")


async def to_the_end(config: Path) -> None:
    """A pipeline of this process does what is left to be done."""
    async with running(config) as pipeline:
        assert await pipeline.settle(PATIENCE), pipeline.down()


async def killed_at_work(config: Path, seconds: float) -> None:
    """A process of its own begins to work, and is gone so much later."""
    process = await worker(config)
    await at_work(config, process)
    await asyncio.wait({asyncio.create_task(process.wait())}, timeout=seconds)
    await kill(process)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    found = asyncio.run(undisturbed(tmp_path_factory.mktemp("reference")))
    assert rules_of(found.outcome) >= TOLD, "behaviour did not tell of the strange day"
    return found


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(RUNS))
async def test_kill_9_embedded(seed: int, tmp_path: Path, reference: Reference) -> None:
    rng = random.Random(seed)  # noqa: S311  (a seed, not a secret)
    killed = [rng.randrange(len(reference.durations)) for _ in range(rng.randint(1, 4))]
    async with counting_target() as target:
        config = configure(tmp_path, target.url, **SECTIONS)
        for number, part in enumerate(parts(noise=NOISE)):
            if not number and number not in killed:
                shutil.copytree(reference.learned, tmp_path / "data")
                continue
            await feed(config, part)
            for _ in range(killed.count(number)):
                await killed_at_work(config, rng.uniform(0.0, reference.durations[number]))
            await to_the_end(config)
        found = await read_outcome(config)
    assert told(found) == told(reference.outcome)
    assert found.alerts == reference.outcome.alerts
    assert found.effects == reference.outcome.effects
    assert found == reference.outcome
    assert held(target) == reference.held
    assert max(target.held.values()) == 1, "an effect happened twice"
