"""Pairs of key and value in every common spelling, and nothing lost."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.cef import UNPARSED
from ingest.formats.kv import frame, pairs

TEXTS = [
    ("a=1 b=2", {"a": "1", "b": "2"}),
    ('date=2024-05-01 msg="two words" b=', {"date": "2024-05-01", "msg": "two words", "b": ""}),
    ("msg=two words src=192.0.2.1", {"msg": "two words", "src": "192.0.2.1"}),
    ('a="say \\"hi\\"" b="x ""y"" z"', {"a": 'say "hi"', "b": 'x "y" z'}),
    ("a='one two' b=3", {"a": "one two", "b": "3"}),
    ('path="C:\\new\\" b=2', {"path": "C:\\new\\", "b": "2"}),
    ('path="C:\\\\new" b=2', {"path": "C:\\new", "b": "2"}),
    ('a="x" lost b=2', {"a": "x", UNPARSED: "lost", "b": "2"}),
    ('a=x lost b="2"', {"a": "x", UNPARSED: "lost", "b": "2"}),
    ("a=1, b=two words, c=3", {"a": "1", "b": "two words", "c": "3"}),
    ("a=1,b=x;y,c=3", {"a": "1", "b": "x;y", "c": "3"}),
    ("a=1;b=x,y;c=3", {"a": "1", "b": "x,y", "c": "3"}),
    ("a=1|b=x y|c=3", {"a": "1", "b": "x y", "c": "3"}),
    ("a=1\tb=x y\tc=3", {"a": "1", "b": "x y", "c": "3"}),
    ("a=1\nb=x y\nc=3", {"a": "1", "b": "x y", "c": "3"}),
    ("a = 1, b = x y, c = 3", {"a": "1", "b": "x y", "c": "3"}),
    ('"a"="1","b"="2"', {"a": "1", "b": "2"}),
    ("a=1 a=2 b=3", {"a": ["1", "2"], "b": "3"}),
    ("[a=1 b=2]", {"a": "1", "b": "2"}),
    ("a=x y [net c=1 d=2 ]", {"a": "x y", UNPARSED: "net", "c": "1", "d": "2"}),
    ("cs(User-Agent)=curl sc-status=200", {"cs(User-Agent)": "curl", "sc-status": "200"}),
    ("url=https://example.com/?q=1&r=2 b=2", {"url": "https://example.com/?q=1&r=2", "b": "2"}),
    ('a="never closed b=2', {"a": '"never', UNPARSED: "closed", "b": "2"}),
    (
        "Event type: Task failed\\r\\nUser: CORP\\ann\\r\\nResult: at 10:00",
        {"Event type": "Task failed", "User": "CORP\\ann", "Result": "at 10:00"},
    ),
    ("Name: x\n  more\nUser: y\nHost: z\n\n", {"Name": "x\nmore", "User": "y", "Host": "z"}),
]


@pytest.mark.parametrize(("text", "fields"), TEXTS)
def test_pairs(text: str, fields: dict[str, Any]) -> None:
    assert frame(text) == fields


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a=1",
        "Accepted password for ann from 192.0.2.1 port 22 ssh2",
        "connection refused: a=1 b=2",
        "Jan: 1",
        "one: two, three: four",
    ],
)
def test_what_is_no_text_of_pairs(text: str) -> None:
    assert frame(text) is None


def test_pairs_within_a_sentence() -> None:
    assert pairs("login failed; user=ann rhost=192.0.2.1") == {
        UNPARSED: "login failed;",
        "user": "ann",
        "rhost": "192.0.2.1",
    }


def test_the_number_of_pairs_is_bounded() -> None:
    text = " ".join(f"k{number}=v" for number in range(3_000))
    fields = frame(text)
    assert fields is not None
    assert len(fields) == 2_048 + 1
    assert fields[UNPARSED].endswith("k2999=v")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    frame(text)
    frame("a=1 " + text)
    pairs(text)


@given(st.text("ab1 .=\n\t,;|[]-:", max_size=80))
def test_nothing_is_lost(text: str) -> None:
    written = repr(pairs("k=v " + text)).replace("\\n", " ").replace("\\t", " ")
    for word in re.findall(r"\w+", text):
        assert word in written


@given(st.dictionaries(st.text("abc", min_size=1, max_size=5), st.text('xyz ,;|"', max_size=9)))
def test_what_is_quoted_comes_back(wanted: dict[str, str]) -> None:
    text = " ".join(
        '{}="{}"'.format(key, value.replace('"', '\\"')) for key, value in wanted.items()
    )
    assert pairs(text) == wanted


def test_a_mark_that_is_never_closed() -> None:
    assert frame("a='x b='y c=\"z w\" d='v") == {"a": "'x", "b": "'y", "c": "z w", "d": "'v"}
    assert frame("a='x' b='y c=\"z") == {"a": "x", "b": "'y", "c": '"z'}
