"""Each check speaks of the rule that it is about, at its line, and keeps quiet about its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from detect.lint import CHECKS, Issue, lint
from detect.sigma import load_rules
from detect.sigma.event import FieldMap
from detect.sigma.taxonomy import Entry, Logsource, Taxonomy, membership
from tests.detect.sigma.support import rule
from tocsin.log.base import MAX_RECORD

if TYPE_CHECKING:
    from pathlib import Path

#: Every event is of `category: test`; fields without a mapping are looked for below `vendor`.
ANYTHING = Taxonomy(
    [
        Entry(
            Logsource(category="test"),
            membership({"never.there|exists": False}),
            FieldMap(roots=("vendor",)),
        )
    ]
)
TESTS = [{"match": True, "event": {"field": "value"}}, {"match": False, "event": {}}]
GOOD = rule(
    description="What it means.",
    author="Somebody",
    tags=["attack.execution", "attack.t1059.001"],
    falsepositives=["Unlikely"],
    tests=TESTS,
)
CORRELATION = {
    "title": "Several",
    "id": "00000000-0000-4000-8000-00000000c001",
    "description": "What it means.",
    "author": "Somebody",
    "level": "high",
    "tags": ["attack.t1110"],
    "falsepositives": ["Unlikely"],
    "tests": TESTS,
    "correlation": {
        "type": "event_count",
        "rules": [GOOD["id"]],
        "timespan": "5m",
        "condition": {"gte": 3},
    },
}
FILTER = {
    "title": "Not the backup",
    "id": "00000000-0000-4000-8000-00000000f001",
    "description": "The backup does this all day.",
    "author": "Somebody",
    "falsepositives": ["None"],
    "logsource": {"category": "test"},
    "filter": {"rules": [GOOD["id"]], "s": {"host": "backup"}, "condition": "not s"},
}


def looked_at(
    directory: Path, *contents: dict[str, Any], taxonomy: Taxonomy | None = ANYTHING, **options: Any
) -> list[Issue]:
    path = directory / "rules.yml"
    path.write_text(yaml.safe_dump_all(contents, sort_keys=False), "utf-8")
    return lint([path], taxonomy=taxonomy, **options)


def detection(**parts: Any) -> dict[str, Any]:
    return {**GOOD, "detection": {"condition": "s", **parts}}


#: Check, the rule that it is about, words of the message.
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("missing-id", {k: v for k, v in GOOD.items() if k != "id"}, "another rule"),
    ("missing-description", {**GOOD, "description": ""}, "what they mean"),
    ("missing-author", {**GOOD, "author": ""}, "nobody can be asked"),
    ("missing-level", {k: v for k, v in GOOD.items() if k != "level"}, "counts as medium"),
    ("missing-falsepositives", {**GOOD, "falsepositives": []}, "what else it may be"),
    ("missing-tests", {**GOOD, "tests": TESTS[:1]}, "no test where it does not match"),
    ("missing-tests", {**GOOD, "tests": []}, "no test where it matches nor one where it does not"),
    ("deprecated", {**GOOD, "status": "deprecated"}, "status is deprecated"),
    ("missing-attack", {**GOOD, "tags": ["attack.execution"]}, "no ATT&CK technique"),
    ("unknown-attack", {**GOOD, "tags": ["attack.t1059.099"]}, "T1059 has 13 sub-techniques"),
    ("unknown-attack", {**GOOD, "tags": ["attack.t1002"]}, "no technique T1002"),
    ("unknown-attack", {**GOOD, "tags": ["attack.t1059", "attack.executon"]}, "attack.execution?"),
    ("unknown-attack", {**GOOD, "tags": ["attack.t1068.001"]}, "T1068 has no sub-techniques"),
    ("retired-attack", {**GOOD, "tags": ["attack.t1562.001"]}, "replaced by t1685"),
    ("over-broad", detection(s={"field": "x"}, condition="not s"), "none of its fields"),
    ("over-broad", detection(s={"field": None}), "none of its fields"),
    (
        "contradiction",
        detection(s={"field": "x"}, t={"other": "y"}, condition="s and t and not s"),
        "asked for and excluded",
    ),
    ("unused-selection", detection(s={"field": "x"}, spare={"field": "y"}), "'spare'"),
    ("wildcard-only", detection(s={"field": ["*", "longer"]}), "1 others beside it pointless"),
    ("wildcard-only", detection(s={"field|contains": ""}), "any value"),
    ("plain-regex", detection(s={"field|re": "^evil.exe$".replace(".", " ")}), "is a plain text"),
    ("control-character", detection(s={"field": "C:\temp\\run"}), "control character"),
    ("redundant-value", detection(s={"field": ["Same", "same", "other"]}), "stands 2 times"),
    (
        "no-witness",
        detection(s={"field|re": "^[0-9]+$"}, t={"x": None}, condition="s or t"),
        "ever",
    ),
    ("weak-witness", detection(s={"field|contains": "sh"}), "is 'sh'"),
    ("regex-without-literal", detection(s={"field|re": r"\d{3}-\d{4}"}), "no text that must"),
    ("large-regex", detection(s={"field|re": "evil[a-z]{900}[0-9]{900}.{900}"}), "instructions"),
    (
        "many-values",
        detection(s={"field|contains": [f"value-{n}" for n in range(1_001)]}),
        "1,001 values",
    ),
    ("keywords", detection(s=["some words"]), "whole text"),
    ("ungrouped-correlation", CORRELATION, "no group-by"),
    (
        "unused-filter",
        {**FILTER, "logsource": {"category": "test", "product": "other"}},
        "applies to no rule",
    ),
]


@pytest.mark.parametrize(("check", "content", "words"), BAD, ids=[bad[0] for bad in BAD])
def test_a_check_names_the_rule_it_is_about(
    tmp_path: Path, check: str, content: dict[str, Any], words: str
) -> None:
    others = [] if "detection" in content else [GOOD]
    found = [issue for issue in looked_at(tmp_path, content, *others) if issue.check == check]
    assert len(found) == 1
    assert words in found[0].message
    assert found[0].title == content["title"]
    assert found[0].recommendation
    assert found[0].place.line > 0
    assert f"{found[0].level}: {check}: " in str(found[0])


@pytest.mark.parametrize("name", ["Imaeg", "commandLine", "ParentImages"])
def test_a_mistyped_field_is_told_with_what_was_meant(tmp_path: Path, name: str) -> None:
    logsource = {"product": "windows", "category": "process_creation"}
    asked = {"s": {f"{name}|endswith": "evil.exe", "Image": "x.exe"}, "condition": "s"}
    content = {**GOOD, "logsource": logsource, "detection": asked}
    found = looked_at(tmp_path, content, taxonomy=None)
    (issue,) = [each for each in found if each.check == "mistyped-field"]
    assert f"nothing is mapped as '{name}'; did you mean '" in issue.message
    assert issue.place.key == f"detection.s.{name}|endswith"


def test_every_check_is_tested() -> None:
    tested = {check for check, _, _ in BAD} | {
        "duplicate-title",
        "duplicate-logic",
        "unsupplied-field",
        "mistyped-field",
    }
    assert {check.name for check in CHECKS} == tested
    assert len(CHECKS) == len({check.name for check in CHECKS})


def test_a_good_rule_correlation_and_filter_pass(tmp_path: Path) -> None:
    grouped = {
        **CORRELATION,
        "correlation": {**CORRELATION["correlation"], "group-by": ["host"]},  # type: ignore[dict-item]
    }
    assert looked_at(tmp_path, GOOD, grouped, FILTER) == []


@pytest.mark.parametrize(
    "content",
    [
        {**GOOD, "tags": ["attack.t1059", "attack.g0016", "attack.s0002", "attack.t0801"]},
        {**GOOD, "tags": ["attack.t9999", "car.2013-01-002", "cve.2024-1"]},
        detection(s={"field": "evil.exe"}, t={"field": "good.exe"}, condition="s and not t"),
        detection(
            s={"a": "evil", "b": "worse"},
            t={"a": "evil", "b": "worse", "c": "good"},
            condition="s and not t",
        ),
        detection(s={"field|re": "^evil[.]exe$"}),
        detection(s={"field|endswith": "\\temp"}),
        detection(s={"field|contains|all": ["one", "other"]}),
        detection(s={"field": "*middle*"}),
        detection(s={"field|re": "(?i)(alpha|beta)[0-9]+"}),
        detection(s={"field|wide|base64offset|contains": "text"}),
    ],
)
def test_no_check_cries_wolf(tmp_path: Path, content: dict[str, Any]) -> None:
    assert looked_at(tmp_path, content) == []


def test_twins_are_told(tmp_path: Path) -> None:
    twin = {
        **GOOD,
        "id": "00000000-0000-4000-8000-000000000002",
        "title": "RULE 1",
        "detection": {"other_name": {"field": "VALUE"}, "condition": "other_name"},
    }
    found = looked_at(tmp_path, GOOD, twin)
    assert {issue.check for issue in found} == {"duplicate-logic", "duplicate-title"}
    assert all(issue.rule == twin["id"] for issue in found)
    assert all("rules.yml:1" in issue.message for issue in found)


def test_a_field_that_nobody_supplies(tmp_path: Path) -> None:
    content = {
        **GOOD,
        "logsource": {"product": "linux", "service": "sshd"},
        "detection": {"s": {"nobody_has_this": "x", "source.ip": "192.0.2.1"}, "condition": "s"},
    }
    found = looked_at(tmp_path, content, taxonomy=None)
    assert [issue.check for issue in found] == ["unsupplied-field"]
    assert "'nobody_has_this'" in found[0].message
    assert "nobody_has_this" in found[0].place.key


def test_the_place_is_that_of_the_key(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(
        yaml.safe_dump(GOOD, sort_keys=False)
        + "---\n"
        + yaml.safe_dump(
            {
                **GOOD,
                "id": "00000000-0000-4000-8000-000000000002",
                "title": "Second",
                "detection": {
                    "s": [{"a|contains": "long enough"}, {"b|re": r"\d\d"}],
                    "condition": "s",
                },
            },
            sort_keys=False,
        ),
        "utf-8",
    )
    found = lint([tmp_path], taxonomy=ANYTHING)
    place = next(i.place for i in found if i.check == "regex-without-literal")
    line = (tmp_path / "rules.yml").read_text("utf-8").splitlines()[place.line - 1]
    assert line.strip() == r"- b|re: \d\d"
    assert place.key == "detection.s.1.b|re"


def test_tests_beside_the_rule_count(tmp_path: Path) -> None:
    content = {key: value for key, value in GOOD.items() if key != "tests"}
    assert [issue.check for issue in looked_at(tmp_path, content)] == ["missing-tests"]
    (tmp_path / "rules.test.yml").write_text(yaml.safe_dump({"tests": TESTS}), "utf-8")
    assert looked_at(tmp_path, content) == []
    (tmp_path / "rules.test.yml").write_text(yaml.safe_dump({"tests": [{"rule": "x"}]}), "utf-8")
    assert {issue.check for issue in looked_at(tmp_path, content)} == {"load", "missing-tests"}


def test_checks_can_be_ignored(tmp_path: Path) -> None:
    content = {**GOOD, "author": "", "description": ""}
    found = looked_at(tmp_path, content, ignore={"missing-author"})
    assert [issue.check for issue in found] == ["missing-description"]


def test_a_rule_that_cannot_be_evaluated_is_said_to_be(tmp_path: Path) -> None:
    found = looked_at(tmp_path, detection(s={"field|re": "(?=ahead)x"}))
    assert [issue.check for issue in found] == ["unevaluated"]
    assert "RE2" in found[0].message or "not accepted" in found[0].message


#: A text for each kind of mistake, and words that its report has.
MISTAKES = {
    "yaml": ("title: [", "no YAML"),
    "twice": ("title: a\ntitle: b\n", "stands here twice"),
    "scalar": ("just text", "must be a mapping"),
    "modifier": ("field|contians: x", "Unknown modifier"),
    "regex": ("field|re: '['", "egular expression"),
    "cidr": ("field|cidr: 192.0.2.300/24", "CIDR"),
    "condition": ("condition: selektion", "selektion"),
    "level": ("level: huge", "level"),
    "tag": ("tags: [nonsense]", "tag"),
    "policy": ("tocsin: {window: soon}", "soon"),
    "duplicate": ("id", "is taken by the rule at"),
}


def test_ten_kinds_of_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    for number, (name, (text, _)) in enumerate(MISTAKES.items(), start=1):
        body = rule(number)
        written = yaml.safe_dump(body, sort_keys=False)
        if name in ("yaml", "twice", "scalar"):
            written = text
        elif name in ("modifier", "regex", "cidr"):
            written = written.replace("field: value", text)
        elif name == "condition":
            written = written.replace("condition: selection", text)
        elif name == "level":
            written = written.replace("level: high", text)
        elif name == "duplicate":
            written = yaml.safe_dump(rule(99), sort_keys=False)
            (tmp_path / "zz.yml").write_text(written, "utf-8")
        else:
            written += text + "\n"
        (tmp_path / f"{number:02}-{name}.yml").write_text(written, "utf-8")
    errors = [issue for issue in lint([tmp_path], taxonomy=ANYTHING) if issue.level == "error"]
    assert len(errors) == len(MISTAKES)
    for name, (_, words) in MISTAKES.items():
        (found,) = [e for e in errors if name in e.place.path or (name, e.place.path[-6:]) == (
            "duplicate", "zz.yml")]  # fmt: skip
        assert words in found.message
        assert found.place.line > 0


def test_what_is_dear_is_bounded_and_reported(tmp_path: Path) -> None:
    """An expression that stalls other engines, thousands of values, keywords, an event of 1 MB."""
    contents = [
        {**detection(s={"field|re": "^(a+)+[b-d]$"}), "title": "Backtracks elsewhere"},
        {
            **detection(s={"field|contains": [f"item {n:06}" for n in range(3_000)]}),
            "id": "00000000-0000-4000-8000-000000000002",
            "title": "Many",
        },
        {
            **detection(s=["needle"]),
            "id": "00000000-0000-4000-8000-000000000003",
            "title": "Keywords",
        },
    ]
    found = {(issue.title, issue.check) for issue in looked_at(tmp_path, *contents)}
    assert ("Many", "many-values") in found
    assert ("Keywords", "keywords") in found
    rules = load_rules([tmp_path / "rules.yml"], builtin=False, taxonomy=ANYTHING)
    long = "a" * (MAX_RECORD - 100)
    matched = [match.rule.rule.name for match in rules.match({"field": long + " needle"})]
    assert matched == ["Keywords"]
    assert [m.rule.rule.name for m in rules.match({"field": "item 002999"})] == ["Many"]
    assert [m.rule.rule.name for m in rules.match({"field": "a" * 50_000 + "c"})] == [
        "Backtracks elsewhere"
    ]
