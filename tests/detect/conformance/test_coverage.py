"""The vectors are complete, well-formed, and every decision of the documentation has one."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, get_args

import pytest
from sigma.modifiers import modifier_mapping

import detect
from detect.conditions import Operator
from detect.model import CorrelationType
from tests.detect.conformance.cases import CASES, CORRELATED, SINGLE, identify

DOCUMENT = Path(detect.__path__[0]).parent / "docs" / "sigma.md"
KEYS = {
    *("id", "covers", "why", "open", "rule", "detection", "filters", "placeholders"),
    *("match", "miss", "refused", "correlations", "events", "until", "satisfied", "alerting"),
    "file",
}
VALUES = {
    *("string", "wildcard", "escape", "number", "boolean", "null", "empty", "empty-list", "list"),
    *("object", "regex", "cidr", "fieldref", "time", "placeholder"),
}
CONDITIONS = {
    *("and", "or", "not", "parentheses", "1-of", "all-of", "any-of", "them", "name"),
    *("list-of-conditions", "map", "list"),
}
FEATURES = {
    *("window", "order", "group-by", "aliases", "closing", "silence", "boolean", "chain"),
    *("generate", "fraction"),
}
REQUIRED = {
    *(f"modifier:{name}" for name in {*modifier_mapping, "utf16le"}),
    *(f"value:{name}" for name in VALUES),
    *(f"condition:{name}" for name in CONDITIONS),
    *(f"correlation:{name}" for name in get_args(CorrelationType)),
    *(f"operator:{name}" for name in (*get_args(Operator), "range")),
    *(f"correlate:{name}" for name in FEATURES),
    *("keyword", "filter"),
}


def pairs(case: dict[str, Any]) -> tuple[int, int]:
    """How many events match and how many do not; for correlations, which satisfy."""
    if "refused" in case:
        return 0, 1
    if "correlations" not in case:
        return len(case["match"]), len(case.get("miss", []))
    satisfied = {event for found in case["satisfied"].values() for event in found}
    return len(satisfied), len(case["events"]) - len(satisfied)


def test_everything_is_covered_by_three_pairs_positive_and_negative() -> None:
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for case in CASES:
        for name in case["covers"]:
            for kind, count in enumerate(pairs(case)):
                found[name][kind] += count
    poor = {n: found[n] for n in REQUIRED if sum(found[n]) < 3 or not all(found[n])}
    assert poor == {}


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_a_case_says_what_it_must(case: dict[str, Any]) -> None:
    assert set(case) <= KEYS
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", case["id"])
    assert case["covers"]
    assert len(case["why"]) > 8
    assert case["why"].endswith(".")
    assert case.get("open", True) is True
    assert ("detection" in case or "rule" in case) != ("correlations" in case)


def test_ids_are_unique() -> None:
    assert len({case["id"] for case in CASES}) == len(CASES)


def test_there_are_many() -> None:
    assert len(SINGLE) > 120
    assert len(CORRELATED) > 45


def test_every_decision_of_the_documentation_has_a_vector() -> None:
    """Each row and point of the sections about semantics names a case that shows it."""
    text = DOCUMENT.read_text("utf-8")
    ids = {case["id"] for case in CASES}
    without = []
    for title in ("Values", "Modifiers", "Keywords", "Conditions", "Correlations"):
        section = re.split(rf"^## {title}$", text, flags=re.MULTILINE)[1].split("\n## ")[0]
        for line in section.splitlines():
            row = line.startswith("| ") and not line.startswith(("| question", "|---"))
            if row or line.startswith("- "):
                named = set(re.findall(r"\[`([a-z0-9-]+)`\]", line))
                if not named & ids:
                    without.append(line[:70])
    assert without == []


def test_every_answer_that_the_specification_does_not_give_is_documented() -> None:
    named = set(re.findall(r"\[`([a-z0-9-]+)`\]", DOCUMENT.read_text("utf-8")))
    assert {case["id"] for case in CASES if case.get("open")} - named == set()


def test_the_documentation_names_no_case_that_is_not_there() -> None:
    text = DOCUMENT.read_text("utf-8")
    named = set(re.findall(r"\[`([a-z0-9-]+)`\]", text))
    assert named <= {case["id"] for case in CASES}
