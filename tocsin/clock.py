"""Time as an argument: milliseconds since 1970-01-01T00:00:00Z everywhere inside Tocsin."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Something that knows the time."""

    def now(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that a test or a replay moves."""

    def __init__(self, start: int = 0) -> None:
        self._now = start

    def now(self) -> int:
        return self._now

    def advance(self, milliseconds: int) -> None:
        """Move the clock; negative values are allowed (clocks do jump)."""
        self._now += milliseconds


def iso(milliseconds: int) -> str:
    """RFC 3339 with milliseconds and Z, as Elasticsearch and CEL read it."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def parse_iso(text: str) -> int:
    """Milliseconds of an RFC 3339 time; one without an offset is taken as UTC.

    Raises ValueError if `text` is no such time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
