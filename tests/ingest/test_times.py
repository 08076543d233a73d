"""Times: years that logs leave out, zones, odd spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.times import common_log, ctime, epoch, iso8601, read_time, rfc3164, rfc3339
from tocsin.clock import iso, parse_iso

YEARLESS = [
    # text, received, expected
    ("May  1 10:00:00", "2024-05-01T10:00:01Z", "2024-05-01T10:00:00.000Z"),
    ("May  1 10:00:00", "2024-05-01T09:00:00Z", "2024-05-01T10:00:00.000Z"),
    ("Dec 31 23:59:59", "2024-01-01T00:00:01Z", "2023-12-31T23:59:59.000Z"),
    ("Jan  1 00:00:01", "2023-12-31T23:59:59Z", "2024-01-01T00:00:01.000Z"),
    ("May  3 00:00:00", "2024-05-02T00:00:00Z", "2024-05-03T00:00:00.000Z"),
    ("May  3 00:00:01", "2024-05-02T00:00:00Z", "2023-05-03T00:00:01.000Z"),
    ("Feb 29 12:00:00", "2023-06-01T00:00:00Z", "2020-02-29T12:00:00.000Z"),
    ("Feb 29 12:00:00", "2024-06-01T00:00:00Z", "2024-02-29T12:00:00.000Z"),
    ("May 01 2019 10:00:00", "2024-05-01T10:00:01Z", "2019-05-01T10:00:00.000Z"),
    ("May  1 10:00:00.25", "2024-05-01T10:00:01Z", "2024-05-01T10:00:00.250Z"),
]


@pytest.mark.parametrize(("text", "received", "expected"), YEARLESS)
def test_the_nearest_past_year_is_taken(text: str, received: str, expected: str) -> None:
    assert rfc3164(text, parse_iso(received)) == (parse_iso(expected), expected)


def test_what_is_remembered_does_not_depend_on_what_came_before() -> None:
    text = "Jul  4 05:06:07"
    for year in (2024, 2019, 2030, 2024, 2019):
        assert rfc3164(text, parse_iso(f"{year}-08-01T00:00:00Z"))[1].startswith(str(year))


@given(
    at=st.integers(0, 4_000_000_000),
    received=st.integers(0, 4_000_000_000),
    other=st.integers(0, 4_000_000_000),
)
def test_a_year_is_a_function_of_text_and_receipt(at: int, received: int, other: int) -> None:
    text = iso(at * 1000)
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    line = f"{months[int(text[5:7]) - 1]} {int(text[8:10]):2} {text[11:19]}"
    rfc3164(line, other * 1000)
    found, written = rfc3164(line, received * 1000)
    assert written == iso(found)
    assert found <= received * 1000 + 86_400_000
    assert written[5:] == text[5:]
    if text[5:10] != "02-29":
        assert received * 1000 - found < 366 * 86_400_000


def test_zones() -> None:
    received = parse_iso("2024-07-02T00:00:00Z")
    assert rfc3164("Jul  1 10:00:00", received, "Europe/Berlin")[1] == "2024-07-01T08:00:00.000Z"
    assert rfc3164("Jan  1 10:00:00", received, "Europe/Berlin")[1] == "2024-01-01T09:00:00.000Z"
    assert rfc3164("Jan  1 10:00:00", received)[1] == "2024-01-01T10:00:00.000Z"
    # New Year is later in New York: the line is of tomorrow there
    eve = parse_iso("2024-01-01T03:00:00Z")
    assert rfc3164("Dec 31 22:00:00", eve, "America/New_York")[1] == "2024-01-01T03:00:00.000Z"
    # an hour that occurs twice: the first
    assert iso8601("2024-10-27T02:30:00", "Europe/Berlin")[1] == "2024-10-27T00:30:00.000Z"
    with pytest.raises(ValueError, match="no time zone"):
        iso8601("2024-10-27T02:30:00", "No/Where")


ISO = [
    ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00.000Z"),
    ("2024-05-01 10:00:00", "2024-05-01T10:00:00.000Z"),
    ("2024-05-01T10:00:00.1Z", "2024-05-01T10:00:00.100Z"),
    ("2024-05-01T10:00:00,123456789Z", "2024-05-01T10:00:00.123Z"),
    ("2024-05-01T10:00:00+05:30", "2024-05-01T04:30:00.000Z"),
    ("2024-05-01T10:00:00.5-0800", "2024-05-01T18:00:00.500Z"),
    ("2024-05-01 10:00:00.5", "2024-05-01T10:00:00.500Z"),
    ("2024-05-01 10:00:00.57", "2024-05-01T10:00:00.570Z"),
    ("2024-05-01 10:00:00.579 UTC", "2024-05-01T10:00:00.579Z"),
    ("2024-05-01T10:00:00.123456789+01:00", "2024-05-01T09:00:00.123Z"),
    ("1960-01-01T00:00:00.999999-00:30", "1960-01-01T00:30:00.999Z"),
    ("2024-05-01 10:00:00 UTC", "2024-05-01T10:00:00.000Z"),
    ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000Z"),
    ("1960-01-01T00:00:00.001Z", "1960-01-01T00:00:00.001Z"),
]


@pytest.mark.parametrize(("text", "expected"), ISO)
def test_iso8601(text: str, expected: str) -> None:
    assert iso8601(text) == (parse_iso(expected), expected)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2024-05-01", "2024-13-01T00:00:00Z", "2024-05-01T25:00:00Z"),
        *("2024-05-01T10:00:00+99:00", "0000-01-01T00:00:00Z", "2024-05-01T10:00:00Zx"),
        *("٢٠٢٤-05-01T10:00:00Z", "0001-01-01T00:00:00+09:00"),
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"no|outside|must be|out of range"):
        iso8601(text)


def test_other_spellings() -> None:
    expected = (parse_iso("2024-05-01T10:00:00Z"), "2024-05-01T10:00:00.000Z")
    assert common_log("01/May/2024:12:00:00 +0200") == expected
    assert ctime("Wed May 01 10:00:00 2024") == expected
    assert ctime("Wed May  1 12:00:00 2024", "Europe/Berlin") == expected
    for number in (1714557600, 1714557600000, 1714557600000000, 1714557600000000000, 1714557600.0):
        assert epoch(number) == expected
    for wrong in (0, 12, -5, 1e30, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="no epoch time"):
            epoch(wrong)


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_rfc3339_reads_back(milliseconds: int) -> None:
    assert iso8601(rfc3339(milliseconds)) == (milliseconds, rfc3339(milliseconds))


def test_beyond_the_calendar() -> None:
    for milliseconds in (10**18, -(10**18), 10**30):
        with pytest.raises(ValueError, match="no instant"):
            rfc3339(milliseconds)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Mar 6 2023 08:04:45.866 CET", "2023-03-06T07:04:45.866Z"),
        ("2023-01-02 10:00:00 CST", "2023-01-02T16:00:00.000Z"),
        ("Tue Aug 26 12:04:18 CEST 2025", "2025-08-26T10:04:18.000Z"),
        ("[13/Feb/2024:15:33:43 GMT]", "2024-02-13T15:33:43.000Z"),
        ("2023 Mar  6 08:04:45.866 CET", "2023-03-06T07:04:45.866Z"),
        ("Mar 6 2023 08:04:45 IST", None),  # three countries
    ],
)
def test_names_of_zones_behind_times(text: str, written: str | None) -> None:
    found = read_time(text, 1_717_243_200_000)
    assert (found[1] if found else None) == written
