"""What the loader of rules hands to the stages: rules that can be evaluated, and the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detect.conditions import Condition
    from tocsin.contracts import Rule

#: Window that alerts of a rule are collected in unless the rule says otherwise, ms.
DEFAULT_ALERT_WINDOW = 3_600_000

#: ECS fields that findings are deduplicated by unless the rule says otherwise: those present.
DEFAULT_DEDUP = ("source.ip", "user.name", "host.name")

#: ECS fields whose values are an alert's entities.
ENTITY_FIELDS = (
    "source.ip",
    "destination.ip",
    "user.name",
    "user.id",
    "host.name",
    "process.executable",
    "process.name",
    "file.path",
    "url.path",
    "cloud.account.id",
    "aws.cloudtrail.userIdentity.accessKeyId",
)


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """How a rule's findings become alerts: deduplication fields (ECS) and window (ms).

    In a rule file: `tocsin: {dedup: [source.ip], window: 30m, severity: 60}`.
    """

    dedup: tuple[str, ...] = DEFAULT_DEDUP
    window: int = DEFAULT_ALERT_WINDOW
    severity: int = 0


CorrelationType: TypeAlias = Literal[
    "event_count",
    "value_count",
    "temporal",
    "temporal_ordered",
    "value_sum",
    "value_avg",
    "value_percentile",
    "value_median",
]


@dataclass(frozen=True, slots=True)
class Correlation:
    """A Sigma correlation rule, resolved.

    `references` are the ids of the referenced rules (in the order given, which temporal_ordered
    needs); `group_by` the Sigma names, `aliases` maps such a name to the field per referenced
    rule id; `fields` are those whose values `condition` measures. `alerts` is False when another
    correlation refers to this one without `generate`.
    """

    rule: Rule
    type: CorrelationType
    references: tuple[str, ...]
    group_by: tuple[str, ...]
    aliases: Mapping[str, Mapping[str, str]]
    condition: Condition
    fields: tuple[str, ...] = ()
    alerts: bool = True
    policy: AlertPolicy = AlertPolicy()

    @property
    def timespan(self) -> int:
        """Length of the windows, ms."""
        return self.condition.timespan
