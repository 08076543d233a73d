"""kill -9 of random stages at random moments, on real Kafka: the outcome is an undisturbed run's.

Behaviour is on, with what it has learned of earlier days in Faust tables. Of alerts about the risk
of an entity identities are compared, of all others every byte. TOCSIN_CRASH_RUNS sets how many
disturbed runs there are (the full matrix has 30).
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from dev.servers import kafka
from tests.faults.behaving import PARTITIONS, SECTIONS, TOLD, parts
from tests.faults.crashing import (
    RUNS,
    exact,
    feed,
    kill,
    of_risk,
    read_outcome,
    rules_of,
    worker,
)
from tests.flow.world import Outcome, configure
from tests.live.processes import BEHAVING, PROCESSES, workers
from tests.playbooks.counting_target import CountingTarget, counting_target
from tocsin.cli.settling import settled
from tocsin.cli.topics import build_log
from tocsin.clock import SystemClock
from tocsin.config import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from dev.servers import KafkaServer
    from tocsin.log.base import Outgoing

pytestmark = pytest.mark.live

NOISE = 20

#: The groups of each process; any of them is killed.
OF_PROCESS = {
    "normalize,match,observe": ("normalize", "match", "observe", "risk"),
    "correlate,alert,behavior": ("correlate", "alert", "behavior"),
    "decide,act": ("trigger", "decide", "act"),
    "index": ("index-events", "index-dead-letters"),
}

#: Longer than a recovered table needs until its first tick.
QUIET_SECONDS = 5.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


class Membership:
    """Who is a member of the groups: a killed member stays one until its session times out."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._prefix = prefix
        self._dead: set[str] = set()

    def _members(self, groups: Iterable[str]) -> Iterator[tuple[str, set[str], int]]:
        """Per group: its state, the ids of its members, how many partitions they own."""
        for group in groups:
            found = self._described(f"{self._prefix}.{group}")
            ids = {member.member_id for member in found.members}
            owned = sum(len(member.assignment.topic_partitions) for member in found.members)
            yield found.state.name, ids, owned

    def _described(self, group: str) -> Any:
        """A broker that has just started does not know its groups yet."""
        deadline = time.monotonic() + 30
        while True:
            try:
                asked = self._admin.describe_consumer_groups([group])
                return asked[group].result(timeout=10)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise

    def bury(self, stages: str) -> None:
        """All members of the groups of a process that was just killed are dead."""
        for _, ids, _ in self._members(OF_PROCESS[stages]):
            self._dead |= ids

    def wait_until_taken_over(self) -> None:
        """Until the living own all partitions of all groups."""
        deadline = time.monotonic() + 90
        while waiting := [
            group
            for group, (state, ids, owned) in zip(BEHAVING, self._members(BEHAVING), strict=True)
            if state != "STABLE" or ids & self._dead or owned < PARTITIONS
        ]:
            assert time.monotonic() < deadline, f"not whole again: {waiting}"
            time.sleep(0.5)


async def play(
    directory: Path, broker: KafkaServer, name: str, rng: random.Random | None
) -> tuple[Outcome, CountingTarget]:
    """Run the story once; `rng` decides who is killed and when, None disturbs nothing."""
    async with counting_target() as target:
        config = configure(
            directory,
            target.url,
            log={
                "backend": "kafka",
                "bootstrap_servers": broker.bootstrap,
                "prefix": f"{name}.",
                "table_replicas": 0,
            },
            **SECTIONS,
        )
        async with workers(config) as running:
            membership = Membership(broker.bootstrap, name)
            story = [(part, asyncio.Event()) for part in parts(noise=NOISE)]
            async with asyncio.TaskGroup() as group:
                group.create_task(_told(config, story))
                if rng is not None:
                    begun = [begins for _, begins in story]
                    group.create_task(_disturbed(config, running, membership, rng, begun))
            await asyncio.to_thread(membership.wait_until_taken_over)
            await _finished(config, QUIET_SECONDS)
        return await read_outcome(config), target


async def _told(config: Path, story: Sequence[tuple[Sequence[Outgoing], asyncio.Event]]) -> None:
    """The parts of the story, each when the one before has been processed."""
    for part, begins in story:
        await feed(config, part)
        begins.set()
        await _finished(config)


async def _disturbed(
    config: Path,
    running: dict[str, asyncio.subprocess.Process],
    membership: Membership,
    rng: random.Random,
    begun: Sequence[asyncio.Event],
) -> None:
    """Somebody is killed soon after a part was fed, and somebody else takes the place."""
    for part in sorted(rng.randrange(len(begun)) for _ in range(rng.randint(1, 3))):
        await begun[part].wait()
        victim = rng.choice(PROCESSES)
        ended = asyncio.create_task(running[victim].wait())
        # With the first part the processes are still starting.
        await asyncio.wait({ended}, timeout=rng.uniform(0.0, 5.0 if part else 12.0))
        await kill(running[victim])
        await asyncio.to_thread(membership.bury, victim)
        running[victim] = await worker(config, "--stages", victim)


async def _finished(config: Path, quiet: float = 0.0) -> None:
    """What was fed is processed; all that follows of it too, if nothing moves for `quiet` s."""
    log = build_log(load(config), SystemClock())
    await log.start()
    try:
        assert await settled(log, BEHAVING, 180, quiet=quiet)
    finally:
        await log.close()


@pytest.fixture(scope="module")
def reference(
    tmp_path_factory: pytest.TempPathFactory, broker: KafkaServer
) -> tuple[Outcome, CountingTarget]:
    return asyncio.run(play(tmp_path_factory.mktemp("reference"), broker, "reference", None))


@pytest.mark.parametrize("seed", range(RUNS))
async def test_kill_9_on_kafka(
    seed: int, tmp_path: Path, broker: KafkaServer, reference: tuple[Outcome, CountingTarget]
) -> None:
    expected, undisturbed = reference
    rng = random.Random(1000 + seed)  # noqa: S311  (a seed, not a secret)
    found, target = await play(tmp_path, broker, f"seed{seed}", rng)
    assert rules_of(expected) >= TOLD, "behaviour did not tell of the strange day"
    assert undisturbed.held
    assert exact(found) == exact(expected)
    assert of_risk(found) == of_risk(expected)
    assert found.effects == expected.effects
    assert (found.events, found.dead) == (expected.events, expected.dead)
    assert {a for a, n in target.held.items() if n} == {a for a, n in undisturbed.held.items() if n}
    assert max(target.held.values()) == 1, "an effect happened twice"
