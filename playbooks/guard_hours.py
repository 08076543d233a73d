"""Quiet hours: when nothing is done by itself. Pure: the time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from tocsin.contracts import Quiet


@dataclass(frozen=True, slots=True)
class SiteQuiet:
    """Quiet hours of the site, for some verbs or (none named) for all that contain or destroy."""

    hours: Quiet
    verbs: tuple[str, ...] = ()


def is_quiet(quiet: Quiet, now: int) -> bool:
    """Whether `now` (ms) is in the hours, by the clock on the wall of their zone.

    Hours that go over midnight belong to the day on which they began.
    """
    local = datetime.fromtimestamp(now / 1000, ZoneInfo(quiet.zone))
    minute, today = local.hour * 60 + local.minute, local.weekday()
    if quiet.since < quiet.until:
        return quiet.since <= minute < quiet.until and today in quiet.days
    if minute >= quiet.since:
        return today in quiet.days
    return minute < quiet.until and (today - 1) % 7 in quiet.days
