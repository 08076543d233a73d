"""When it happened: of several times in a log the event's own, in any form."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.generic import map_fields
from tests.ingest.raw import RECEIVED

AT = "2024-05-01T10:00:00.000Z"

TIMES: list[dict[str, Any]] = [
    {"timestamp": "2024-05-01T10:00:00Z"},
    {"timestamp": 1_714_557_600},
    {"timestamp": 1_714_557_600_000},
    {"timestamp": "1714557600000000"},
    {"ts": 1_714_557_600_000_000_000},
    {"FileTime": 133_590_312_000_000_000, "x": 1} | {"time": 133_590_312_000_000_000},
    {"EventTime": 638_501_544_000_000_000},
    {"time": "Wed, 01 May 2024 12:00:00 +0200"},
    {"time": "01/May/2024:10:00:00 +0000"},
    {"date": "2024-05-01", "time": "10:00:00"},
    {"log_date": "2024-05-01", "log_time": "12:00:00", "tz": "+0200"},
    {"date": "2024-05-01", "time": "12:00:00", "timezone": "Europe/Berlin"},
    {"rt": "x", "time": "2024-05-01-10.00.00.000000"},
    {"createdAt": "2024-05-01T10:00:00Z", "updatedAt": "2024-05-01T11:00:00Z"},
    {"eventTime": "2024-05-01T10:00:00Z", "receivedTime": "2024-05-01T10:05:00Z"},
    {"time": "2024-05-01T10:05:00Z", "properties": {"timestamp": "2024-05-01T10:00:00Z"}},
    {"time": "2024-05-01T10:00:00Z", "user": {"lastLoginTime": "2023-01-01T00:00:00Z"}},
    {"time": 0, "created": "2024-05-01T10:00:00Z"},
    {"time": "0001-01-01T00:00:00", "created": "2024-05-01T10:00:00Z"},
    {"time": "/Date(1714557600000)/"},
    {"time_local": "01/May/2024:12:00:00 +0200", "remote_addr": "192.0.2.1"},
    {"time": "soon", "detected": {"at": "2024-05-01T10:00:00Z"}},
]


@pytest.mark.parametrize("log", TIMES)
def test_the_time_of_the_event(log: dict[str, Any]) -> None:
    assert map_fields("json", log, "", None, RECEIVED, "UTC")["@timestamp"] == AT


@pytest.mark.parametrize("log", [{}, {"time": "soon"}, {"timestamp": True}, {"time": 10**30}])
def test_a_log_without_a_time_happened_on_arrival(log: dict[str, Any]) -> None:
    document = map_fields("json", log, "", None, RECEIVED, "UTC")
    assert document["@timestamp"] == "2024-05-02T12:00:00.000Z"


def test_times_without_a_zone_are_in_the_zone_of_the_source() -> None:
    document = map_fields(
        "json", {"time": "2024-05-01 12:00:00"}, "", None, RECEIVED, "Europe/Paris"
    )
    assert document["@timestamp"] == AT
