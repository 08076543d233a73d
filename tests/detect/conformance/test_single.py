"""Both matchers give every answer of the vectors about single events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.detect.conformance.cases import REFUSED, SINGLE, identify, loaded
from tests.detect.sigma.test_batch import assert_agree, engine

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["engine"]


@pytest.mark.parametrize("case", SINGLE, ids=identify)
def test_the_plain_matcher(case: dict[str, Any], tmp_path: Path) -> None:
    rules = loaded(tmp_path, case)
    assert not rules.unsupported
    for event in case["match"]:
        assert rules.match(event), f"must match {event}"
    for event in case.get("miss", []):
        assert not rules.match(event), f"must not match {event}"


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("case", SINGLE, ids=identify)
def test_the_indexed_matcher(case: dict[str, Any], tmp_path: Path) -> None:
    # As they come from a topic: what JSON cannot say is not an event.
    given = [orjson.loads(orjson.dumps(e)) for e in [*case["match"], *case.get("miss", [])]]
    assert_agree(loaded(tmp_path, case), given)


@pytest.mark.parametrize("case", REFUSED, ids=identify)
def test_what_says_nothing_is_refused_and_shown(case: dict[str, Any], tmp_path: Path) -> None:
    rules = loaded(tmp_path, case, allow_errors=True)
    said = [str(error) for error in rules.errors] + [each.reason for each in rules.unsupported]
    assert any(case["refused"].lower() in text.lower() for text in said), said
    evaluated = len(rules.rules) if "correlations" not in case else len(rules.correlations)
    filtered = "filters" in case
    assert evaluated == (1 if filtered else 0)
