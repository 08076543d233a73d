"""Bad days with real servers: Elasticsearch away for a whole run, Kafka away in the middle of one.

TOCSIN_AWAY_SECONDS sets for how long Kafka is away (60 by default).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import pytest

from dev.process import free_port
from dev.servers import elasticsearch, kafka
from tests.faults.crashing import feed, read_outcome
from tests.faults.running import running, settled_without_store, unbalanced, until
from tests.flow.world import Outcome, configure, outcome, records, story_records
from tests.live.processes import GROUPS, workers
from tests.playbooks.counting_target import CountingTarget, counting_target
from tocsin.cli.settling import settled
from tocsin.cli.topics import build_log
from tocsin.clock import SystemClock
from tocsin.config import load
from tocsin.contracts import Topics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from dev.servers import KafkaServer
    from tocsin.cli.pipeline import Pipeline
    from tocsin.log.base import Log, Outgoing

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

NOISE = 20
AWAY_SECONDS = float(os.environ.get("TOCSIN_AWAY_SECONDS", "60"))


def story() -> list[Outgoing]:
    return story_records(noise=NOISE)


def held(target: CountingTarget) -> set[str]:
    return {address for address, count in target.held.items() if count}


# Elasticsearch


async def test_elasticsearch_comes_up_after_the_run(tmp_path: Path) -> None:
    """Detection and containment went on without it; when it is there it gets everything, once."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    store = {"backend": "elasticsearch", "url": url}
    async with counting_target() as target:
        config = configure(tmp_path / "tocsin", target.url, store=store)
        async with running(config) as pipeline:
            await pipeline.log.append(story())
            assert await settled_without_store(pipeline, 60), pipeline.down()
            before = await outcome(pipeline.log)
            assert held(target)
            assert pipeline.down()
            assert all(each.startswith("index-") and url in each for each in pipeline.down())
            # The main thread starts it, or it would end with the thread; nothing else happens now.
            with elasticsearch(tmp_path / "elasticsearch", port):
                assert await pipeline.settle(120), pipeline.down()
                assert pipeline.down() == []
                await assert_all_stored(pipeline, before)
                assert await outcome(pipeline.log) == before, "something was done again"
    assert len(before.events) + len(before.dead) == len(story())
    assert not unbalanced(pipeline)
    indexed = pipeline.metrics.account("index-events")
    assert indexed.sent == len(before.events)
    assert indexed.errors["store_unavailable"], "the store was there all the time"


async def assert_all_stored(pipeline: Pipeline, expected: Outcome) -> None:
    """Every event, alert, dead letter, run event and audit entry of the log is a document."""
    store = pipeline.store
    wanted = {
        "events": len(expected.events),
        "alerts": len(expected.alerts),
        "dead_letters": len(expected.dead),
        "runs": len(
            {orjson.loads(r.value)["id"] for r in await records(pipeline.log, Topics.RUNS)}
        ),
        "audit": len(await records(pipeline.log, Topics.AUDIT)),
    }

    async def there() -> bool:
        # What was written is searchable after the next refresh, a second later.
        return {kind: await store.count(kind) for kind in wanted} == wanted

    await until(f"all documents to be found: {wanted}", there, 30)


# Kafka

#: Longer than a rebalance after the broker's return (session time-out 6 s): nothing moves then.
QUIET_SECONDS = 12.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@asynccontextmanager
async def opened(config: Path) -> AsyncIterator[Log]:
    log = build_log(load(config), SystemClock())
    await log.start()
    try:
        yield log
    finally:
        await log.close()


def on_kafka(directory: Path, target: CountingTarget, broker: KafkaServer, name: str) -> Path:
    log = {
        "backend": "kafka",
        "bootstrap_servers": broker.bootstrap,
        "prefix": f"{name}.",
        "table_replicas": 0,
    }
    return configure(directory, target.url, log=log, batch_size=50)


async def take_away(broker: KafkaServer, how: str) -> None:
    """The broker is away for AWAY_SECONDS, and is back when this returns."""
    began = time.monotonic()
    if how == "frozen":
        broker.pause()
    else:
        broker.kill()
    await asyncio.sleep(AWAY_SECONDS)  # this is the outage itself, nothing is waited for
    if how == "frozen":
        broker.resume()
    else:
        broker.start()
    assert time.monotonic() - began >= AWAY_SECONDS


async def finish(config: Path) -> Outcome:
    async with opened(config) as log:
        if not await settled(log, GROUPS, 180, quiet=QUIET_SECONDS):
            pytest.fail(f"not settled, behind by {await behind(log)}\n{words(config)}")
    return await read_outcome(config)


async def behind(log: Log) -> dict[str, dict[int, int]]:
    """How many offsets each group has not committed, by partition; none if all is done."""
    lags = {}
    for group, topic in GROUPS.items():
        end, done = await log.end_offsets(topic), await log.committed(group, topic)
        lag = {at.partition: end[at] - done[at] for at in end if done[at] < end[at]}
        if lag:
            lags[group] = lag
    return lags


def words(config: Path) -> str:
    """What all workers said."""
    logs = sorted(config.parent.glob("worker-*.log"))
    return "\n".join(f"== {log.name}\n{log.read_text('utf-8')[-6000:]}" for log in logs)


async def calm_day(directory: Path, broker: KafkaServer) -> tuple[Outcome, set[str]]:
    async with counting_target() as target:
        config = on_kafka(directory, target, broker, "calm")
        await feed(config, story())
        async with workers(config):
            return await finish(config), held(target)


@pytest.fixture(scope="module")
def good_day(
    tmp_path_factory: pytest.TempPathFactory, broker: KafkaServer
) -> tuple[Outcome, set[str]]:
    found, blocked = asyncio.run(calm_day(tmp_path_factory.mktemp("calm"), broker))
    assert found.alerts
    assert blocked
    assert len(found.events) + len(found.dead) == len(story())
    return found, blocked


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_kafka_away_for_a_minute(
    how: str, tmp_path: Path, broker: KafkaServer, good_day: tuple[Outcome, set[str]]
) -> None:
    """The workers stay up, say what is wrong, and finish when it is back."""
    async with counting_target() as target:
        config = on_kafka(tmp_path, target, broker, how)
        await feed(config, story())
        async with workers(config) as running:
            processes = list(running.values())
            await begun(config, processes)
            await until("all workers are connected", lambda: connected(config), 90)
            await take_away(broker, how)
            assert [process.returncode for process in processes] == [None] * 4, words(config)
            found = await finish(config)
            assert [process.returncode for process in processes] == [None] * 4, words(config)
        said = words(config)
    assert (found, held(target)) == good_day
    assert Counter(target.held.values()) == Counter({1: len(target.held)}), (
        "an effect happened twice"
    )
    assert len(found.events) + len(found.dead) == len(story())
    assert f"{broker.port}" in said, "nobody said that the broker is away"
    assert "nothing is lost" in said


async def connected(config: Path) -> bool:
    """Whether every worker has said what it runs, which it does once it is connected."""
    logs = config.parent.glob("worker-*.log")
    return sum(" on kafka; " in log.read_text("utf-8") for log in logs) == 4


async def begun(config: Path, processes: list[asyncio.subprocess.Process]) -> None:
    """Return when there are events, and not everything is done."""
    async with opened(config) as log:

        async def some() -> bool:
            assert [process.returncode for process in processes] == [None] * 4, words(config)
            return any((await log.end_offsets(Topics.EVENTS)).values())

        await until("the first events", some, 60)
        alerts = await log.end_offsets(Topics.ALERTS)
        raw = sum((await log.end_offsets(Topics.RAW)).values())
        assert raw == len(story())
        assert not any(alerts.values()), "all was over before the broker went away"
