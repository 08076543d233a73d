"""Telling that a log has nothing left to be processed, from outside or inside its process."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin.log.base import Log, TopicPartition

#: How long everything must have been quiet, seconds: longer than two ticks of a stage, because
#: ticks emit the last revision of an alert.
QUIET_SECONDS = 1.0


async def settled(
    log: Log, groups: Mapping[str, str], timeout: float, *, quiet: float = QUIET_SECONDS
) -> bool:
    """Wait until each group (name → topic) has done all of its topic; False on time-out.

    Done means that for `quiet` seconds every offset was committed and no topic grew. After a
    kill -9 on Kafka `quiet` must be longer than the takeover, during which nothing moves.
    """
    deadline = time.monotonic() + timeout
    quiet_since, last = time.monotonic(), None
    while time.monotonic() < deadline:
        ends = await _ends_if_done(log, groups)
        if ends is None or ends != last:
            quiet_since, last = time.monotonic(), ends
        elif time.monotonic() - quiet_since >= quiet:
            return True
        await asyncio.sleep(0.05)
    return False


async def _ends_if_done(log: Log, groups: Mapping[str, str]) -> dict[str, int] | None:
    """End offsets by topic if all is committed, else None."""
    ends: dict[str, int] = {}
    for group, topic in groups.items():
        end = await log.end_offsets(topic)
        done = await log.committed(group, topic)
        if any([await _follows(log, at, done[at]) for at in end if done[at] < end[at]]):
            return None
        ends[topic] = sum(end.values())
    return ends


async def _follows(log: Log, at: TopicPartition, offset: int) -> bool:
    """Whether records follow: on Kafka a transaction's marker takes an offset of its own."""
    return bool(await log.read(at, offset, 1))
