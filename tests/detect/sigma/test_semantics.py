"""The vectors that say what Sigma means here, and the pieces that they cannot reach."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sigma.modifiers import modifier_mapping
from sigma.types import SigmaString

from detect.sigma.compile import string_pattern
from detect.sigma.event import FieldMap, Reader
from detect.sigma.values import fold, value
from tests.detect.sigma.support import load, rule
from tocsin.errors import BadInput

VECTORS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "vectors.yml").read_text("utf-8")
)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_vector(vector: dict[str, Any], tmp_path: Path) -> None:
    detection = vector.get("detection") or {
        "selection": vector["selection"],
        "condition": "selection",
    }
    rules = load(tmp_path, rule(detection=detection), placeholders=vector.get("placeholders"))
    assert not rules.unsupported
    for event in vector["match"]:
        assert rules.match(event), f"must match {event}"
    for event in vector.get("miss", []):
        assert not rules.match(event), f"must not match {event}"


def test_every_modifier_has_a_vector() -> None:
    text = yaml.safe_dump(VECTORS)
    used = set(re.findall(r"\|(\w+)", text))
    same = {"dotall": "s", "ignorecase": "i", "multiline": "m"}
    assert {same.get(name, name) for name in modifier_mapping} <= used


def test_names_of_vectors_are_unique() -> None:
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS)


def test_reasons_name_selection_field_value_and_modifier(tmp_path: Path) -> None:
    detection = {"tool": {"cmd|contains": ["xx", "net"]}, "old": {"a": 1}, "condition": "1 of them"}
    (match,) = load(tmp_path, rule(detection=detection)).match({"cmd": "NET user"})
    (hit,) = match.hits
    assert hit == ("tool", "cmd", "cmd", "contains", "net", "NET user")


def test_explanation_shows_every_part_and_what_was_there(tmp_path: Path) -> None:
    rules = load(
        tmp_path,
        rule(detection={"a": {"f": "x"}, "b": {"g|contains": "y"}, "condition": "a and not b"}),
    )
    (explanation,) = rules.explain({"f": "x", "g": "xyz"}, rules.rules[0].rule.id)
    assert not explanation.matched
    assert [(step.depth, step.asked, step.held) for step in explanation.steps] == [
        (0, "all of", False),
        (1, "a: f: x", True),
        (1, "not", False),
        (2, "b: g|contains: y", True),
    ]
    assert explanation.steps[3].found == ("xyz",)


def test_explaining_an_unknown_rule_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        load(tmp_path, rule()).explain({}, "unknown")


@given(
    st.text("ab*?\\", max_size=8),
    st.text("abAB*?\\\n", max_size=12),
)
def test_wildcards_mean_what_an_expression_would(pattern: str, text: str) -> None:
    parsed = SigmaString(pattern)
    expression = "".join(
        re.escape(part) if isinstance(part, str) else ".*" if part.name.endswith("MULTI") else "."
        for part in parsed.s
        if isinstance(part, str) or hasattr(part, "name")
    )
    expected = re.fullmatch(expression, text, re.DOTALL | re.IGNORECASE) is not None
    assert string_pattern(parsed).accepts(value(text)) is expected


def test_many_wildcards_take_no_time() -> None:
    pattern = string_pattern(SigmaString("*a*a*a*a*a*a*a*a*a*a*b*"))
    begun = time.process_time()
    assert not pattern.accepts(value("a" * 200_000))
    assert time.process_time() - begun < 5


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_lone_surrogates_are_matched_by_expressions_without_an_error(tmp_path: Path) -> None:
    detection = {"selection": {"field|re": "a.*b"}, "condition": "selection"}
    assert load(tmp_path, rule(detection=detection)).match({"field": "a\ud800b"})


def test_an_object_too_deep_to_write_down_is_bad_input() -> None:
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"x": deep}
    with pytest.raises(BadInput) as caught:
        Reader({"field": deep}, FieldMap()).field("field")
    assert caught.value.reason_code == "too_deep"


def test_lists_nested_deeply_are_read_without_recursion() -> None:
    nested: Any = "value"
    for _ in range(5000):
        nested = [nested]
    assert Reader({"field": nested}, FieldMap()).field("field").values[0].text == "value"


def test_huge_numbers_are_compared_as_text_not_parsed(tmp_path: Path) -> None:
    detection = {"selection": {"field|gt": 5}, "condition": "selection"}
    assert not load(tmp_path, rule(detection=detection)).match({"field": "9" * 10_000})
