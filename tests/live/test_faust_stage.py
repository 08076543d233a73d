"""Faust beside everything else of a worker: no open ports, several stages in one process."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.contracts.log.kafka_harness import shared_broker
from tests.live.counting import THRESHOLD, CountingStage, settings
from tocsin.clock import SystemClock
from tocsin.errors import LogUnavailable
from tocsin.log import faust_group
from tocsin.log.base import Outgoing, Topic
from tocsin.log.faust_group import FaustSubscription
from tocsin.log.faust_tables import FaustLog, FaustStage
from tocsin.log.kafka import KafkaLog
from tocsin.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.log.base import Record, Subscription

pytestmark = [pytest.mark.live, pytest.mark.timeout(200)]

LISTENING = "0A"
PATIENCE = 60.0


class Second(CountingStage):
    """Another group on what the first one sends."""

    name = "second"
    topic = "out"


def listening() -> Iterator[str]:
    """Local addresses that this process listens on, as /proc shows them (hexadecimal)."""
    sockets = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            sockets.add(os.readlink(entry))
        except OSError:
            continue  # the listing's own descriptor is closed by now
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in sockets:
                yield fields[1]


async def test_stages_share_a_process_and_open_no_port(tmp_path: Path) -> None:
    log_settings = settings(shared_broker().bootstrap, f"{uuid4().hex[:8]}.")
    log = KafkaLog(log_settings, client_id="test")
    await log.start()
    await log.create([Topic(name) for name in ("in", "out", "dead-letters")])
    metrics = Metrics()
    stages = [
        FaustStage(stage, log_settings, clock=SystemClock(), metrics=metrics, data_dir=tmp_path)
        for stage in (CountingStage(), Second())
    ]
    running = [asyncio.create_task(stage.run()) for stage in stages]
    try:
        await log.append(
            [
                Outgoing("in", b"id-%d" % n, key=b"k%d" % key)
                for n in range(THRESHOLD)
                for key in range(40)
            ]
        )
        async with asyncio.timeout(PATIENCE):
            while True:
                if metrics.account("second").received >= 40:
                    break
                await asyncio.sleep(0.2)  # accounts tell nobody that they grew
        assert list(listening()) == []
    finally:
        for stage in stages:
            stage.stop()
        await asyncio.gather(*running)
        await log.close()
    assert metrics.account("count").received == THRESHOLD * 40
    assert metrics.account("second").received == 40
    assert metrics.account("count").balanced


async def first(subscription: Subscription) -> list[Record]:
    """The first records that come."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if polled := await subscription.poll(10, 0.5):
                return [record for records in polled.values() for record in records]


async def test_a_recovery_that_never_ends_ends_the_subscription(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Faust that waits for ever must not look like a topic without records."""

    async def lost(self: FaustSubscription) -> None:
        """What Faust would say is lost on the way."""

    monkeypatch.setattr(faust_group, "RECOVERY_PATIENCE", 2.0)
    monkeypatch.setattr(FaustSubscription, "_recovered", lost)
    log_settings = settings(shared_broker().bootstrap, f"{uuid4().hex[:8]}.")
    log = FaustLog(log_settings, client_id="test", data_dir=tmp_path)
    await log.start()
    try:
        await log.create([Topic("in")])
        await log.append([Outgoing("in", b"id", key=b"k")])
        subscription = await log.subscribe("stuck", "in", stateful=True)
        with pytest.raises(LogUnavailable, match="has not taken over its partitions"):
            await first(subscription)
        monkeypatch.undo()
        await subscription.close()
        subscription = await log.subscribe("stuck", "in", stateful=True)
        assert [record.value for record in await first(subscription)] == [b"id"]
    finally:
        await log.close()


async def members(bootstrap: str, group: str) -> int:
    """How many members Kafka counts in a group."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        [response] = await admin.describe_consumer_groups([group])
    finally:
        await admin.close()
    [described] = response.to_object()["groups"]
    return len(described["members"])


async def test_an_app_given_up_without_a_broker_does_not_come_back(tmp_path: Path) -> None:
    """It would hold partitions that nobody works on, and fence whoever has the others."""
    broker, partitions = shared_broker(), 4
    log_settings = settings(broker.bootstrap, f"{uuid4().hex[:8]}.")
    log = FaustLog(log_settings, client_id="test", data_dir=tmp_path, patience=3.0)
    await log.start()
    try:
        await log.create([Topic("in", partitions)])
        await log.append([Outgoing("in", b"id", key=b"k")])
        subscription = await log.subscribe("given-up", "in", stateful=True)
        assert [record.value for record in await first(subscription)] == [b"id"]
        broker.pause()
        try:
            await subscription.close()
        finally:
            broker.resume()
        subscription = await log.subscribe("given-up", "in", stateful=True)
        async with asyncio.timeout(PATIENCE):
            while len(subscription.assignment) < partitions:
                await subscription.poll(10, 0.5)
        assert await members(broker.bootstrap, log.connection.outer("given-up")) == 1
    finally:
        await log.close()
