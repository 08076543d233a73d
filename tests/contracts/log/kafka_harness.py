"""Kafka in the contract suite: librdkafka's mock cluster by default, a real broker live."""

from __future__ import annotations

import atexit
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from dev.servers import KafkaServer
from tests.contracts.log.harness import Backend
from tocsin.config import LogSettings
from tocsin.log.faust_tables import FaustLog
from tocsin.log.kafka import KafkaLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from tocsin.log.base import Log, Topic

#: Shorter than a session, so that members keep their partitions while the broker is away.
PATIENCE = 3.0


class MockKafkaLog(KafkaLog):
    """On the mock cluster, which knows no CreateTopics: asking for a topic makes it."""

    async def create(self, topics: Sequence[Topic]) -> None:
        names = [self.connection.outer(topic.name) for topic in topics]
        await self._client().describe_topics(names)
        await super().create(topics)


class KafkaHarness:
    """One broker; a prefix of its own keeps tests apart."""

    partitions = 4
    patience = 40.0
    exclusive = False

    def __init__(
        self, kind: str, bootstrap: str, directory: Path, server: KafkaServer | None = None
    ) -> None:
        self._server = server
        self._spec = {
            "opener": f"{__name__}:open_log",
            "kind": kind,
            "bootstrap": bootstrap,
            "prefix": f"{uuid4().hex[:8]}.",
            "directory": str(directory),
        }

    async def open(self) -> KafkaLog:
        return await open_log(self._spec)

    def spec(self) -> dict[str, Any]:
        return self._spec

    def away(self, log: Log) -> AbstractAsyncContextManager[None]:
        assert self._server is not None, "the mock cluster cannot be stopped"
        return frozen(self._server)


@asynccontextmanager
async def frozen(server: KafkaServer) -> AsyncIterator[None]:
    """Inside, the broker answers nothing (SIGSTOP) and its connections stay open."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


async def open_log(spec: dict[str, Any]) -> KafkaLog:
    """The log of a harness's spec, started."""
    settings = LogSettings(
        backend="kafka",
        bootstrap_servers=spec["bootstrap"],
        prefix=spec["prefix"],
        table_replicas=0,
    )
    log: KafkaLog
    match spec["kind"]:
        case "mock":
            log = MockKafkaLog(settings, client_id="contract", patience=PATIENCE)
        case "faust":
            directory = Path(mkdtemp(dir=spec["directory"]))
            log = FaustLog(settings, client_id="contract", data_dir=directory, patience=PATIENCE)
        case _:
            log = KafkaLog(settings, client_id="contract", patience=PATIENCE)
    await log.start()
    return log


@cache
def shared_broker() -> KafkaServer:
    """One broker for all live tests of a run; it takes longer to start than most of them."""
    directory = Path(mkdtemp(prefix="tocsin-kafka-"))
    server = KafkaServer(directory)
    server.start()
    atexit.register(rmtree, directory)
    atexit.register(server.stop)
    return server


@asynccontextmanager
async def _harness(kind: str, directory: Path) -> AsyncIterator[KafkaHarness]:
    if kind == "mock":
        cluster = Producer({"test.mock.num.brokers": 1})  # lives as long as this producer
        [broker] = cluster.list_topics(timeout=10).brokers.values()
        yield KafkaHarness(kind, f"{broker.host}:{broker.port}", directory)
    else:
        server = shared_broker()
        yield KafkaHarness(kind, server.bootstrap, directory, server)


NO_STOP = "the mock cluster cannot be stopped and started again"
NO_CHECKSUM = "the mock cluster ends transactions with a mark whose checksum is wrong"
NO_REBALANCE = "the mock coordinator answers the SyncGroup of a second member with an error"

MOCK_LACKS = {
    "test_creating_an_existing_topic_leaves_it_as_it_is": "each mock topic has four partitions",
    "test_away_and_back": NO_STOP,
    "test_a_completion_fails_whole_and_can_be_repeated": NO_STOP,
    "test_state_survives_and_belongs_to_its_partition": NO_CHECKSUM,
    "test_state_changed_while_a_completion_is_written_is_kept": NO_CHECKSUM,
    "test_state_outputs_and_offset_agree_after_kill_9_at_any_point": NO_CHECKSUM,
    "test_an_oversized_output_fails_the_completion": NO_CHECKSUM,
    "test_a_group_shares_partitions_and_revokes_before_it_assigns": NO_REBALANCE,
    "test_a_member_takes_over_what_another_left_undone": NO_REBALANCE,
    "test_completing_a_lost_partition_is_fenced_and_changes_nothing": NO_REBALANCE,
    "test_state_moves_with_its_partition": NO_REBALANCE,
}

LIVE = (pytest.mark.live, pytest.mark.timeout(300))

BACKENDS = (
    # Slow, because the mock coordinator waits three seconds for a first member.
    Backend(
        "kafka-mock",
        partial(_harness, "mock"),
        marks=(pytest.mark.slow,),
        unsupported=MOCK_LACKS,
    ),
    Backend("kafka", partial(_harness, "kafka"), marks=LIVE),
    Backend("faust", partial(_harness, "faust"), marks=LIVE),
)
