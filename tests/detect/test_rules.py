"""Our own rules: every rule has what it must have, and its tests pass."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest

from detect.rule_tests import run
from detect.sigma import CompiledRule, load_rules
from tests.detect.sigma.support import load, rule
from tests.detect.sigma.test_correlations import correlation
from tocsin.cli.normalize import library, normalizing
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from detect.model import Correlation

RULES = load_rules([], builtin=True)
ALL: list[CompiledRule | Correlation] = [*RULES.rules, *RULES.correlations]
NAMES = [item.rule.name for item in ALL]


def test_there_are_rules_and_correlations() -> None:
    assert len(ALL) >= 300
    assert len(RULES.correlations) >= 100
    assert not RULES.unsupported


def test_all_tests_of_all_rules_pass() -> None:
    failures = run(RULES, required=True, normalize=normalizing(library(())))
    assert [str(failure) for failure in failures] == []


@pytest.mark.parametrize("item", ALL, ids=NAMES)
def test_every_rule_says_what_people_need(item: CompiledRule | Correlation) -> None:
    rule = item.rule
    assert (rule.author, rule.license) == ("Tocsin", "Apache-2.0")
    assert len(rule.description) > 30
    assert rule.falsepositives
    assert any(re.fullmatch(r"attack\.t\d{4}(\.\d{3})?", tag) for tag in rule.tags)
    assert any(re.fullmatch(r"attack\.[a-z-]+", tag) for tag in rule.tags)


def test_titles_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES)


def test_what_feeds_correlations_does_not_alert() -> None:
    quiet = {item.rule.name for item in RULES.rules if not item.alerts}
    assert {"SSH Login Failed", "SSH Login Succeeded", "Web Request Failed"} <= quiet
    assert quiet == {item.rule.name for item in ALL if item.rule.level == "informational"}
    assert all(correlation.alerts for correlation in RULES.correlations)


def test_a_quiet_rule_says_so_and_feeds_a_correlation() -> None:
    fed = {reference for correlation in RULES.correlations for reference in correlation.references}
    for item in RULES.rules:
        says = "does not alert itself" in " ".join(item.rule.description.split())
        assert says is not item.alerts, item.rule.name
        assert item.alerts or item.rule.id in fed, f"{item.rule.name} is of no use"


def test_correlations_count_what_belongs_together() -> None:
    assert [c.rule.name for c in RULES.correlations if not c.group_by] == []


#: Of documentation, of private networks, of the host itself, of a cloud machine's metadata.
OWN = [
    ip_network(network)
    for network in (
        *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"),
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        *("127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/32"),
    )
]
OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
ADDRESS = re.compile(rf"(?<![\w.]){OCTET}(?:\.{OCTET}){{3}}(?![\w.])")


def test_tests_speak_of_nobodys_addresses() -> None:
    tests = {item.rule.name: item.tests for item in RULES.rules}
    tests |= {c.rule.name: RULES.correlation_tests[c.rule.id] for c in RULES.correlations}
    strange = {
        (name, found)
        for name, given in tests.items()
        for found in ADDRESS.findall(str(given))
        if not any(ip_address(found) in network for network in OWN)
    }
    assert strange == set()


def test_most_rules_are_shown_the_line_as_its_source_writes_it() -> None:
    raw = [item for item in RULES.rules if all("raw" in test for test in item.tests)]
    assert len(raw) >= 180


def test_the_login_after_a_brute_force_is_tagged_for_playbooks() -> None:
    (found,) = (c for c in RULES.correlations if c.rule.name == "SSH Login After Brute Force")
    assert "tocsin.success-after-failures" in found.rule.tags


# --- the runner itself


def _problems(directory: Path, tests: Any, **options: Any) -> list[str]:
    return [failure.problem for failure in run(load(directory, rule(1, tests=tests)), **options)]


HIT, MISS = {"field": "value"}, {"field": "other"}


def test_passing_tests_give_no_failure(tmp_path: Path) -> None:
    tests = [{"match": True, "event": HIT}, {"match": False, "event": MISS}]
    assert _problems(tmp_path, tests, required=True) == []


def test_a_wrong_expectation_fails(tmp_path: Path) -> None:
    tests = [{"match": True, "event": MISS}, {"match": False, "event": HIT}]
    assert _problems(tmp_path, tests) == [
        "does not match, but should",
        "matches, but should not",
    ]


@pytest.mark.parametrize(
    ("tests", "missing"),
    [
        ([], ["true", "false"]),
        ([{"match": True, "event": HIT}], ["false"]),
        ([{"match": False, "event": MISS}], ["true"]),
    ],
)
def test_both_kinds_of_test_are_required(
    tmp_path: Path, tests: list[Any], missing: list[str]
) -> None:
    found = _problems(tmp_path, tests, required=True)
    assert found == [f"no test says match: {kind}" for kind in missing]


@pytest.mark.parametrize(
    "test",
    [
        "words",
        {"match": "yes", "event": HIT},
        {"match": True},
        {"match": True, "event": HIT, "events": []},
        {"match": True, "event": HIT, "raw": "a line"},
        {"match": True, "raw": "a line"},
        {"match": True, "events": [{"raw": "a line", "event": HIT}]},
        {"match": True, "event": "text"},
        {"match": True, "evnet": HIT},
        {"match": True, "events": [{"repeat": 2}]},
        {"match": True, "events": [{"event": HIT, "every": "soon"}]},
        {"match": True, "events": [{"event": HIT, "repeat": 10**9}]},
    ],
)
def test_a_test_that_is_not_valid_fails(tmp_path: Path, test: Any) -> None:
    (problem,) = _problems(tmp_path, [test])
    assert problem.startswith("the test is not valid")


def test_events_over_time_drive_correlations(tmp_path: Path) -> None:
    steps = [{"repeat": 2, "every": "10s", "event": {**HIT, "user": "u"}}]
    last = {"after": "5s", "event": {**HIT, "user": "u"}}
    late = {"after": "5m", "event": {**HIT, "user": "u"}}
    content = correlation() | {
        "tests": [
            {"match": True, "events": [*steps, last]},
            {"match": False, "events": [*steps, late]},
        ]
    }
    rules = load(tmp_path, rule(1), content)
    assert run(rules) == []


def test_numbers_fill_the_placeholder(tmp_path: Path) -> None:
    counted = correlation(
        type="value_count", condition={"gte": 3, "field": "name"}, **{"group-by": None}
    )
    step = {"repeat": 3, "event": {**HIT, "name": "u{n}"}}
    counted["tests"] = [{"match": True, "events": [step]}]
    assert run(load(tmp_path, rule(1), counted)) == []


def _read(data: bytes) -> list[dict[str, Any]]:
    if not data:
        raise BadInput("empty", "nothing but blanks")
    return [{"field": word} for word in data.decode().split()]


def test_raw_records_are_normalized_first(tmp_path: Path) -> None:
    tests = [{"match": True, "raw": "other value"}, {"match": False, "raw": {"value": "{n}"}}]
    assert _problems(tmp_path, tests, normalize=_read, required=True) == []


@pytest.mark.parametrize("raw", ["", " "])
def test_raw_records_that_give_no_event_fail(tmp_path: Path, raw: str) -> None:
    (problem,) = _problems(tmp_path, [{"match": False, "raw": raw}], normalize=_read)
    assert problem.startswith("the test is not valid")


def test_a_rule_that_cannot_be_evaluated_fails_where_tests_are_required(tmp_path: Path) -> None:
    rules = load(tmp_path, rule(1, logsource={"product": "vms"}))
    (failure,) = run(rules, required=True)
    assert "no taxonomy" in str(failure)
