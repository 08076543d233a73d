"""What the pipeline knows beside its rules: enrichment, indicators, and the keys of privacy.

Built from the configuration and kept up to date here, at the rim; the stages only look things up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from detect.indicators.feeds import Feeds
from detect.indicators.fetch import Fetcher, check
from detect.indicators.lookback import Lookback
from ingest.door import Door
from ingest.enrich import Enricher
from ingest.privacy import Policy
from tocsin.config import secret
from tocsin.errors import StoreUnavailable
from tocsin.subject_keys import SubjectKeys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tocsin.clock import Clock
    from tocsin.config import Settings
    from tocsin.log.base import Log
    from tocsin.metrics import Metrics
    from tocsin.subjects import SubjectKey

_log = logging.getLogger(__name__)

#: Seconds between two looks at the files: a stat for each.
INTERVAL = 1.0

#: Directory in data_dir for fetched feeds, and the file that remembers what was looked back for.
SPOOL, KNOWN = "indicators", "looked-for"

#: File of the subjects' keys in data_dir, unless the configuration names another.
SUBJECTS = "subjects.sqlite"


class Knowledge:
    """Enrichment, indicators and privacy of one process; what is not configured is None."""

    def __init__(self, settings: Settings, clock: Clock, *, stages: set[str]) -> None:
        """Opens and reads what these stages need; raises ConfigError, StoreUnavailable."""
        self._settings = settings
        self._clock = clock
        self.enricher: Enricher | None = None
        self.keys: SubjectKeys | None = None
        self.door: Door | None = None
        self.feeds: Feeds | None = None
        if "normalize" in stages:
            self.enricher = Enricher.configured(settings.enrichment)
            policy = self._policy()
            if self.enricher is not None or policy is not None:
                self.door = Door(self.enricher, policy)
        if "indicators" in stages and settings.indicators.feeds:
            self.feeds = Feeds(settings.indicators, spool(settings), clock)
            for feed in settings.indicators.feeds:
                check(feed, secret)

    def _policy(self) -> Policy | None:
        privacy = self._settings.privacy
        if not privacy.policies:
            return None
        salt = secret(privacy.key).encode() if privacy.key else b""
        if any(policy.rules for policy in privacy.policies):
            self.keys = SubjectKeys(subjects_file(self._settings), self._clock)
        return Policy(privacy, salt, self.keys)

    async def load(self) -> None:
        """Read the feeds for the first time, before any event is matched."""
        if self.feeds is not None:
            await asyncio.to_thread(self.feeds.refresh)
            for report in self.feeds.reports():
                if report.problem:
                    _log.warning("feed %s: %s", report.feed, report.problem)

    def workers(self, log: Log, metrics: Metrics) -> Iterator[Refresher | Fetcher | Lookback]:
        """What keeps it up to date."""
        if self.enricher is not None or self.feeds is not None:
            yield Refresher(self.enricher, self.feeds, metrics)
        if self.feeds is None:
            return
        indicators, place = self._settings.indicators, spool(self._settings)
        fetcher = Fetcher(indicators.feeds, place, self._clock, metrics, secret)
        if not fetcher.empty:
            yield fetcher
        if indicators.lookback:
            yield Lookback(self.feeds, log, self._clock, metrics, place / KNOWN)

    def close(self) -> None:
        """Close what was opened."""
        if self.keys is not None:
            self.keys.close()


class _Unopened:
    """Stands for the keys where policies are only looked at."""

    def key(self, subject: str) -> SubjectKey:
        raise StoreUnavailable("the keys are not open")

    def by_id(self, id: str) -> SubjectKey | None:
        return None

    def flush(self) -> None:
        """Nothing is written."""


def examined(settings: Settings, clock: Clock) -> Iterator[tuple[str, str, str]]:
    """For `tocsin doctor`: what was looked at, what was found, and what is wrong with it."""
    enricher = Enricher.configured(settings.enrichment)
    if enricher is not None:
        problems = enricher.problems()
        yield "enrichment", "all files are read", "; ".join(problems)
    if settings.indicators.feeds:
        feeds = Feeds(settings.indicators, spool(settings), clock)
        for feed in settings.indicators.feeds:
            check(feed, secret)
        feeds.refresh()
        for report in feeds.reports():
            yield f"feed {report.feed}", f"{report.kept} indicators", report.problem
    privacy = settings.privacy
    if privacy.policies:
        Policy(privacy, secret(privacy.key).encode() if privacy.key else b"", _Unopened())
        path = subjects_file(settings)
        kept = f"keys in {path}" if path.exists() else f"{path} will be made by the first start"
        yield "privacy", f"{len(privacy.policies)} policies; {kept}", ""


def spool(settings: Settings) -> Path:
    """Where fetched feeds lie."""
    return settings.data_dir / SPOOL


def subjects_file(settings: Settings) -> Path:
    """The file of the subjects' keys."""
    return settings.privacy.store or settings.data_dir / SUBJECTS


class Refresher:
    """Reads files again that have changed, in a thread of its own, and books what failed."""

    name = "refresh"

    def __init__(
        self,
        enricher: Enricher | None,
        feeds: Feeds | None,
        metrics: Metrics,
        *,
        interval: float = INTERVAL,
    ) -> None:
        self._enricher = enricher
        self._feeds = feeds
        self._metrics = metrics
        self._interval = interval
        self._booked: Counter[str] = Counter()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Until `stop`."""
        while not self._stopping.is_set():
            if self._enricher is not None:
                await asyncio.to_thread(self._enricher.refresh)
                self._book(self._enricher.counters)
            if self._feeds is not None:
                await asyncio.to_thread(self._feeds.refresh)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._stopping.wait()

    def stop(self) -> None:
        """After the file that is being read."""
        self._stopping.set()

    def _book(self, counters: Counter[str]) -> None:
        """Each look-up that failed since the last time, as an error of `enrich`."""
        for step, count in list(counters.items()):
            for _ in range(count - self._booked[step]):
                self._metrics.error("enrich", step)
            self._booked[step] = count
