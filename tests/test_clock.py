"""Times as text and back."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.clock import ManualClock, SystemClock, iso, parse_iso

YEAR_9999 = 253_402_300_799_999


def test_iso_has_milliseconds_and_z() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(1_700_000_000_007) == "2023-11-14T22:13:20.007Z"


@given(st.integers(0, YEAR_9999))
def test_every_instant_survives_the_way_there_and_back(instant: int) -> None:
    assert parse_iso(iso(instant)) == instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.0014Z", 1),
        ("1970-01-01T00:00:01", 1_000),
    ],
)
def test_offsets_fractions_and_times_without_a_zone(text: str, instant: int) -> None:
    assert parse_iso(text) == instant


@pytest.mark.parametrize("text", ["", "yesterday", "2023-02-30T00:00:00Z"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Invalid isoformat|out of range|day"):
        parse_iso(text)


def test_a_manual_clock_moves_only_when_it_is_moved_and_also_back() -> None:
    clock = ManualClock(100)
    assert clock.now() == clock.now() == 100
    clock.advance(-30)
    assert clock.now() == 70


def test_the_system_clock_counts_milliseconds() -> None:
    before = time.time() * 1000
    assert before - 1 <= SystemClock().now() <= time.time() * 1000 + 1
