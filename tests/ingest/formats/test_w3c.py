"""W3C extended lines: with their directive, or not at all."""

from __future__ import annotations

import pytest

from ingest.formats.w3c import MAX_DIRECTIVES, Directives, frame

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


def test_the_day_of_a_log_that_has_times_only() -> None:
    text = "#Date: 2024-05-01 09:59:58\n#Fields: time c-ip\n10:00:00 192.0.2.7"
    assert frame(text) == {"time": "10:00:00", "c-ip": "192.0.2.7", "date": "2024-05-01"}
    dated = "#Date: 2024-05-01 09:59:58\n#Fields: date time\n2024-05-02 10:00:00"
    assert frame(dated) == {"date": "2024-05-02", "time": "10:00:00"}


def test_directives_stand_before_the_lines_that_follow() -> None:
    known = Directives()
    assert known.before(b"1 2") == b"1 2"
    for line in (b"#Software: S 1\r", b"#Version: 1.0", b"#Date: 2024-05-01 10:00:00"):
        assert known.take(line)
    assert known.text == b""
    assert known.take(b"#Fields: time c-ip\r")
    assert known.before(b"10:00:00 192.0.2.7\r") == (
        b"#Software: S 1\n#Date: 2024-05-01 10:00:00\n#Fields: time c-ip\n10:00:00 192.0.2.7"
    )
    assert known.take(b"#Fields: date time")
    assert known.text == b"#Software: S 1\n#Fields: date time"
    assert Directives(known.text).text == known.text


@pytest.mark.parametrize(
    "line",
    [b"# a comment", b"#fields\tts\tuid", b"#Field: a", b"1 2", b"", b"#Fields: " + b"x " * 5_000],
)
def test_what_is_no_directive(line: bytes) -> None:
    known = Directives()
    assert not known.take(line)
    assert known.text == b""
    assert len(known.before(line)) <= len(line) + MAX_DIRECTIVES
