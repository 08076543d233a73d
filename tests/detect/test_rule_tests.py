"""Tests of rules: in the file or beside it; whether they match, and what alert comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from detect.rule_tests import ran, run
from detect.sigma import RuleSet, load_rules
from tests.detect.sigma.support import ANYTHING, rule, write
from tocsin.errors import ContentErrors

if TYPE_CHECKING:
    from pathlib import Path

EVENT = {"field": "value", "source": {"ip": "192.0.2.7"}, "host": {"name": "web-1"}}
COUNTED = {
    "title": "Several",
    "id": "00000000-0000-4000-8000-00000000c001",
    "level": "critical",
    "correlation": {
        "type": "event_count",
        "rules": ["one"],
        "group-by": ["source.ip"],
        "timespan": "5m",
        "condition": {"gte": 3},
    },
}


def loaded(path: Path) -> RuleSet:
    return load_rules([path], builtin=False, taxonomy=ANYTHING)


def problems(directory: Path, *tests: dict[str, Any], **changes: Any) -> list[str]:
    path = write(directory, rule(1, tests=list(tests), **changes))
    return [failure.problem for failure in run(loaded(path))]


def test_the_alert_is_what_the_analyst_sees(tmp_path: Path) -> None:
    alert = {
        "title": "Rule 1: 1 event from 192.0.2.7 on web-1",
        "severity": "high",
        "key": {"source.ip": "192.0.2.7", "host.name": "web-1"},
        "count": 1,
    }
    assert problems(tmp_path, {"match": True, "event": EVENT, "alert": alert}) == []
    own = {"dedup": ["host.name"], "severity": 12}
    key = {"host.name": "web-1"}
    alert |= {"severity": 12, "key": key, "title": "Rule 1: 1 event on web-1"}
    assert problems(tmp_path, {"match": True, "event": EVENT, "alert": alert}, tocsin=own) == []


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        ({"title": "Rule 1"}, "title is 'Rule 1: 1 event from 192.0.2.7 on web-1', not 'Rule 1'"),
        ({"severity": 5}, "severity is 73, not 5"),
        ({"key": {"host.name": "web-2"}}, "key is {"),
        ({"count": 2}, "count is 1, not 2"),
        ({"severity": "huge"}, "the test is not valid: alert.severity"),
        ({"key": "x"}, "the test is not valid: alert.key"),
        ({"colour": "red"}, "the test is not valid: alert has"),
        ({}, "the test is not valid: alert has"),
        ({"count": "many"}, "the test is not valid: alert.count"),
    ],
)
def test_another_alert_is_a_failure(tmp_path: Path, alert: dict[str, Any], words: str) -> None:
    (problem,) = problems(tmp_path, {"match": True, "event": EVENT, "alert": alert})
    assert words in problem


def test_an_alert_is_not_expected_where_nothing_matches(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, {"match": False, "event": {}, "alert": {"count": 1}})
    assert "there is no alert where match is false" in problem


def test_a_rule_that_does_not_alert_has_none(tmp_path: Path) -> None:
    test = {"match": True, "event": EVENT, "alert": {"count": 1}}
    (problem,) = problems(tmp_path, test, tocsin={"alert": False})
    assert "no alert" in problem


def test_the_alert_of_a_correlation(tmp_path: Path) -> None:
    test = {
        "match": True,
        "events": [{"repeat": 4, "every": "5s", "event": EVENT}],
        "alert": {"severity": "critical", "count": 4, "key": {"source.ip": "192.0.2.7"}},
    }
    path = write(tmp_path, rule(1, name="one"), {**COUNTED, "tests": [test]})
    assert run(loaded(path)) == []
    test["alert"] = {"count": 5}
    path = write(tmp_path, rule(1, name="one"), {**COUNTED, "tests": [test]})
    (failure,) = run(loaded(path))
    assert "count is 4, not 5" in failure.problem
    assert failure.place.line > 1
    assert str(failure).startswith(f"{path}:{failure.place.line}")


def beside(path: Path, *tests: dict[str, Any], name: str = "rules.test.yml") -> None:
    (path.parent / name).write_text(yaml.safe_dump({"tests": list(tests)}), "utf-8")


def test_tests_beside_the_rule_run_too(tmp_path: Path) -> None:
    path = write(tmp_path, rule(1, name="one", tests=[{"match": True, "event": EVENT}]))
    beside(path, {"match": False, "event": {}}, {"match": True, "event": {}})
    (failure,) = run(loaded(path))
    assert "does not match, but should" in failure.problem
    result = ran(loaded(tmp_path), required=True)
    assert (result.rules, result.tests, len(result.failures)) == (1, 3, 1)


def test_tests_beside_several_rules_name_theirs(tmp_path: Path) -> None:
    path = write(tmp_path, rule(1, name="one"), rule(2), COUNTED)
    beside(
        path,
        {"rule": "one", "match": True, "event": EVENT},
        {"rule": rule(2)["id"], "match": False, "event": {}},
        {"rule": COUNTED["id"], "match": True, "events": [{"repeat": 3, "event": EVENT}]},
    )
    result = ran(loaded(path))
    assert result.failures == []
    assert result.tests == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tests: [{match: true, event: {}}]", "says not which rule it is of"),
        ("tests: [{rule: three, match: true, event: {}}]", "'three', which is not beside"),
        ("tests: {}", "a file of tests has a list"),
        ("tests: []\nmore: 1", "a file of tests has a list"),
        ("tests: [", "no YAML"),
        ("\udcff", "cannot be read"),
    ],
)
def test_a_wrong_file_of_tests_is_said(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, rule(1, name="one"), rule(2))
    (tmp_path / "rules.test.yml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ContentErrors) as caught:
        run(loaded(path))
    assert words in str(caught.value)
    assert "rules.test.yml" in str(caught.value)


def test_tests_beside_are_no_rules(tmp_path: Path) -> None:
    write(tmp_path, rule(1))
    beside(tmp_path / "rules.yml", name="rules.test.yaml")
    assert len(loaded(tmp_path).rules) == 1
