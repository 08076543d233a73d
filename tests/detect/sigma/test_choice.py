"""What the configuration says of single rules: disabled, another severity, excepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.detect.sigma.support import load, rule
from tocsin.config import RuleSettings
from tocsin.errors import ContentErrors

if TYPE_CHECKING:
    from pathlib import Path

COUNTED = {
    "title": "Several",
    "name": "several",
    "correlation": {
        "type": "event_count",
        "rules": ["one"],
        "group-by": ["f"],
        "timespan": "5m",
        "condition": {"gte": 3},
    },
}
EXCEPTED = {
    "title": "Not the backup",
    "id": "00000000-0000-4000-8000-00000000f001",
    "logsource": {"category": "test"},
    "filter": {"rules": ["one"], "s": {"host": "backup"}, "condition": "not s"},
}


def test_a_severity_replaces_that_of_rules_and_correlations(tmp_path: Path) -> None:
    own = rule(1, name="one", tocsin={"severity": 5, "window": "5m"})
    chosen = {"one": 80, "several": 20}
    found = load(tmp_path, own, rule(2), COUNTED, severity=chosen)
    assert [r.policy.severity for r in found.rules] == [80, 0]
    assert found.rules[0].policy.window == 300_000
    assert found.correlations[0].policy.severity == 20
    unchanged = load(tmp_path, own, rule(2), COUNTED)
    assert [r.rule for r in found.rules] == [r.rule for r in unchanged.rules]


@pytest.mark.parametrize("option", ["severity", "disable"])
def test_a_name_that_no_rule_has_is_a_mistake(tmp_path: Path, option: str) -> None:
    with pytest.raises(ContentErrors) as caught:
        load(tmp_path, rule(1, name="ssh_guessing"), **{option: {"ssh_gessing": 80}})
    text = str(caught.value)
    assert f"rules.{option}: no rule has the id or name 'ssh_gessing'" in text
    assert "did you mean ssh_guessing?" in text


def test_a_level_is_a_severity_too() -> None:
    chosen = RuleSettings(severity={"a": "critical", "b": 12, "c": "low"})  # type: ignore[dict-item]
    assert chosen.severity == {"a": 99, "b": 12, "c": 21}
    for wrong in ("huge", 101, -1):
        with pytest.raises(ValueError, match="severity"):
            RuleSettings(severity={"a": wrong})  # type: ignore[dict-item]


def test_a_rule_tells_its_exceptions(tmp_path: Path) -> None:
    found = load(tmp_path, rule(1, name="one"), rule(2), EXCEPTED)
    assert [f.title for f in found.filters] == ["Not the backup"]
    assert [len(r.filters) for r in found.rules] == [1, 0]
    assert found.filters[0].place.line > 1
    assert [len(found.match({"field": "value", **more})) for more in ({}, {"host": "backup"})] == [
        2,
        1,
    ]
