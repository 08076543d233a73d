"""From pySigma's correlation rules to what the correlate stage works with."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import floor
from typing import TYPE_CHECKING, cast

from sigma.correlations import (
    CorrelationConditionAND,
    CorrelationConditionNOT,
    CorrelationConditionOR,
    SigmaCorrelationCondition,
    SigmaCorrelationRule,
    SigmaExtendedCorrelationCondition,
    SigmaRuleReference,
)

from detect.conditions import Bound, Condition, Operator, Term
from detect.model import AlertPolicy, Correlation, CorrelationType
from detect.sigma.compile import Unsupported
from detect.sigma.parsing import bounds_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detect.conditions import Measure
    from tocsin.contracts import Rule

_MEASURES: dict[CorrelationType, Measure] = {
    "event_count": "events",
    "value_count": "values",
    "temporal": "rules",
    "temporal_ordered": "chain",
    "value_sum": "sum",
    "value_avg": "average",
    "value_median": "median",
    "value_percentile": "percentile",
}
#: Most alternatives that a boolean condition may come to.
MAX_TERMS = 64


class UnknownReference(ValueError):
    """A correlation names a rule that is not there."""


def resolve(
    parsed: SigmaCorrelationRule, rule: Rule, ids: Mapping[str, str], policy: AlertPolicy
) -> Correlation:
    """The correlation with its references as rule ids; `ids` maps ids and names to ids.

    Raises UnknownReference, and Unsupported for what says nothing that events could satisfy.
    """
    kind = cast("CorrelationType", parsed.type.name.lower())
    references = tuple(_id(r.reference, ids) for r in references_of(parsed))
    if not references:
        raise UnknownReference("the correlation refers to no rule")
    timespan = parsed.timespan.seconds * 1000
    condition = parsed.condition
    if isinstance(condition, SigmaExtendedCorrelationCondition):
        made = _boolean(kind, condition, timespan, ids, references)
    else:
        made = _compared(kind, condition, timespan, references)
    return Correlation(
        rule=rule,
        type=kind,
        references=references,
        group_by=tuple(parsed.group_by or ()),
        aliases={
            alias.alias: {_id(ref.reference, ids): name for ref, name in alias.mapping.items()}
            for alias in parsed.aliases
        },
        condition=made,
        fields=_fields(kind, condition),
        policy=policy,
    )


def references_of(parsed: SigmaCorrelationRule) -> Sequence[SigmaRuleReference]:
    """What a correlation refers to: its rules or, without such a list, those of its condition."""
    if parsed.rules:
        return parsed.rules
    if isinstance(parsed.condition, SigmaExtendedCorrelationCondition):
        return [SigmaRuleReference(name) for name in parsed.condition.get_referenced_rules()]
    return ()


def _id(reference: str, ids: Mapping[str, str]) -> str:
    if reference not in ids:
        raise UnknownReference(f"the rule '{reference}' that the correlation refers to is not here")
    return ids[reference]


def _compared(
    kind: CorrelationType,
    condition: SigmaCorrelationCondition,
    timespan: int,
    references: tuple[str, ...],
) -> Condition:
    bounds = tuple(Bound(cast("Operator", name), _exact(n)) for name, n in bounds_of(condition))
    measure = _MEASURES[kind]
    most = {"rules": len(set(references)), "chain": len(references)}.get(measure)
    _refuse_impossible(measure, bounds, most)
    percentile = condition.percentile
    if measure == "percentile" and (percentile is None or not 0 <= percentile <= 100):
        raise Unsupported("value_percentile without a percentile from 0 to 100")
    try:
        return Condition(
            measure,
            timespan,
            bounds,
            order=references if measure == "chain" else (),
            percentile=percentile or 0,
        )
    except ValueError:
        raise Unsupported(f"a count of {_words(bounds)}, which holds without any event") from None


def _exact(number: int | float) -> int | Fraction:
    return number if isinstance(number, int) else Fraction(str(number))


def _refuse_impossible(measure: Measure, bounds: tuple[Bound, ...], most: int | None) -> None:
    """A count or a sum that nothing can reach is a mistake that would never be noticed."""
    if measure in ("average", "median", "percentile"):
        return
    near = {floor(bound.number) + step for bound in bounds for step in (-1, 0, 1, 2)}
    tried = {0, *near, *(bound.number for bound in bounds if measure == "sum")}
    if not any(
        all(bound.holds(count) for bound in bounds)
        for count in tried
        if count >= 0 and (most is None or count <= most)
    ):
        over = "" if most is None else f" over {most} rules"
        raise Unsupported(f"a count of {_words(bounds)}{over}, which nothing reaches")


def _words(bounds: tuple[Bound, ...]) -> str:
    return " and ".join(f"{bound.operator} {bound.number}" for bound in bounds)


def _fields(
    kind: CorrelationType, condition: SigmaCorrelationCondition | SigmaExtendedCorrelationCondition
) -> tuple[str, ...]:
    if not kind.startswith("value_") or not isinstance(condition, SigmaCorrelationCondition):
        return ()
    named = condition.fieldref
    fields = (named,) if isinstance(named, str) else tuple(map(str, named or ()))
    if not fields:
        raise Unsupported(f"{kind} without a field")
    if len(fields) > 1 and kind != "value_count":
        raise Unsupported(f"{kind} of several fields at once")
    return fields


def _boolean(
    kind: CorrelationType,
    condition: SigmaExtendedCorrelationCondition,
    timespan: int,
    ids: Mapping[str, str],
    references: tuple[str, ...],
) -> Condition:
    terms = [_term(literals, references) for literals in _alternatives(condition.parsed, ids, True)]
    possible = [term for term in terms if not term.without.intersection(term.rules)]
    if not possible:
        raise Unsupported("the condition excludes what it asks for: nothing satisfies it")
    if not all(term.rules for term in possible):
        raise Unsupported("a condition that holds without any event")
    return Condition("terms", timespan, terms=tuple(possible), ordered=kind == "temporal_ordered")


#: Rules that must be there (True) or must not.
_Literals = frozenset[tuple[str, bool]]


def _term(literals: _Literals, references: tuple[str, ...]) -> Term:
    """Rules in the order in which they are listed."""
    wanted = {rule for rule, there in literals if there}
    return Term(
        tuple(rule for rule in dict.fromkeys(references) if rule in wanted),
        frozenset(rule for rule, there in literals if not there),
    )


def _alternatives(node: object, ids: Mapping[str, str], wanted: bool) -> list[_Literals]:
    """The condition (or its negation) as alternatives, each of rules that are there or not."""
    match node:
        case SigmaRuleReference():
            return [frozenset({(_id(node.reference, ids), wanted)})]
        case CorrelationConditionNOT():
            return _alternatives(node.args[0], ids, not wanted)
        case CorrelationConditionAND() | CorrelationConditionOR():
            parts = [_alternatives(part, ids, wanted) for part in node.args]
            if isinstance(node, CorrelationConditionOR) is wanted:
                found = [each for part in parts for each in part]
            else:
                count = 1
                for part in parts:
                    count *= len(part)
                _refuse_many(count)
                found = [frozenset().union(*each) for each in product(*parts)]
            _refuse_many(len(found))
            return list(dict.fromkeys(found))
        case _:
            raise Unsupported(f"condition part {type(node).__name__}")


def _refuse_many(count: int) -> None:
    if count > MAX_TERMS:
        raise Unsupported(f"a condition of more than {MAX_TERMS} alternatives")


def supported(
    correlations: Sequence[Correlation], rules: set[str]
) -> tuple[list[Correlation], list[tuple[Correlation, str]]]:
    """The correlations all of whose references can be evaluated, and the others with the reason.

    A chain is decided from its beginning, so what refers to itself is among the others.
    """
    evaluated, waiting = set(rules), list(correlations)
    kept: list[Correlation] = []
    while True:
        ready = [c for c in waiting if evaluated.issuperset(c.references)]
        if not ready:
            break
        kept += ready
        evaluated |= {c.rule.id for c in ready}
        waiting = [c for c in waiting if c.rule.id not in evaluated]
    refused = [
        (c, f"it refers to {min(set(c.references) - evaluated)}, which cannot be evaluated")
        for c in waiting
    ]
    return kept, refused
