"""Lines that continue the one before: by a pattern, by indentation, within limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.multiline import Continued, Group, Limits

LIMITS = Limits(lines=5, size=200, timeout=1_000)


def texts(joiner: Continued, *lines: bytes, now: int = 0, stream: bytes = b"") -> list[bytes]:
    groups: list[Group] = []
    for at, line in enumerate(lines):
        groups += joiner.take(at, line, line, now, stream)
    return [group.text for group in groups]


def test_what_the_pattern_does_not_match_continues() -> None:
    joiner = Continued(LIMITS, r"\d{4}-\d\d-\d\d ")
    assert texts(joiner, b"2024-05-01 a", b"Traceback", b"ValueError: x", b"2024-05-01 b") == [
        b"2024-05-01 a\nTraceback\nValueError: x"
    ]
    assert [one.text for one in joiner.flush()] == [b"2024-05-01 b"]


def test_what_is_indented_continues() -> None:
    joiner = Continued(LIMITS)
    lines = (b"ERROR x", b"\tat a.b", b"", b"Caused by: y", b"  at c", b"INFO z")
    assert texts(joiner, *lines) == [b"\n".join(lines[:5])]


def test_streams_do_not_mix() -> None:
    joiner = Continued(LIMITS)
    assert texts(joiner, b"a", stream=b"1") == []
    assert texts(joiner, b" b", stream=b"2") == []
    assert texts(joiner, b" c", stream=b"1") == []
    assert [one.text for one in joiner.flush()] == [b"a\n c", b" b"]
    assert not joiner.wants_blank(b"1")


def test_limits_of_lines_size_and_time() -> None:
    assert texts(Continued(LIMITS), b"a", *[b" x"] * 7) == [b"a\n x\n x\n x\n x"]
    assert texts(Continued(LIMITS), b"a", b" " * 150, b" " * 100) == [b"a\n" + b" " * 150]
    joiner = Continued(LIMITS)
    texts(joiner, b"a", now=10)
    assert joiner.due(1_009) == []
    assert [one.text for one in joiner.due(1_010)] == [b"a"]


@pytest.mark.parametrize(
    ("start", "says"),
    [("(", "no regular expression"), (r"(a+)+x", "for ever"), ("x" * 9_000, "at most")],
)
def test_a_pattern_that_cannot_be_is_refused(start: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Continued(LIMITS, start)


@given(st.lists(st.tuples(st.sampled_from([b"a", b" b", b"", b"\tc"]), st.sampled_from(b"12"))))
def test_every_line_comes_out_once_and_in_order(told: list[tuple[bytes, int]]) -> None:
    joiner, groups = Continued(LIMITS), []
    for at, (line, stream) in enumerate(told):
        groups += joiner.take(at, line, line, 0, b"%d" % stream)
    waiting = list(joiner.waiting)
    groups += (left := joiner.flush())
    assert sorted(part.at for group in left for part in group.parts) == waiting
    for name in (b"%d" % stream for stream in b"12"):
        parts = [part for group in groups if group.stream == name for part in group.parts]
        assert [part.line for part in parts] == [
            line for line, stream in told if b"%d" % stream == name
        ]
