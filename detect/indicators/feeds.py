"""The configured feeds: files that are read again when they change, and the table of them all."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from detect.indicators import misp, stix, tabular
from detect.indicators.collect import Collector, Report
from detect.indicators.guards import Guard, read_allowed, read_popular
from detect.indicators.table import Rows, Table
from tocsin.files import Watched
from tocsin.public_suffix import Suffixes

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.clock import Clock
    from tocsin.enrichment_config import FeedSettings, IndicatorSettings

_log = logging.getLogger(__name__)


class Feeds:
    """What the feeds hold now; `refresh` at the rim, everything else anywhere.

    A feed that cannot be read keeps what was read of it before, and the others go on.
    """

    def __init__(self, settings: IndicatorSettings, spool: Path, clock: Clock) -> None:
        """`spool` is where fetched feeds lie. Raises ConfigError for a wrong `allow`."""
        self.settings = settings
        self.table = Table()
        self._clock = clock
        self._suffixes = Suffixes()
        self.allowed = read_allowed(settings.allow)
        popular = settings.popular
        self._popular = None if popular is None else Watched(popular, read_popular)
        self._files = {
            feed.name: Watched(watched(feed, spool), partial(self._read, feed, spool))
            for feed in settings.feeds
        }

    def refresh(self) -> bool:
        """Read what has changed; True if the table is a new one. Blocking: seconds for a million.

        The table is replaced in one assignment, so another thread may go on using the old one.
        """
        read = [file.current() for file in self._files.values()]
        rows = [each[0] for each in read if each is not None]
        if len(rows) == len(self.table.feeds) and all(
            one is other for one, other in zip(rows, self.table.feeds, strict=True)
        ):
            return False
        self.table = Table(rows)
        for report in self.reports():
            _log.info("feed %s: %d indicators", report.feed, report.kept)
        return True

    def reports(self) -> list[Report]:
        """What was read of each feed, and what is wrong with it now."""
        told = []
        for name, file in self._files.items():
            report = file.value[1] if file.value is not None else Report(name)
            report.problem = file.problem
            told.append(report)
        return told

    def _read(self, feed: FeedSettings, spool: Path, _: Path) -> tuple[Rows, Report]:
        popular = None if self._popular is None else self._popular.current()
        guard = Guard(self._suffixes, self.allowed, popular or frozenset())
        into = Collector(feed, guard, self._clock.now())
        path = place(feed, spool)
        match feed.type:
            case "stix" | "taxii":
                stix.read(path, into)
            case "misp":
                misp.read(path, into)
            case "csv":
                tabular.read(path, feed, into)
        return into.done()


def place(feed: FeedSettings, spool: Path) -> Path:
    """Where a feed's data lies: its own path, or where it is fetched to."""
    if feed.path is not None:
        return feed.path
    suffix = "" if feed.type == "misp" else ".data"
    return spool / f"{feed.name}{suffix}"


def watched(feed: FeedSettings, spool: Path) -> Path:
    """The file whose change means that a feed changed."""
    path = place(feed, spool)
    if feed.type == "misp" and (feed.path is None or path.is_dir()):
        manifest = path / misp.MANIFEST
        # The directory changes when events come and go, the manifest when one is altered.
        return manifest if feed.path is None or manifest.exists() else path
    return path
