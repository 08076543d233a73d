"""What becomes of each value of a feed: kept, or refused with a reason that is counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from detect.indicators.table import MAX_INDICATORS, Rows
from detect.indicators.values import Indicator, classified
from tocsin.clock import parse_iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detect.indicators.guards import Guard
    from detect.indicators.values import Kind
    from tocsin.enrichment_config import FeedSettings

#: Refused values that are named, by reason.
NAMED = 5

#: Longest refused value that is named, characters.
_SHOWN = 100


@dataclass(slots=True)
class Report:
    """What was read of a feed; `refused` counts by reason, `examples` names some."""

    feed: str
    kept: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    problem: str = ""


class Collector:
    """Takes the values of one feed as its reader finds them; `now` is ms since the epoch."""

    def __init__(self, feed: FeedSettings, guard: Guard, now: int) -> None:
        self._feed = feed
        self._guard = guard
        self._now = now
        self.rows = Rows(feed.name)
        self.report = Report(feed.name)

    def add(
        self,
        text: str,
        *,
        kinds: Sequence[Kind] = (),
        seen: int = 0,
        until: int = 0,
        id: str = "",
        about: str = "",
        confidence: int | None = None,
    ) -> None:
        """Keep a value or refuse it.

        `kinds` are those it may be of (empty: any); `seen` (ms) is when the feed learnt of it,
        from which a feed's `ttl` counts; `until` its own end, 0 for none.
        """
        known = classified(text)
        if known is None or (kinds and known[0] not in kinds):
            self.refuse("not_a_value", text)
            return
        kind, value = known
        end = until or (((seen or self._now) + self._feed.ttl) if self._feed.ttl else 0)
        if end and end <= self._now:
            self.refuse("expired", text)
        elif confidence is not None and confidence < self._feed.min_confidence:
            self.refuse("low_confidence", text)
        elif reason := self._guard.refusal(kind, value):
            self.refuse(reason, text)
        elif len(self.rows) >= MAX_INDICATORS:
            self.refuse("too_many", text)
        else:
            self.rows.add(Indicator(kind, value, self._feed.name, self._feed.level, end, id, about))

    def refuse(self, reason: str, text: str) -> None:
        """Count a value, or a pattern or line, that cannot be used."""
        self.report.refused[reason] += 1
        examples = self.report.examples.setdefault(reason, [])
        if len(examples) < NAMED:
            examples.append(text[:_SHOWN])

    def done(self) -> tuple[Rows, Report]:
        """What was kept, and the account of it."""
        self.report.kept = len(self.rows)
        self.report.kinds = {kind: count for kind, count in self.rows.kinds.items() if count}
        return self.rows, self.report


def moment(value: object) -> int:
    """Milliseconds of an RFC 3339 time or of seconds since the epoch; 0 where it is neither."""
    if isinstance(value, str) and not value.isdigit():
        try:
            return parse_iso(value.strip())
        except (ValueError, OverflowError):
            return 0
    try:
        seconds = int(value)  # type: ignore[call-overload]  # what is no number raises TypeError
    except (TypeError, ValueError):
        return 0
    return seconds * 1000 if 0 < seconds < 10**11 else 0


def short(value: object) -> str:
    """A text on one line, "" for what is none."""
    return " ".join(value.split()) if isinstance(value, str) else ""
