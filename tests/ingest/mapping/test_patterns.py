"""Patterns of texts: what they take, and that hostile texts cost nothing."""

from __future__ import annotations

import time

import pytest

from ingest.mapping.patterns import compile_match, compile_regex
from ingest.mapping.regexes import MAX_TEXT

IP = {"source.ip": "host", "source.port": "int"}

MATCHES: list[tuple[str, str, dict[str, str] | None]] = [
    ("Failed <m> for <u>", "Failed password for al b", {"m": "password", "u": "al b"}),
    ("Failed <m> for <u> from", "Failed x for al from y", {"m": "x", "u": "al"}),
    (
        "at <source.ip> port <source.port>",
        "at 192.0.2.7 port 22 ssh2",
        {"source.ip": "192.0.2.7", "source.port": "22"},
    ),
    ("at <source.ip>:", "at 192.0.2.7: x", {"source.ip": "192.0.2.7"}),
    ("at <source.port> x", "at high x", None),
    ("<a:word> <b:rest>", "one two three", {"a": "one", "b": "two three"}),
    ("<_>x<b>", "12x34", {"b": "34"}),
    ("a (b) [c] <d>", "a (b) [c] $", {"d": "$"}),
    ("user", "username", None),
    ("user", "user: x", {}),
    ("x<a>y", "xy", {"a": ""}),
    ("say <q:quoted>", 'say "a \\"b\\"" c', {"q": '"a \\"b\\""'}),
    # The first place where all that follows fits is the one.
    (
        "for <u> from <source.ip> port",
        "for al from x from 192.0.2.7 port",
        {"u": "al from x", "source.ip": "192.0.2.7"},
    ),
]


@pytest.mark.parametrize(("pattern", "text", "wanted"), MATCHES)
def test_matches(pattern: str, text: str, wanted: dict[str, str] | None) -> None:
    made = compile_match(pattern, IP)
    found = made.regex.match(text)
    if wanted is None:
        assert found is None
    else:
        assert found is not None
        assert dict(zip(made.captures, found.groups(), strict=True)) == wanted


def test_first_words() -> None:
    assert compile_match("Failed <m> for", {}).word == "Failed"
    assert compile_match("Failed", {}).word == ""
    assert compile_match("<m> Failed", {}).word == ""
    assert compile_regex(r"Failed (?P<m>\S+)").word == "Failed"
    assert compile_regex(r"Fail(?:ed)? x").word == ""
    assert compile_regex(r"(?P<user__name>x)").captures == ("user.name",)


@pytest.mark.parametrize(
    "text",
    [
        "Failed " + " for " * 3000,
        "Failed " + "x for y from 1.2.3.4 port " * 600,
        "Failed " + " " * 16_000,
        "Failed " + " from 192.0.2.7" * 1000,
    ],
)
def test_hostile_texts_are_cheap(text: str) -> None:
    made = compile_match("Failed <a> for <b> from <source.ip> port <source.port> by <c> in <d>", IP)
    begin = time.process_time()
    assert made.regex.match(text[:MAX_TEXT]) is None
    assert time.process_time() - begin < 1, "linear, not the square of it"
