"""Many texts at once decide and explain what one after the other does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detect.sigma import scanner
from detect.sigma.batch import BatchMatcher, EventText
from detect.sigma.many import MANY, Texts
from tests.detect.sigma.support import load, rule
from tocsin.log.base import MAX_RECORD

if TYPE_CHECKING:
    from pathlib import Path

ALPHABET = st.text("ab\u00fc\u03c3 \U0001f600", max_size=4)


@given(st.lists(ALPHABET, max_size=20), ALPHABET)
def test_texts_are_found_where_python_finds_them(texts: list[str], subject: str) -> None:
    expected = [at for at, text in enumerate(texts) if text in subject and texts.index(text) == at]
    assert Texts(texts).found(subject) == expected
    assert Texts(texts).any_in(subject) is bool(expected)


def test_without_the_fast_engine_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "HYPERSCAN", False)
    texts = Texts(["needle", "other", "needle", ""])
    assert texts.found("a needle and another") == [0, 1, 3]
    assert Texts(["needle", "other"]).found("nothing") == []


VALUES = [f"item {n:06} here" for n in range(MANY * 3)]


@pytest.mark.parametrize(
    "detection",
    [
        {"s": {"f|contains": VALUES}, "condition": "s"},
        {"s": {"f|contains": VALUES, "g": "x"}, "condition": "s"},
        {"s": {"f|contains": VALUES}, "t": {"g": "x"}, "condition": "t and not s"},
        {"s": {"f|contains": VALUES}, "t": {"g": "x"}, "condition": "t or s"},
        {"s": {"f|contains|cased": VALUES}, "condition": "s"},
        {"s": {"f|contains|all": VALUES}, "condition": "s"},
    ],
)
def test_both_matchers_agree_on_long_lists(tmp_path: Path, detection: dict[str, Any]) -> None:
    rules = load(tmp_path, rule(1, detection=detection))
    events: list[dict[str, Any]] = [
        {"f": "an ITEM 000100 HERE and item 000007 here"},
        {"f": ["nothing", "item 000191 here"], "g": "x"},
        {"f": "item 000192 here", "g": "x"},
        {"f": " ".join(VALUES)},
        {"g": "x"},
        {},
    ]
    found = BatchMatcher(rules).match([EventText(orjson.dumps(event)) for event in events])
    for at, event in enumerate(events):
        plain = [(match.rule.rule.id, match.hits) for match in rules.match(event)]
        fast = [(m.rule.rule.id, m.hits) for m in found[at].matches] if at in found else []
        assert fast == plain


def test_a_hundred_thousand_values_on_the_longest_event(tmp_path: Path) -> None:
    """One after the other that takes half a minute, for each event that somebody sends."""
    values = [f"item {n:06}" for n in range(100_000)]
    rules = load(tmp_path, rule(1, detection={"s": {"f|contains": values}, "condition": "s"}))
    matcher = BatchMatcher(rules)
    texts = ["a" * (MAX_RECORD - 200) + end for end in ("", " item 099999")]
    found = matcher.match([EventText(orjson.dumps({"f": text})) for text in texts])
    assert list(found) == [1]
    assert found[1].matches[0].hits[0].expected == "item 099999"
