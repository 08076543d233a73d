"""W3C extended lines: with their directive, or not at all."""

from __future__ import annotations

import pytest

from ingest.formats.w3c import frame

HEAD = "#Software: x\n#Fields: date time c-ip cs-uri-stem\n"


def test_a_line_with_its_directive() -> None:
    assert frame(f"{HEAD}2024-05-01 10:00:00 192.0.2.7 -") == {
        "date": "2024-05-01",
        "time": "10:00:00",
        "c-ip": "192.0.2.7",
    }
    tabs = "#Fields: a b\n1 2\t3"
    assert frame(tabs) == {"a": "1 2", "b": "3"}


@pytest.mark.parametrize(
    "text",
    ["2024-05-01 10:00:00 192.0.2.7 /", HEAD, f"{HEAD}1 2 3", f"{HEAD}1 2 3 4\n1 2 3 4", "#x\n1 2"],
)
def test_what_is_none(text: str) -> None:
    assert frame(text) is None
