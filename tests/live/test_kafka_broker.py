"""The broker is killed and started again under a working log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from dev.servers import kafka
from tocsin.config import LogSettings
from tocsin.errors import LogUnavailable
from tocsin.log.base import Completion, Outgoing, Topic
from tocsin.log.kafka import KafkaLog

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.log.base import Subscription

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]

PATIENCE = 60.0


async def drain(member: Subscription, count: int) -> list[bytes]:
    """The next `count` values, completed; asks again while the broker is away."""
    values: list[bytes] = []
    async with asyncio.timeout(PATIENCE):
        while len(values) < count:
            try:
                polled = await member.poll(100, 0.5)
            except LogUnavailable:
                continue
            await member.complete(
                [Completion(at, records[-1].offset + 1) for at, records in polled.items()]
            )
            values += [record.value for records in polled.values() for record in records]
    return values


async def poll_for_ever(member: Subscription) -> None:
    """Poll, and get nothing."""
    async with asyncio.timeout(PATIENCE):
        while True:
            assert await member.poll(100, 0.5) == {}


async def test_the_log_goes_on_when_the_broker_is_back(tmp_path: Path) -> None:
    with kafka(tmp_path) as server:
        log = KafkaLog(
            LogSettings(backend="kafka", bootstrap_servers=server.bootstrap),
            client_id="test",
            patience=3.0,
        )
        await log.start()
        await log.create([Topic("in")])
        member = await log.subscribe("g", "in")
        await log.append([Outgoing("in", b"before", key=b"k")])
        assert await drain(member, 1) == [b"before"]

        await asyncio.to_thread(server.kill)
        with pytest.raises(LogUnavailable, match=server.bootstrap):
            await log.append([Outgoing("in", b"lost", key=b"k")])
        with pytest.raises(LogUnavailable, match=server.bootstrap):
            await poll_for_ever(member)

        server.start()
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await log.append([Outgoing("in", b"after", key=b"k")])
                except LogUnavailable:
                    continue
                break
        # What was refused may have been appended by the producer that was waiting for the broker.
        values = await drain(member, 1)
        while values[-1] != b"after":
            values += await drain(member, 1)
        assert set(values) <= {b"lost", b"after"}
        await member.close()
        await log.close()
