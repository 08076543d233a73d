"""The Kafka source: a topic of any cluster, read in a group of our own.

An offset is committed after the log has acknowledged everything before it; what is read again
after a crash has the same identity, so it is one event still. Values are kept as they are:
envelopes of Beats, Fluent Bit, Vector and others are opened by the normalize stage. Headers are
kept under `kafka.<name>`, the key as the key, so order within a key holds.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from ingest.sources.account import SourceAccount
from ingest.sources.appender import rest
from ingest.sources.listening import RETRY_FIRST, RETRY_LAST
from ingest.sources.records import Labels, dead, raw
from tocsin.errors import LogError
from tocsin.ids import digest
from tocsin.log.base import MAX_RECORD, Completion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tocsin.clock import Clock
    from tocsin.log.base import Headers, Log, Outgoing, Record, Subscription, TopicPartition
    from tocsin.source_config import KafkaSource

logger = logging.getLogger(__name__)

#: Most records taken at a time, and the longest wait for the first, seconds.
BATCH = 5_000
TICK = 0.25

#: Most bytes of headers and key that a raw record takes over.
MAX_BESIDE = 128 * 1024

#: Put before the names of the headers of another's records: they may be called as ours are.
PREFIX = "kafka."


class Reader(Protocol):
    """What is needed of the other cluster."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def partitions(self, topic: str) -> int: ...

    async def subscribe(self, group: str, topic: str) -> Subscription: ...


class TopicSource:
    """One `kafka` entry; `connect` makes a client of its cluster that was not started yet."""

    def __init__(
        self, settings: KafkaSource, log: Log, clock: Clock, connect: Callable[[], Reader]
    ) -> None:
        self.account = SourceAccount()
        #: Whether everything that is there was read.
        self.idle = False
        self._settings = settings
        self._log = log
        self._clock = clock
        self._connect = connect
        self._labels = Labels(settings, settings.topic)
        self._stopping = asyncio.Event()

    @property
    def name(self) -> str:
        return f"kafka {self._settings.topic}"

    @property
    def down(self) -> str:
        """Why nothing can be collected just now, or ""."""
        return self.account.down

    def stop(self) -> None:
        """End `run` after the batch it is at."""
        self._stopping.set()

    async def check(self) -> str:
        """What `tocsin doctor` says of it; raises LogError if the topic cannot be read."""
        reader = self._connect()
        try:
            await reader.start()
            partitions = await reader.partitions(self._settings.topic)
        finally:
            await reader.close()
        return f"reachable, {partitions} partitions"

    async def run(self) -> None:
        """Read until stopped; whatever fails, it goes on from what was committed last."""
        pause = RETRY_FIRST
        while not self._stopping.is_set():
            before = self.account.received
            try:
                await self._session()
            except Exception as error:
                # A stranger's records may break the client itself: the other sources go on.
                known = isinstance(error, LogError)
                self.account.errors[error.code if isinstance(error, LogError) else "internal"] += 1
                self.account.down = str(error) or type(error).__name__
                self.idle = False
                logger.warning(
                    "%s: %s; nothing is lost, it goes on later",
                    self.name,
                    error,
                    exc_info=None if known else error,
                )
                pause = RETRY_FIRST if self.account.received > before else pause
                await rest(pause, self._stopping)
                pause = min(pause * 2, RETRY_LAST)

    async def _session(self) -> None:
        reader = self._connect()
        try:
            await reader.start()
            subscription = await reader.subscribe(self._settings.group, self._settings.topic)
            try:
                while not self._stopping.is_set():
                    polled = await subscription.poll(BATCH, TICK)
                    if polled:
                        await self._take(subscription, polled)
                    if subscription.assignment:
                        self.account.down = ""
                        self.idle = not polled
            finally:
                await subscription.close()
        finally:
            await reader.close()

    async def _take(
        self,
        subscription: Subscription,
        polled: Mapping[TopicPartition, Sequence[Record]],
    ) -> None:
        counts = SourceAccount()
        outgoing = [
            out for batch in polled.values() for r in batch for out in self._made(r, counts)
        ]
        if outgoing:
            await self._log.append(outgoing)
        self._count(counts)
        done = [Completion(at, batch[-1].offset + 1) for at, batch in polled.items()]
        await subscription.complete(done)

    def _count(self, counts: SourceAccount) -> None:
        account = self.account
        account.received += counts.received
        account.bytes += counts.bytes
        account.appended += counts.appended
        account.filtered.update(counts.filtered)
        account.dead.update(counts.dead)

    def _made(self, record: Record, counts: SourceAccount) -> list[Outgoing]:
        """What becomes of a record."""
        settings = self._settings
        counts.received += 1
        counts.bytes += len(record.value)
        if not record.value:
            counts.filtered["tombstone"] += 1
            return []
        # Kafka's time of a record does not change when it is read again; ours would.
        now = record.timestamp if record.timestamp > 0 else self._clock.now()
        identity = digest(
            "kafka", settings.tenant, settings.bootstrap_servers, *record.position, now
        ).encode()
        headers = self._labels.headers(now)
        theirs: Headers = tuple((PREFIX + name, value or b"") for name, value in record.headers)
        beside = len(record.key or b"") + sum(len(n) + len(v) for n, v in theirs)
        if len(record.value) > MAX_RECORD or beside > MAX_BESIDE:
            counts.dead["too_large"] += 1
            reason = f"{record.position} has {len(record.value)} bytes, and {beside} beside them"
            return dead("too_large", reason, record.value, None, headers, identity, now)
        counts.appended += 1
        return [raw(record.value, record.key, (*headers, *theirs), identity, now)]
