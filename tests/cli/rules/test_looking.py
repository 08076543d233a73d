"""`tocsin rules check | list | lint | test | diff`: what they say, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cli.rules.conftest import BACKUP, ROOT_SHELL, Place, shell_rule, sudo_line

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

COUNTED = {
    "title": "Several root shells",
    "id": "00000000-0000-4000-8000-00000000c001",
    "level": "critical",
    "correlation": {
        "type": "event_count",
        "rules": ["root_shell"],
        "group-by": ["host.name"],
        "timespan": "5m",
        "condition": {"gte": 3},
    },
}


def test_list_tells_severity_and_state(run: Run, site: Place) -> None:
    site.write(shell_rule(), shell_rule(id="0" * 8 + "-0000-4000-8000-000000000002", name="two"))
    site.configure(severity={"root_shell": "critical"}, disable=["two"])
    ran = run("list", "--json")
    first, second = sorted(ran.rows(), key=lambda row: str(row["id"]), reverse=True)
    assert ran.code == 0
    assert (first["severity"], first["state"]) == (99, "alerts")
    assert first["where"].endswith("shell.yml:1")
    assert (second["severity"], second["state"]) == (73, "disabled")
    assert "Shell as root" in run("list").out


def test_list_tells_what_feeds_and_what_cannot_be_evaluated(run: Run, site: Place) -> None:
    broken = shell_rule(
        id="00000000-0000-4000-8000-000000000009",
        name=None,
        detection={"s": {"f|re": "(?=x)y"}, "condition": "s"},
    )
    site.write(shell_rule(), COUNTED, broken)
    states = {row["title"]: row["state"] for row in run("list", "--json").rows()}
    assert states["Several root shells"] == "alerts"
    found = [row for row in run("list", "--json").rows() if row["id"] == ROOT_SHELL]
    assert found[0]["state"] == "feeds correlations"
    assert any(state.startswith("cannot be evaluated: the regular") for state in states.values())
    site.configure(disable=["root_shell"])
    found = [row for row in run("list", "--json").rows() if row["id"] == ROOT_SHELL]
    assert found[0]["state"] == "disabled, feeds correlations"


def test_check_takes_other_rules_too(run: Run, site: Place) -> None:
    site.write(shell_rule(), COUNTED)
    for arguments in (("--rules", site.rules), (site.rules,)):
        ran = run("check", *arguments)
        assert ran.code == 0
        assert "1 rules and 1 correlations can be evaluated" in ran.err
    assert "2 rules and correlations, 0 tests" in run("test", site.rules).err


def test_lint_says_what_is_wrong_and_where(run: Run, site: Place) -> None:
    site.write(shell_rule(author=""), {**shell_rule(), "title": "Twice"})
    ran = run("lint")
    assert ran.code == 1
    assert "shell.yml:1:" in ran.out
    assert "advice: missing-author" in ran.out
    assert "error: load" in ran.out
    assert "1 errors" in ran.err
    rows = run("lint", "--json", "--level", "error").rows()
    assert [row["check"] for row in rows] == ["load"]
    assert rows[0]["line"] > 1
    assert rows[0]["file"].endswith("shell.yml")


def test_lint_fails_on_what_it_is_told_to(run: Run, site: Place) -> None:
    assert run("lint").code == 0
    assert run("lint", "--fail-on", "advice").code == 1
    ignored = ("missing-tests", "missing-falsepositives")
    options = [part for name in ignored for part in ("--ignore", name)]
    ran = run("lint", "--fail-on", "advice", *options)
    assert (ran.code, ran.out) == (0, "")
    assert run("lint", "--ignore", "nonsense").code == 2
    assert "missing-tests" in run("lint", "--checks").out
    assert run("lint", site.rules / "shell.yml", "--level", "warning").out == ""


def test_tests_of_raw_lines_and_beside(run: Run, site: Place) -> None:
    good = {"match": True, "raw": sudo_line("/bin/sh"), "alert": {"severity": "high", "count": 1}}
    site.write(shell_rule(tests=[good]))
    beside = {"tests": [{"match": False, "raw": sudo_line("/bin/ls")}]}
    (site.rules / "shell.test.yml").write_text(yaml.safe_dump(beside), "utf-8")
    ran = run("test", "--required")
    assert ran.code == 0
    assert "1 rules and correlations, 2 tests of 1, 0 failures" in ran.err
    beside["tests"][0]["match"] = True
    (site.rules / "shell.test.yml").write_text(yaml.safe_dump(beside), "utf-8")
    ran = run("test", "--json")
    assert ran.code == 1
    (row,) = ran.rows()
    assert row["rule"] == ROOT_SHELL
    assert row["problem"] == "does not match, but should"
    assert row["line"] == 1


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"detection": {"other": {"COMMAND|contains": "/bin/sh"}, "condition": "other"}}, "text"),
        ({"detection": {"s": {"COMMAND|contains": "/bin/zsh"}, "condition": "s"}}, "logic"),
        ({"level": "low"}, "level (high → low)"),
        ({"title": "Another"}, "title (Shell as root → Another)"),
        ({"tags": ["attack.t1548"]}, "tags"),
        ({"tocsin": {"window": "5m"}}, "alerting"),
        ({"logsource": {"product": "linux"}}, "logic"),
        ({"detection": {"s": {"f|re": "(?=a)b"}, "condition": "s"}}, "evaluation"),
        ({"description": "Other words."}, "text"),
    ],
)
def test_diff_says_what_changed(run: Run, site: Place, changes: dict[str, Any], what: str) -> None:
    old = site.write(shell_rule(), name="old.yml")
    new = site.write(shell_rule(**changes), name="new.yml")
    ran = run("diff", old, new, "--json")
    assert ran.code == 1
    assert [(row["kind"], row["what"]) for row in ran.rows()] == [("changed", [what])]


def test_diff_of_added_removed_filtered_and_equal_sets(run: Run, site: Place) -> None:
    old = site.write(shell_rule(), COUNTED, name="old.yml")
    new = site.write(
        BACKUP, shell_rule(), shell_rule(id="00000000-0000-4000-8000-000000000002", name="two"),
        name="new.yml",
    )  # fmt: skip
    ran = run("diff", old, new, "--json")
    kinds = [(row["kind"], row["title"], row["what"]) for row in ran.rows()]
    assert kinds == [
        ("added", "Shell as root", []),
        ("removed", "Several root shells", []),
        ("changed", "Shell as root", ["alerting", "filters"]),
    ]
    assert "1 added, 1 removed, 1 changed (0 in their logic)" in ran.err
    changed = {**COUNTED, "correlation": {**COUNTED["correlation"], "timespan": "6m"}}  # type: ignore[dict-item]
    other = site.write(shell_rule(), changed, name="other.yml")
    assert run("diff", old, other, "--json").rows()[0]["what"] == ["logic"]
    assert run("diff", old, old).code == 0
    assert "Shell as root" in run("diff", old, new).out


def test_fields_that_nothing_supplies_are_listed_with_the_reason(run: Run, site: Place) -> None:
    asks = {"selection": {"COMMAND": "/bin/sh", "cloud_shoe_size": 44}, "condition": "selection"}
    site.write(shell_rule(detection=asks))
    (row,) = run("fields", "--json").rows()
    assert (row["field"], row["rules"], row["supply"]) == ("cloud_shoe_size", 1, "none")
    assert "no mapping has it" in row["reason"]
    ran = run("fields", "--all")
    assert "COMMAND" in ran.out
    assert "2 fields of 1 rules" in ran.err
    assert "1 supplied by nothing" in ran.err


def test_fields_that_events_lack_are_listed(run: Run, site: Place) -> None:
    asks = {"selection": {"COMMAND": "/bin/sh", "host.os.name": "x"}, "condition": "selection"}
    site.write(shell_rule(detection=asks))
    assert run("fields", "--json").rows() == []
    (row,) = run("fields", site.log(sudo_line("/bin/ls")), "--json").rows()
    assert (row["field"], row["seen"]) == ("host.os.name", 0)
