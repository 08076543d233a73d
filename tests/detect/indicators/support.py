"""Indicators, tables and events for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from detect.indicators.collect import Collector
from detect.indicators.guards import Allowed, Guard
from detect.indicators.table import Rows, Table
from detect.indicators.values import Indicator, classified
from tocsin.contracts import Finding, Topics
from tocsin.enrichment_config import FeedSettings
from tocsin.log.base import Record
from tocsin.public_suffix import Suffixes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tocsin.log.base import Outgoing

AT = 1_767_607_200_000
SUFFIXES = Suffixes()
NOBODY = Allowed()


def collector(now: int = AT, *, guard: Guard | None = None, **feed: Any) -> Collector:
    settings = FeedSettings.model_validate(
        {"name": "feed", "type": "csv", "path": "unused", **feed}
    )
    return Collector(settings, guard or Guard(SUFFIXES, NOBODY), now)


def rows(*values: str | Indicator, feed: str = "feed") -> Rows:
    made = Rows(feed)
    for value in values:
        if isinstance(value, str):
            known = classified(value)
            assert known is not None, value
            value = Indicator(*known, feed)
        made.add(value)
    return made


def table(*values: str | Indicator, feed: str = "feed") -> Table:
    return Table([rows(*values, feed=feed)])


def event(**changes: Any) -> dict[str, Any]:
    return {
        "@timestamp": "2026-01-05T10:00:00.000Z",
        "event": {"id": "e1", "original": "the line"},
        "host": {"name": "web-1"},
        "tocsin": {"origin": "raw/0/7", "tenant": "default"},
        **changes,
    }


def record(content: Any, offset: int = 0) -> Record:
    value = content if isinstance(content, bytes) else orjson.dumps(content)
    return Record(Topics.EVENTS, 0, offset, None, value, timestamp=AT)


def findings(outputs: Iterable[Outgoing]) -> list[Finding]:
    return [Finding.decode(output.value) for output in outputs]
