"""Correlation rules: resolved references, what alerts, what is not supported, the replay."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from detect.conditions import Bound, Condition, Term
from detect.sigma.replay import replay
from tests.detect.sigma.support import load, rule
from tocsin.errors import ContentErrors

if TYPE_CHECKING:
    from pathlib import Path

    from detect.sigma import RuleSet

ONE, TWO = (f"00000000-0000-4000-8000-{n:012d}" for n in (1, 2))


def correlation(number: Any = 101, **changes: Any) -> dict[str, Any]:
    top: dict[str, Any] = {key: changes.pop(key) for key in ("tocsin", "name") if key in changes}
    content: dict[str, Any] = {
        "title": f"Correlation {number}",
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "correlation": {
            "type": "event_count",
            "rules": [ONE],
            "group-by": ["user"],
            "timespan": "1m",
            "condition": {"gte": 3},
            **changes,
        },
        **top,
    }
    content["correlation"] = {k: v for k, v in content["correlation"].items() if v is not None}
    return content


def test_a_correlation_is_resolved(tmp_path: Path) -> None:
    rules = load(
        tmp_path,
        rule(1, name="first"),
        correlation(
            rules=["first"],
            aliases={"who": {"first": "user"}},
            **{"group-by": ["who"], "condition": {"gt": 3}, "timespan": "2h"},
        ),
    )
    (found,) = rules.correlations
    assert found.references == (ONE,)
    assert found.aliases == {"who": {ONE: "user"}}
    assert found.condition == Condition("events", 7_200_000, (Bound("gt", 3),))
    assert (found.condition.threshold, found.timespan, found.alerts) == (4, 7_200_000, True)
    assert found.rule.type == "correlation"
    assert rules.referring(ONE) == (found,)


def _alerting(rules: RuleSet) -> set[str]:
    return {r.rule.name for r in rules.rules if r.alerts} | {
        c.rule.name for c in rules.correlations if c.alerts
    }


def test_a_referenced_rule_is_quiet_unless_the_correlation_generates(tmp_path: Path) -> None:
    assert _alerting(load(tmp_path, rule(1), correlation())) == {"Correlation 101"}
    generating = load(tmp_path, rule(1), correlation(generate=True))
    assert _alerting(generating) == {"Rule 1", "Correlation 101"}
    both = load(tmp_path, rule(1), correlation(generate=True), correlation(102))
    assert _alerting(both) == {"Correlation 101", "Correlation 102"}


def test_a_rule_may_say_that_it_never_alerts(tmp_path: Path) -> None:
    rules = load(tmp_path, rule(1, tocsin={"alert": False}), correlation(generate=True))
    assert _alerting(rules) == {"Correlation 101"}


def test_disabled_rules_still_feed_correlations(tmp_path: Path) -> None:
    rules = load(tmp_path, rule(1), rule(2), correlation(generate=True), disable=[ONE, TWO])
    assert [r.rule.name for r in rules.rules] == ["Rule 1"]
    assert _alerting(rules) == {"Correlation 101"}


def test_disabling_a_correlation_does_not_wake_its_rules(tmp_path: Path) -> None:
    rules = load(tmp_path, rule(1), correlation(name="burst"), disable=["burst"])
    assert not rules.correlations
    assert _alerting(rules) == set()


def test_disabling_what_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ContentErrors, match="no rule has the id or name 'gone'"):
        load(tmp_path, rule(1), disable=["gone"])


def test_an_unknown_reference_is_a_mistake_at_its_line(tmp_path: Path) -> None:
    with pytest.raises(ContentErrors) as caught:
        load(tmp_path, rule(1), correlation(rules=["gone"]))
    assert caught.value.errors[0].place.key == "correlation.rules"


MINUTE = 60_000


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"condition": {"lt": 5}}, Condition("events", MINUTE, (Bound("lt", 5),))),
        ({"condition": {"eq": 0}}, Condition("events", MINUTE, (Bound("eq", 0),))),
        ({"condition": {"gte": 2.5}}, Condition("events", MINUTE, (Bound("gte", Fraction(5, 2)),))),
        (
            {"condition": {"gt": 2, "lte": 9}},
            Condition("events", MINUTE, (Bound("gt", 2), Bound("lte", 9))),
        ),
        (
            {"type": "value_count", "condition": {"neq": 2, "field": ["a", "b"]}},
            Condition("values", MINUTE, (Bound("neq", 2),)),
        ),
        (
            {"type": "value_sum", "condition": {"gte": 0.5, "field": "n"}},
            Condition("sum", MINUTE, (Bound("gte", Fraction(1, 2)),)),
        ),
        (
            {"type": "value_avg", "condition": {"lt": -1, "field": "n"}},
            Condition("average", MINUTE, (Bound("lt", -1),)),
        ),
        (
            {"type": "value_median", "condition": {"gte": 1, "field": "n"}},
            Condition("median", MINUTE, (Bound("gte", 1),)),
        ),
        (
            {"type": "value_percentile", "condition": {"gt": 1, "field": "n", "percentile": 95}},
            Condition("percentile", MINUTE, (Bound("gt", 1),), percentile=95),
        ),
        (
            {"type": "temporal", "rules": [ONE, TWO], "condition": {"lt": 2}},
            Condition("rules", MINUTE, (Bound("lt", 2),)),
        ),
        (
            {"type": "temporal_ordered", "rules": [ONE, TWO], "condition": {"gte": 1}},
            Condition("chain", MINUTE, (Bound("gte", 1),), (ONE, TWO)),
        ),
        (
            {"type": "temporal", "rules": ["first", "second"], "condition": "first and not second"},
            Condition("terms", MINUTE, terms=(Term((ONE,), frozenset({TWO})),)),
        ),
        (
            {"type": "temporal_ordered", "rules": None, "condition": "second and first"},
            Condition("terms", MINUTE, terms=(Term((TWO, ONE)),), ordered=True),
        ),
        (
            {"type": "temporal", "rules": None, "condition": "not (not first and not second)"},
            Condition("terms", MINUTE, terms=(Term((ONE,)), Term((TWO,)))),
        ),
    ],
)
def test_conditions_are_resolved(
    tmp_path: Path, changes: dict[str, Any], expected: Condition
) -> None:
    rules = load(tmp_path, rule(1, name="first"), rule(2, name="second"), correlation(**changes))
    assert not rules.unsupported
    (found,) = rules.correlations
    assert found.condition == expected
    assert set(found.references) == {ONE, *({TWO} if len(found.references) > 1 else set())}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"condition": {"gte": 0}}, "without any event"),
        ({"condition": {"lt": 0}}, "nothing reaches"),
        ({"condition": {"eq": 2.5}}, "nothing reaches"),
        ({"condition": {"gt": 5, "lt": 3}}, "nothing reaches"),
        ({"type": "value_sum", "condition": {"gte": 0, "field": "n"}}, "without any event"),
        ({"type": "value_avg", "condition": {"gte": 1, "field": ["a", "b"]}}, "several fields"),
        ({"type": "value_percentile", "condition": {"gte": 1, "field": "n"}}, "percentile"),
        (
            {"type": "value_percentile", "condition": {"gt": 1, "field": "n", "percentile": 101}},
            "percentile",
        ),
        ({"type": "temporal", "rules": [ONE, TWO], "condition": {"gte": 3}}, "nothing reaches"),
        ({"type": "temporal_ordered", "rules": [ONE, TWO], "condition": {"gt": 2}}, "over 2 rules"),
        ({"type": "temporal", "rules": None, "condition": "first and not first"}, "excludes"),
        ({"type": "temporal", "rules": None, "condition": "not first"}, "without any event"),
        ({"type": "temporal", "rules": None, "condition": "first or not second"}, "any event"),
    ],
)
def test_what_no_events_could_satisfy_is_shown(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    rules = load(tmp_path, rule(1, name="first"), rule(2, name="second"), correlation(**changes))
    assert not rules.correlations
    (refused,) = rules.unsupported
    assert refused.title == "Correlation 101"
    assert reason in refused.reason


def test_a_condition_of_many_alternatives_is_not_supported(tmp_path: Path) -> None:
    pairs = " and ".join(f"(r{n} or s{n})" for n in range(7))
    made = [rule(n * 2 + k + 1, name=f"{'rs'[k]}{n}") for n in range(7) for k in (0, 1)]
    rules = load(tmp_path, *made, correlation(type="temporal", rules=None, condition=pairs))
    (refused,) = rules.unsupported
    assert "64 alternatives" in refused.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"condition": {"gte": "many"}}, "no valid Sigma correlation condition count"),
        ({"condition": {"gte": 1, "lt": "many"}}, "no valid Sigma correlation condition count"),
        ({"condition": {"above": 1}}, "exactly one condition item"),
        ({"type": "temporal", "rules": None, "condition": "first and"}, "parse"),
        ({"type": "temporal", "rules": None, "condition": "first and gone"}, "gone"),
        ({"type": "temporal", "rules": ["first", "second"], "condition": "first"}, "second"),
        ({"type": "value_sum", "condition": {"gte": 1}}, "without field reference"),
        ({"type": "value_max", "condition": {"gte": 1}}, "value_max"),
        ({"timespan": "soon"}, "soon"),
        ({"aliases": {"who": "user"}}, "alias"),
        ({"rules": None}, "rule references"),
    ],
)
def test_a_mistake_in_a_correlation_is_reported_in_its_file(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ContentErrors) as caught:
        load(tmp_path, rule(1, name="first"), rule(2, name="second"), correlation(**changes))
    (error, *_) = caught.value.errors
    assert words in str(error)
    assert error.place.line > 20


def test_rules_that_only_a_condition_names_do_not_alert(tmp_path: Path) -> None:
    both = correlation(type="temporal", rules=None, condition="first and second")
    rules = load(tmp_path, rule(1, name="first"), rule(2, name="second"), both)
    assert _alerting(rules) == {"Correlation 101"}


def test_a_correlation_over_what_cannot_be_evaluated_is_shown_too(tmp_path: Path) -> None:
    rules = load(tmp_path, rule(1, logsource={"product": "vms"}), correlation())
    assert [refused.title for refused in rules.unsupported] == ["Rule 1", "Correlation 101"]


def test_correlations_that_refer_to_each_other_are_not_supported(tmp_path: Path) -> None:
    first, second = "00000000-0000-4000-8000-000000000101", "00000000-0000-4000-8000-000000000102"
    rules = load(tmp_path, correlation(101, rules=[second]), correlation(102, rules=[first]))
    assert len(rules.unsupported) == 2
    assert not rules.correlations


# --- the replay


def _events(*events: tuple[int, dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    return [(seconds * 1000, {"field": "value", **event}) for seconds, event in events]


def _fired(rules: RuleSet, events: list[tuple[int, dict[str, Any]]]) -> dict[str, list[int]]:
    names = {c.rule.id: c.rule.name for c in rules.correlations}
    return {
        names[rule_id]: [occurrence.at // 1000 for occurrence in occurrences]
        for rule_id, occurrences in replay(rules, events).items()
        if rule_id in names
    }


def test_event_count_counts_events_of_a_group_in_a_half_open_window(tmp_path: Path) -> None:
    rules = load(tmp_path, rule(1), correlation())
    at = [(0, {"user": "a"}), (30, {"user": "a"}), (60, {"user": "a"}), (61, {"user": "b"})]
    assert _fired(rules, _events(*at)) == {}
    assert _fired(rules, _events(*at, (59, {"user": "a"}))) == {"Correlation 101": [59, 60]}


def test_value_count_counts_distinct_values(tmp_path: Path) -> None:
    rules = load(
        tmp_path,
        rule(1),
        correlation(type="value_count", condition={"gte": 2, "field": "host"}),
    )
    same = [(n, {"user": "a", "host": "h"}) for n in range(9)]
    assert _fired(rules, _events(*same)) == {}
    assert _fired(rules, _events(*same, (9, {"user": "a", "host": "i"}))) == {
        "Correlation 101": [9]
    }


def test_an_event_without_a_group_field_is_in_no_group(tmp_path: Path) -> None:
    rules = load(tmp_path, rule(1), correlation())
    assert _fired(rules, _events(*[(n, {}) for n in range(9)])) == {}


def test_without_group_by_all_events_are_one_group(tmp_path: Path) -> None:
    rules = load(tmp_path, rule(1), correlation(**{"group-by": None}))
    assert _fired(rules, _events(*[(n, {"user": str(n)}) for n in range(3)])) == {
        "Correlation 101": [2]
    }


@pytest.mark.parametrize(("kind", "backwards"), [("temporal", True), ("temporal_ordered", False)])
def test_temporal_needs_all_rules_and_ordered_their_order(
    tmp_path: Path, kind: str, backwards: bool
) -> None:
    rules = load(
        tmp_path,
        rule(1),
        rule(2, detection={"s": {"other": "value"}, "condition": "s"}),
        correlation(type=kind, rules=[ONE, TWO], condition=None),
    )
    first, second = {"field": "value", "user": "a"}, {"other": "value", "user": "a"}
    assert _fired(rules, [(0, first), (5000, second)]) == {"Correlation 101": [5]}
    assert bool(_fired(rules, [(0, second), (5000, first)])) is backwards
    assert not _fired(rules, [(0, first), (60_000, second)])


def test_a_chain_is_decided_from_its_beginning(tmp_path: Path) -> None:
    rules = load(
        tmp_path,
        rule(1),
        rule(2, detection={"s": {"other": "value"}, "condition": "s"}),
        correlation(102, type="temporal_ordered", rules=["burst", TWO], condition=None),
        correlation(101, name="burst"),
    )
    burst = _events(*[(n, {"user": "a"}) for n in range(3)])
    after = (10_000, {"other": "value", "user": "a"})
    assert _fired(rules, [*burst, after])["Correlation 102"] == [10]
    assert "Correlation 102" not in _fired(rules, [*burst[:2], after])
