"""Lists of the site in place of placeholders: long ones, several at once, and within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detect.sigma.expansion import MAX_VALUES
from tests.detect.sigma.support import load, rule

if TYPE_CHECKING:
    from pathlib import Path

    from detect.sigma import RuleSet


def loaded(directory: Path, key: str, value: str, **lists: list[str]) -> RuleSet:
    asked: dict[str, Any] = {"selection": {key: value}, "condition": "selection"}
    return load(directory, rule(1, detection=asked), placeholders=lists)


def test_a_list_of_a_site_is_long(tmp_path: Path) -> None:
    hosts = [f"host-{n:05}" for n in range(20_000)]
    rules = loaded(tmp_path, "field|expand", "%hosts%", hosts=hosts)
    assert rules.match({"field": "HOST-19999"})
    assert not rules.match({"field": "host-20000"})


def test_several_placeholders_are_combined(tmp_path: Path) -> None:
    rules = loaded(tmp_path, "field|expand", "%a%*%b%", a=["x", "y"], b=["1", ""])
    assert [bool(rules.match({"field": text})) for text in ("x-1", "y-", "z-1")] == [
        True,
        True,
        False,
    ]


def test_more_combinations_than_may_be_are_refused(tmp_path: Path) -> None:
    many = [str(n) for n in range(1_000)]
    rules = loaded(tmp_path, "field|expand", "%a%-%a%", a=many)
    assert [refused.reason for refused in rules.unsupported] == [
        f"the placeholders of '%a%-%a%' make over {MAX_VALUES} values"
    ]


def test_expressions_take_texts_as_they_are(tmp_path: Path) -> None:
    texts = ["a.b", "(c", "d*", "e\\f", "g h", "ü?"]
    rules = loaded(tmp_path, "field|re|expand", "^%names%!$", names=texts)
    assert all(rules.match({"field": f"{text}!"}) for text in texts)
    assert not any(rules.match({"field": f"{text}!"}) for text in ("axb", "d", "dd", "u"))
