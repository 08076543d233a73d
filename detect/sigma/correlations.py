"""From pySigma's correlation rules to what the correlate stage works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from sigma.correlations import (
    SigmaCorrelationCondition,
    SigmaCorrelationConditionOperator,
    SigmaCorrelationRule,
    SigmaCorrelationType,
)

from detect.model import AlertPolicy, Correlation
from detect.sigma.compile import Unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.contracts import Rule

_TYPES = ("event_count", "value_count", "temporal", "temporal_ordered")
_MINIMUM = {
    SigmaCorrelationConditionOperator.GTE: 0,
    SigmaCorrelationConditionOperator.GT: 1,
}


class UnknownReference(ValueError):
    """A correlation names a rule that is not there."""


def resolve(
    parsed: SigmaCorrelationRule, rule: Rule, ids: Mapping[str, str], policy: AlertPolicy
) -> Correlation:
    """The correlation with its references as rule ids; `ids` maps ids and names to ids.

    Raises UnknownReference, and Unsupported for what the correlate stage cannot do.
    """
    kind = parsed.type.name.lower()
    if kind not in _TYPES:
        raise Unsupported(f"correlation type {kind}")
    condition = parsed.condition
    if not isinstance(condition, SigmaCorrelationCondition):
        raise Unsupported("a boolean condition over rules")
    references = tuple(_id(r.reference, ids) for r in parsed.rules or ())
    if not references:
        raise UnknownReference("the correlation refers to no rule")
    return Correlation(
        rule=rule,
        type=cast("Literal['event_count']", kind),
        references=references,
        group_by=tuple(parsed.group_by or ()),
        aliases={
            alias.alias: {_id(ref.reference, ids): name for ref, name in alias.mapping.items()}
            for alias in parsed.aliases
        },
        timespan=parsed.timespan.seconds * 1000,
        threshold=_threshold(parsed.type, condition, len(set(references))),
        field=_field(parsed.type, condition),
        policy=policy,
    )


def _id(reference: str, ids: Mapping[str, str]) -> str:
    if reference not in ids:
        raise UnknownReference(f"the rule '{reference}' that the correlation refers to is not here")
    return ids[reference]


def _threshold(
    kind: SigmaCorrelationType, condition: SigmaCorrelationCondition, references: int
) -> int:
    if condition.op not in _MINIMUM:
        raise Unsupported(
            f"the condition {condition.op.name.lower()}: only gte and gt can be decided while"
            " events still come in"
        )
    if not isinstance(condition.count, int):
        raise Unsupported(f"the fractional count {condition.count}")
    threshold = condition.count + _MINIMUM[condition.op]
    if kind is SigmaCorrelationType.TEMPORAL_ORDERED and threshold != references:
        raise Unsupported("temporal_ordered for fewer than all of its rules")
    if kind is SigmaCorrelationType.TEMPORAL and threshold > references:
        raise Unsupported(f"a count of {threshold} over {references} rules, which nothing reaches")
    if threshold < 1:
        raise Unsupported(f"a count of {threshold}, which holds without any event")
    return threshold


def _field(kind: SigmaCorrelationType, condition: SigmaCorrelationCondition) -> str:
    if kind is not SigmaCorrelationType.VALUE_COUNT:
        return ""
    if not isinstance(condition.fieldref, str):
        raise Unsupported("counting the values of several fields at once")
    return condition.fieldref


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
