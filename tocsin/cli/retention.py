"""Forgetting what is older than the retention: Kafka does it by itself, the embedded log is asked.

What a group of this process has not read yet stays, however old: a store that is away for longer
than the retention loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from tocsin.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin.clock import Clock
    from tocsin.log.base import TopicPartition
    from tocsin.log.sqlite import SqliteLog

logger = logging.getLogger(__name__)

#: Seconds between two prunings.
INTERVAL = 600.0


class Retention:
    """Prunes the embedded log until stopped; `groups` is the topic of each group."""

    name = "retention"

    def __init__(
        self,
        log: SqliteLog,
        groups: Mapping[str, str],
        clock: Clock,
        *,
        interval: float = INTERVAL,
    ) -> None:
        self._log = log
        self._groups = dict(groups)
        self._clock = clock
        self._interval = interval
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Prune at the start and then each interval; what fails is tried again then."""
        while not self._stopping.is_set():
            try:
                count = await self.prune()
            except LogError as error:
                logger.warning("retention: %s; tried again in %.0f s", error, self._interval)
            else:
                if count:
                    logger.info("retention: %d records were old enough to go", count)
            try:
                async with asyncio.timeout(self._interval):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def prune(self) -> int:
        """Delete what is old and read by all groups; returns how many records."""
        unread: dict[TopicPartition, int] = {}
        for group, topic in self._groups.items():
            for at, offset in (await self._log.committed(group, topic)).items():
                unread[at] = min(offset, unread.get(at, offset))
        return await self._log.prune(self._clock.now(), unread)
