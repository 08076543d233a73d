"""Strict YAML: one meaning per text, everything else refused with its place."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks.source import MAX_BYTES, MAX_DEPTH, read_source


def value(text: str) -> Any:
    source = read_source("p.yml", text.encode())
    assert source.errors == []
    return source.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"), ("on", "on"), ("NO", "NO"), ("true", True), ("False", False),
        ("~", None), ("null", None), ("12", 12), ("-3", -3), ("0x1F", 31), ("0o17", 15),
        ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("2026-01-01", "2026-01-01"),
        ("12:30:45", "12:30:45"), ("1_000", "1_000"), ("'12'", "12"), ('"true"', "true"),
        ("!cel alert.x", {"!cel": "alert.x"}), ("15m", "15m"), ("1.2.3.4", "1.2.3.4"),
    ],
)  # fmt: skip
def test_scalar(text: str, expected: object) -> None:
    found = value(f"a: {text}")["a"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("a: 1\nb: 2\na: 3", "p.yml:3:1: a", "there already, in line 1"),
        ("a: &x 1", "p.yml:1:4", "anchors"),
        ("a: &x {b: 1}\nc: *x", "p.yml:1:4", "anchors"),
        ("a:\n  <<: {b: 1}", "p.yml:2:3: a.<<", "cannot be a key"),
        ("a: {'!cel': x}", "p.yml:1:5: a.!cel", "cannot be a key"),
        ("a: !!python/object:os.system x", "p.yml:1:1: a", "tag"),
        ("a: !cel {b: 1}", "p.yml:1:1: a", "tag"),
        ("a: 010", "p.yml:1:1: a", "octal or decimal"),
        ("a: .inf", "p.yml:1:1: a", "no number"),
        ("a: 1e999", "p.yml:1:1: a", "too large"),
        ("a: 9223372036854775808", "p.yml:1:1: a", "64 bits"),
        ("a: [1\nb: 2", "p.yml:2:2", "no YAML"),
        ("a: 1\n---\nb: 2", "p.yml:2:1", "one playbook"),
        ("", "p.yml", "empty"),
        ("? [a]\n: 1", "p.yml:1:3", "plain text"),
        ("a: \x07", "p.yml", "no YAML"),
        ("[" * (MAX_DEPTH + 1), f"p.yml:1:{MAX_DEPTH + 1}", "nest"),
        ("[" + "1," * 30_000 + "]", "p.yml:1:", "values"),
        ("#" * (MAX_BYTES + 1), "p.yml", "at most"),
    ],
)
def test_refused_at_its_place(text: str, place: str, reason: str) -> None:
    errors = read_source("p.yml", text.encode()).errors
    assert len(errors) == 1
    assert str(errors[0]).startswith(place)
    assert reason in str(errors[0])


def test_not_utf8() -> None:
    assert "UTF-8" in str(read_source("p.yml", b"a: \xff").errors[0])
