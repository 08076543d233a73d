"""Finding a value wherever it stands, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ingest.document import address
from ingest.privacy import scrub
from ingest.privacy.scrub import REDACTED, Needle, Scrubber

if TYPE_CHECKING:
    from collections.abc import Callable


def scrubber(*values: str, gone: bool = False) -> Scrubber:
    return Scrubber(Needle(v, None if gone else f"<{n}>", f"word{n}") for n, v in enumerate(values))


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        ("ada", "ada", "<0>"),
        ("ada", "ADA", "<0>"),
        ("ada", "login of ada from x", "login of <0> from x"),
        ("ada", "user=ada;", "user=<0>;"),
        ("ada", r"CORP\ada logged in", r"CORP\<0> logged in"),
        ("ada", "svc_ada-1", "svc_<0>-1"),
        ("ada", "canada, adapter, ada1", "canada, adapter, ada1"),
        ("ada", r"name:\tada\nend", r"name:\t<0>\nend"),
        ("ada", r"name:\u0009ada", r"name:\u0009<0>"),
        ("ada", "u=%20ada%20", "u=%20<0>%20"),
        ("ada", "adaada", "adaada"),
        ("ada lovelace", "x-ada lovelace2", "x-<0>2"),
        ("ada lovelace", "q=ada%20lovelace&r=ada+lovelace", "q=<0>&r=<0>"),
        ("ada@example.com", "to=ada%40example.com", "to=<0>"),
        ('o\'hara "x"', '{"u": "o\'hara \\"x\\""}', '{"u": "<0>"}'),
        ("CORP\\ada", '{"u": "CORP\\\\ada"}', '{"u": "<0>"}'),
        ("jürgen", '{"u": "j\\u00fcrgen"}', '{"u": "<0>"}'),
        ("jürgen", "JÜRGEN", "<0>"),
        ("a<b&c", "<u>a&lt;b&amp;c</u>", "<u><0></u>"),
        ("a=b|c", "CEF:0|x|suser=a\\=b\\|c", "CEF:0|x|suser=<0>"),
        ("192.0.2.7", "from 192.0.2.7:80.", "from <0>:80."),
        ("192.0.2.7", "ip-192-0-2-7.example.com", "ip-word0.example.com"),
        ("192.0.2.7", "::ffff:192.0.2.7", "::ffff:<0>"),
        ("2001:db8::7", "[2001:0DB8:0:0::7]:443", "[<0>]:443"),
        ("2001:db8::7", "peer 2001:db8::7.", "peer <0>."),
        ("2001:db8::7", "2001:db8::71 and 12:30:00", "2001:db8::71 and 12:30:00"),
        ("istanbul", "İİİ istanbul", "İİİ <0>"),
        ("İstanbul", "x İSTANBUL0", "x <0>0"),
        ("ΣΩΚΡΆΤΗΣ", "σωκράτης, ΣΩΚΡΆΤΗΣ1", "<0>, <0>1"),  # noqa: RUF001
        ("-", "a - b", "a - b"),
        ("", "a", "a"),
        ("unknown", "unknown", "unknown"),
    ],
)
def test_where_a_value_is_found(value: str, text: str, expected: str) -> None:
    assert scrubber(value).text(text) == expected


def test_the_longer_of_two_wins_and_overlaps_leave_nothing() -> None:
    both = scrubber("ada", "ada@example.com")
    assert both.text("ada@example.com, ada") == "<1>, <0>"
    assert scrubber("abcdefgh", "efghijklm").text("x abcdefghijklm y") == "x <1> y"


def test_what_is_made_is_not_looked_into() -> None:
    made = Scrubber([Needle("anon", "anon-xyz", "w"), Needle("bob", "anon-uvw", "w")])
    document = {"user": {"name": "bob"}, "related": {"user": ["bob", "anon"]}}
    made.scrub(document)
    made.scrub(document)
    assert document == {"user": {"name": "anon-uvw"}, "related": {"user": ["anon-uvw", "anon-xyz"]}}


class TestDocuments:
    def test_lists_objects_keys_and_deep_places(self) -> None:
        document: dict[str, Any] = {
            "related": {"user": ["ada", "bob"]},
            "vendor": {"list": [{"who": "ada"}, ["x ada"]], "by": {"ada@example.com": 1, "ada": 2}},
            "number": 7,
            "nothing": None,
        }
        scrubber("ada").scrub(document)
        assert document == {
            "related": {"user": ["<0>", "bob"]},
            "vendor": {
                "list": [{"who": "<0>"}, ["x <0>"]],
                # A word is a field's name far more often than a person's.
                "by": {"ada": 2, "<0>@example.com": 1},
            },
            "number": 7,
            "nothing": None,
        }

    def test_what_is_dropped_leaves_lists_and_fields(self) -> None:
        document: dict[str, Any] = {
            "related": {"user": ["ada"], "ip": ["192.0.2.7", "192.0.2.8"]},
            "user": {"name": "ada"},
            "message": "ada from 192.0.2.7",
            "empty": [],
        }
        scrubber("ada", "192.0.2.7", gone=True).scrub(document)
        assert document == {
            "related": {"ip": ["192.0.2.8"]},
            "user": {},
            "message": f"{REDACTED} from {REDACTED}",
            "empty": [],
        }

    def test_words_with_a_fixed_meaning_stay(self) -> None:
        document: dict[str, Any] = {
            "@timestamp": "2026-01-05T10:00:00.000Z",
            "ecs": {"version": "success"},
            "event": {
                "outcome": "success",
                "category": ["success"],
                "id": "success",
                "action": "success",
            },
            "tocsin": {"source": "success", "origin": "success", "other": "success"},
        }
        scrubber("success").scrub(document)
        assert document["event"] == {
            "outcome": "success",
            "category": ["success"],
            "id": "success",
            "action": "<0>",
        }
        assert document["tocsin"] == {"source": "success", "origin": "success", "other": "<0>"}
        assert document["ecs"] == {"version": "success"}


SPELLINGS = (
    lambda value: value,
    lambda value: json.dumps(value)[1:-1],
    lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    lambda value: quote(value, safe=""),
    lambda value: "".join(u if (u := char.upper()).lower() == char else char for char in value),
)


@given(
    value=st.text(st.characters(codec="utf-8"), min_size=8),
    around=st.tuples(st.text(max_size=20), st.text(max_size=20)),
    spelling=st.sampled_from(SPELLINGS),
)
def test_a_long_value_is_found_in_every_spelling(
    value: str, around: tuple[str, str], spelling: Callable[[str], str]
) -> None:
    assume(address(value) is None)
    before, after = around
    left = scrubber(value).text(before + spelling(value) + after)
    assert left is not None
    assert "<0>" in left
    assert len(left) < len(before + spelling(value) + after)


@given(text=st.text(max_size=200), value=st.text(min_size=1, max_size=20))
def test_what_is_not_there_changes_nothing(text: str, value: str) -> None:
    assume(value.lower() not in text.lower())
    assume(all(escape not in text for escape in "\\%+&"))
    assert scrubber(value).text(text) == text


@given(
    value=st.sampled_from(("a", "aa", "ab", "a.b", "7", "_", "20", "é")),
    text=st.text(st.sampled_from("ab7._ \\n%20uéÉ\n"), max_size=300),
)
def test_a_pattern_finds_the_places_that_looking_at_each_finds(value: str, text: str) -> None:
    """Beyond some places the one takes over from the other."""
    found = []
    for patience in (0, 10**9):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(scrub, "_PATIENCE", patience)
            found.append(scrubber(value).text(text))
    assert found[0] == found[1]


@pytest.mark.parametrize("value", ["a", "aaaaaaaa", "203.0.113.7", "2001:db8::1"])
@pytest.mark.parametrize(
    "piece", ["a", "a ", "\\na", "203.0.113.7", "203.0.113.70.", "2001:db8::1"]
)
def test_a_megabyte_of_one_thing_takes_no_time(value: str, piece: str) -> None:
    """A time-out of the whole suite is the measure: each place by itself would take minutes."""
    text = piece * (1_000_000 // len(piece))
    left = scrubber(value).text(text)
    assert left is not None
