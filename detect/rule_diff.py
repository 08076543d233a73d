"""What changed between two rule sets: added, removed, and of each changed rule what."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Literal, NamedTuple

from detect.model import Correlation
from detect.sigma.logic import logic
from detect.sigma.ruleset import CompiledRule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.sigma.ruleset import RuleSet
    from tocsin.contracts import Rule


class Change(NamedTuple):
    """A rule that is only in one of the sets, or not the same in both.

    `what` says for a changed rule which parts changed: logic, level, title, filters, alerting,
    evaluation (it can be evaluated in one of the sets only), text.
    """

    kind: Literal["added", "removed", "changed"]
    id: str
    title: str
    what: tuple[str, ...] = ()


def compare(old: RuleSet, new: RuleSet) -> list[Change]:
    """The changes from `old` to `new`, by kind and id; order and layout of files do not count."""
    before, after = _titles(old), _titles(new)
    changes = [Change("added", i, after[i]) for i in sorted(after.keys() - before.keys())]
    changes += [Change("removed", i, before[i]) for i in sorted(before.keys() - after.keys())]
    for rule_id in sorted(before.keys() & after.keys()):
        if what := tuple(_what(rule_id, old, new)):
            changes.append(Change("changed", rule_id, after[rule_id], what))
    return changes


def _titles(rules: RuleSet) -> dict[str, str]:
    return (
        {refused.id: refused.title for refused in rules.unsupported}
        | {rule.rule.id: rule.rule.name for rule in rules.rules}
        | {correlation.rule.id: correlation.rule.name for correlation in rules.correlations}
    )


def _what(rule_id: str, old: RuleSet, new: RuleSet) -> Iterator[str]:
    before, after = _found(rule_id, old), _found(rule_id, new)
    if before is None or after is None:
        if (before is None) != (after is None):
            yield "evaluation"
        elif _reason(rule_id, old) != _reason(rule_id, new):
            yield "reason"
        return
    different = list(_parts(before, after))
    yield from different
    if not different and before.rule.hash != after.rule.hash:
        yield "text"


def _parts(before: CompiledRule | Correlation, after: CompiledRule | Correlation) -> Iterator[str]:
    if _logic(before) != _logic(after):
        yield "logic"
    one, other = before.rule, after.rule
    for name, part in (("level", "level"), ("title", "name"), ("tags", "tags")):
        if getattr(one, part) != getattr(other, part):
            yield _from(name, one, other, part)
    if before.policy != after.policy or before.alerts != after.alerts:
        yield "alerting"
    if _filters(before) != _filters(after):
        yield "filters"


def _from(name: str, one: Rule, other: Rule, part: str) -> str:
    if part == "tags":
        return name
    return f"{name} ({getattr(one, part)} → {getattr(other, part)})"


def _found(rule_id: str, rules: RuleSet) -> CompiledRule | Correlation | None:
    rule = rules.rule(rule_id)
    if rule is not None:
        return rule
    return next((c for c in rules.correlations if c.rule.id == rule_id), None)


def _reason(rule_id: str, rules: RuleSet) -> str:
    return next((u.reason for u in rules.unsupported if u.id == rule_id), "")


def _logic(each: CompiledRule | Correlation) -> object:
    """What is evaluated, without what is said about it."""
    match each:
        case CompiledRule():
            ecs = each.fields is not None
            return logic(each.own_condition, each.logsource, ecs=ecs) or each.own_condition
        case Correlation():
            return [
                getattr(each, part.name)
                for part in fields(each)
                if part.name not in ("rule", "policy", "alerts")
            ]


def _filters(each: CompiledRule | Correlation) -> frozenset[str]:
    return frozenset(found.digest for found in getattr(each, "filters", ()))
