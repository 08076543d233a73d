"""The whole path in one process on the embedded log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.flow.world import Outcome, configure, outcome, story_records
from tests.playbooks.counting_target import CountingTarget, counting_target
from tocsin.cli.pipeline import Pipeline
from tocsin.cli.story import BRUTE_FORCE, NOISE, SCANNER
from tocsin.config import load

if TYPE_CHECKING:
    from pathlib import Path


async def run_once(
    directory: Path,
    target: CountingTarget,
    *,
    batch_size: int = 1000,
    members: int = 1,
    noise: int = NOISE,
) -> tuple[Outcome, Pipeline]:
    """Feed the story and run until nothing is left to do."""
    settings = load(configure(directory, target.url, batch_size=batch_size))
    pipeline = Pipeline(settings, members=members)
    async with pipeline:
        await pipeline.log.append(story_records(noise=noise))
        async with asyncio.TaskGroup() as group:
            group.create_task(pipeline.run())
            assert await pipeline.settle(45), pipeline.down()
            pipeline.stop()
        return await outcome(pipeline.log), pipeline


async def test_the_story_ends_with_attackers_contained(tmp_path: Path) -> None:
    async with counting_target() as target:
        found, _ = await run_once(tmp_path, target)
    names = {orjson.loads(alert)["rule"]["name"] for alert in found.alerts.values()}
    assert {"SSH Brute Force", "SSH Login After Brute Force", "Web Content Scan"} <= names
    assert {a for a, held in target.held.items() if held} == {BRUTE_FORCE, SCANNER}
    assert sorted(p.name for p in (tmp_path / "reports").glob("*.html"))


async def test_every_line_is_accounted_for_at_every_stage(tmp_path: Path) -> None:
    lines = len(story_records())
    async with counting_target() as target:
        found, pipeline = await run_once(tmp_path, target)
    assert len(found.events) + len(found.dead) == lines
    assert pipeline.metrics.account("normalize").received == lines
    for stage, account in pipeline.metrics.accounts.items():
        assert account.balanced, (stage, account)


async def test_an_office_address_is_never_contained(tmp_path: Path) -> None:
    async with counting_target() as target:
        await run_once(tmp_path, target)
    assert not [address for address in target.held if address.startswith("192.0.2.")]


async def _variant(directory: Path, batch_size: int, members: int) -> Outcome:
    async with counting_target() as target:
        found, _ = await run_once(
            directory, target, batch_size=batch_size, members=members, noise=20
        )
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return asyncio.run(_variant(tmp_path_factory.mktemp("reference"), 1000, 1))


@pytest.mark.slow
@pytest.mark.parametrize(("batch_size", "members"), [(1, 1), (7, 3), (1000, 3)])
async def test_batches_and_members_do_not_show_in_the_result(
    batch_size: int, members: int, tmp_path: Path, reference: Outcome
) -> None:
    """Batch sizes 1, 7 and 1,000, one and three members: the same bytes."""
    assert reference.alerts
    assert reference.effects
    assert await _variant(tmp_path, batch_size, members) == reference
