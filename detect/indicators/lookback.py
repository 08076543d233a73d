"""Late indicators: what became known as bad today may have been seen last week.

When feeds bring new indicators, the events of the log that are not older than `lookback` are read
again and matched against the new ones only. Findings have the ids that the stream would have
given them, so nothing is reported twice. What was looked for is remembered in a file, eight bytes
each, so that a restart does not look again.

Reading the log again costs more than an index of all values ever seen would when it is asked, and
nothing at all when it is not: new indicators come by the hour, events by the millisecond.
"""

from __future__ import annotations

import asyncio
import logging
import os
from array import array
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING

from detect.indicators.stage import match
from detect.indicators.table import Rows, Table
from tocsin.contracts import Topics
from tocsin.errors import BadInput, LogError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from detect.indicators.feeds import Feeds
    from detect.indicators.guards import Allowed
    from detect.indicators.values import Indicator
    from tocsin.clock import Clock
    from tocsin.log.base import Log, Outgoing, Record, TopicPartition
    from tocsin.metrics import Metrics

_log = logging.getLogger(__name__)

#: Records read at once, and matched between two turns of the event loop.
PAGE, SLICE = 1_000, 100

#: With at most this many values, records are searched for their bytes before they are decoded.
NEEDLES = 16

#: Seconds between two looks at the table, and before the log is tried again.
TICK, RETRY = 1.0, 5.0

_DIGEST = 8


@dataclass(slots=True)
class Scan:
    """What looking back came to; `skipped` are older events, `unreadable` no events at all."""

    read: int = 0
    skipped: int = 0
    unreadable: int = 0
    findings: int = 0
    finished: bool = True


class Known:
    """The indicators that were looked for already, in a file of sorted eight-byte digests."""

    def __init__(self, path: Path) -> None:
        """Raises OSError; a file that is damaged counts as none: everything is looked for again."""
        self._path = path
        self._sorted = array("Q")
        with suppress(FileNotFoundError):
            data = path.read_bytes()
            if len(data) % _DIGEST == 0:
                self._sorted.frombytes(data)
            if any(one >= other for one, other in pairwise(self._sorted)):
                self._sorted = array("Q")

    def __len__(self) -> int:
        return len(self._sorted)

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._sorted, number)
        return at < len(self._sorted) and self._sorted[at] == number

    def add(self, numbers: Iterable[int]) -> None:
        """Remember, durably."""
        self._sorted = array("Q", sorted({*self._sorted, *numbers}))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with draft.open("wb") as file:
            file.write(self._sorted.tobytes())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)


def number_of(indicator: Indicator) -> int:
    """Eight bytes that stand for an indicator's value on every machine."""
    text = f"{indicator.kind}\0{indicator.value}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=_DIGEST).digest())


def news(feeds: Sequence[Rows], known: Known) -> tuple[Table, set[int]]:
    """A table of the indicators that were never looked for, and their numbers. Blocking."""
    fresh: set[int] = set()
    made = []
    for rows in feeds:
        new = Rows(rows.feed)
        for indicator in rows:
            number = number_of(indicator)
            if number not in known:
                fresh.add(number)
                new.add(indicator)
        made.append(new)
    return Table(made), fresh


class Search:
    """One look back over the log's events from `since` (ms, by their own time) on.

    Findings are appended unless `dry`. `stopping` ends it at the next page, unfinished.
    """

    def __init__(
        self,
        log: Log,
        table: Table,
        allowed: Allowed,
        *,
        since: int,
        dry: bool = False,
        stopping: asyncio.Event | None = None,
    ) -> None:
        self._log = log
        self._table = table
        self._allowed = allowed
        self._since = since
        self._dry = dry
        self._stopping = stopping or asyncio.Event()
        self._needles = _needles(table)
        self._scan = Scan()

    async def run(self) -> Scan:
        """Raises LogError; what was appended until then has its final ids."""
        if len(self._table):
            for at, end in sorted((await self._log.end_offsets(Topics.EVENTS)).items()):
                await self._partition(at, end)
        return self._scan

    async def _partition(self, at: TopicPartition, end: int) -> None:
        scan, offset = self._scan, 0
        while offset < end and (records := await self._log.read(at, offset, PAGE)):
            if self._stopping.is_set():
                scan.finished = False
                return
            offset = records[-1].offset + 1
            recent = [record for record in records if record.timestamp >= self._since]
            scan.read += len(records)
            scan.skipped += len(records) - len(recent)
            for start in range(0, len(recent), SLICE):
                await self._matched(recent[start : start + SLICE])
                await asyncio.sleep(0)

    async def _matched(self, records: Sequence[Record]) -> None:
        outputs: list[Outgoing] = []
        for record in records:
            if not _maybe(record, self._needles):
                continue
            try:
                outputs += match([record], self._table, self._allowed).outputs
            except BadInput:
                self._scan.unreadable += 1  # the stage has made a dead letter of it
        self._scan.findings += len(outputs)
        if outputs and not self._dry:
            await self._log.append(outputs)


def _needles(table: Table) -> tuple[bytes, ...]:
    """Bytes one of which a record must hold to be worth decoding; none: it always is."""
    if len(table) > NEEDLES or "range" in table.has:
        return ()
    values = {_searched(indicator) for indicator in table}
    # What JSON escapes is not found by its bytes.
    if any(not value.isascii() or not value.isprintable() or '"' in value for value in values):
        return ()
    return tuple(value.encode() for value in sorted(values))


def _searched(indicator: Indicator) -> str:
    """Host and path of a URL may stand in two fields."""
    value = indicator.value.lower()
    return value.partition("/")[0].partition(":")[0] if indicator.kind == "url" else value


def _maybe(record: Record, needles: tuple[bytes, ...]) -> bool:
    if not needles:
        return True
    value = record.value.lower()
    return any(needle in value for needle in needles)


class Lookback:
    """Looks back whenever the feeds have brought something new; one of the pipeline's workers."""

    name = "lookback"

    def __init__(
        self, feeds: Feeds, log: Log, clock: Clock, metrics: Metrics, memory: Path
    ) -> None:
        """`memory` is the file that remembers what was looked for."""
        self._feeds = feeds
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self._known = Known(memory)
        self._done: tuple[Rows, ...] = ()
        self._stopping = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether everything that the feeds hold now has been looked for."""
        return self._feeds.table.feeds == self._done

    async def run(self) -> None:
        """Until `stop`."""
        while not self._stopping.is_set():
            wait = TICK
            if not self.idle:
                try:
                    await self.catch_up()
                except (LogError, OSError) as error:
                    _log.warning("looking back: %s; it is tried again", error)
                    self._metrics.error(self.name, getattr(error, "code", "file"))
                    wait = RETRY
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stopping.wait()

    def stop(self) -> None:
        """Let the present look end at its next page."""
        self._stopping.set()

    async def catch_up(self) -> Scan:
        """Look for what is new since the last time; raises LogError, OSError."""
        feeds = self._feeds.table.feeds
        changed = [rows for rows in feeds if all(rows is not done for done in self._done)]
        table, fresh = await asyncio.to_thread(news, changed, self._known)
        since = self._clock.now() - self._feeds.settings.lookback
        search = Search(self._log, table, self._feeds.allowed, since=since, stopping=self._stopping)
        scan = await search.run()
        if not scan.finished:
            return scan
        if fresh:
            await asyncio.to_thread(self._known.add, fresh)
            _log.info(
                "looked back for %d new indicators in %d events: %d findings",
                len(fresh), scan.read, scan.findings,
            )  # fmt: skip
        self._done = feeds
        return scan
