"""The correlate stage: Sigma correlations over findings, grouped and in event time.

What it emits, taken together, is a function of the set of findings (see detect/windows.py for
how, and for its bounds). Each satisfied event makes a finding, split by the aligned window that
alerts are collected in, with the evidence not shown before; and one grouped finding for each
correlation that refers to this one, which tells of the satisfied event alone, so that a chain
depends on the set of events as well.

Event time is the watermark of the partition of the input. An event older than the lateness is
correlated with what is still there, and counted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from detect.expiry import Companions, Expiry, Watermark
from detect.keys import dedup_key, group_key, parse_group_key
from detect.windows import Condition, Occurrence, add, delete_slice, slice_due
from detect.wording import describe, duration
from tocsin.contracts import SEVERITY, Evidence, Finding, GroupedFinding, Reason, Topics
from tocsin.errors import BadInput, ConfigError
from tocsin.ids import digest, finding_id
from tocsin.log.base import Outgoing
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from detect.model import Correlation
    from detect.windows import Firing, Shown
    from tocsin.log.base import Record
    from tocsin.state import State

#: The name under which a group says whose it is, if it is not the default tenant's.
TENANT = "tocsin.tenant"

#: Longest original text kept of an event, characters; the whole stands in the log.
MAX_ORIGINAL = 1024

#: Most values of one entity field in a finding: the smallest ones, which is the same for any order.
MAX_ENTITIES = 100

#: Most events of evidence in one finding; a firing with more makes several findings.
MAX_EVIDENCE = 200


class CorrelateStage:
    """Topic CORRELATE (GroupedFinding by `correlation|group`) to FINDINGS and, chained, back.

    `lateness` is in ms. Raises ConfigError if correlations refer to each other in a circle.
    `counters` counts since the start: `late`, `evicted` (events that a window dropped unemitted)
    and `ungrouped` (satisfied events that lack what a chained correlation groups by).
    """

    name = "correlate"
    topic = Topics.CORRELATE
    stateful = True

    def __init__(self, correlations: Sequence[Correlation], *, lateness: int) -> None:
        self.counters: Counter[str] = Counter()
        self._lateness = lateness
        self._correlations = {correlation.rule.id: correlation for correlation in correlations}
        self._conditions = {c.rule.id: _condition(c) for c in correlations}
        self._referrers: dict[str, list[Correlation]] = {}
        for correlation in correlations:
            for reference in dict.fromkeys(correlation.references):
                self._referrers.setdefault(reference, []).append(correlation)
        _refuse_circles(self._correlations)
        self._expiries = Companions(self._index)

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """See tocsin.stage.Stage; raises BadInput before it has touched the state."""
        batch = Batch()
        decoded = [(record, _decode(record)) for record in records]
        if not decoded:
            return batch
        with self._expiries.of(records[0].partition, state) as expiry:
            watermark = Watermark(state, self._lateness)
            for record, grouped in decoded:
                correlation = self._correlations.get(grouped.correlation)
                if correlation is None:
                    batch.filtered["unknown_correlation"] += 1
                    continue
                at = _event(grouped).at
                self.counters["late"] += watermark.is_late(at)
                outputs = self._correlate(correlation, grouped, record.offset, state, expiry, now)
                if outputs is None:
                    batch.filtered["duplicate"] += 1
                else:
                    batch.sent += 1
                    batch.outputs.extend(outputs)
                watermark.advance(at, now)
                for key in expiry.expired(watermark.value, record.offset, state):
                    delete_slice(state, key)
            watermark.save(records[-1].offset)
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """Nothing is due by time alone: a window fires when an event satisfies it."""
        return ()

    def _index(self, state: State) -> Expiry:
        expiry = Expiry()
        for key in state:
            self._expect(expiry, key)
        return expiry

    def _expect(self, expiry: Expiry, key: str) -> None:
        due = slice_due(key)
        if due is not None:
            expiry.add(due + self._lateness, key)

    def _correlate(
        self,
        correlation: Correlation,
        grouped: GroupedFinding,
        offset: int,
        state: State,
        expiry: Expiry,
        now: int,
    ) -> list[Outgoing] | None:
        """What a grouped finding makes; None if it is known and makes nothing."""
        finding, event = grouped.finding, _event(grouped)
        added = add(
            state,
            digest("window", correlation.rule.hash, finding.tenant, grouped.group),
            self._conditions[correlation.rule.id],
            Occurrence(event.at, event.event_id, grouped.value, offset),
            _member(grouped, event),
        )
        for key in added.created:
            self._expect(expiry, key)
        self.counters["evicted"] += added.evicted
        if not added.firings:
            return None if added.duplicate else []
        made = _Maker(correlation, grouped.group, finding.tenant)
        return [
            output
            for firing in added.firings
            for output in (*self._findings(made, firing, now), *self._chained(made, firing, now))
        ]

    def _findings(self, made: _Maker, firing: Firing, now: int) -> Iterator[Outgoing]:
        if made.correlation.alerts:
            for finding in made.findings(firing):
                yield Outgoing(
                    Topics.FINDINGS, finding.encode(), finding.key.encode(), timestamp=now
                )

    def _chained(self, made: _Maker, firing: Firing, now: int) -> Iterator[Outgoing]:
        for referrer in self._referrers.get(made.correlation.rule.id, ()):
            grouped = made.grouped(firing.event, referrer)
            if grouped is None:
                self.counters["ungrouped"] += 1
                continue
            yield Outgoing(
                Topics.CORRELATE, grouped.encode(), grouped.group.encode(), timestamp=now
            )


def _decode(record: Record) -> GroupedFinding:
    try:
        grouped = GroupedFinding.decode(record.value)
        correlation, _ = parse_group_key(grouped.group)
    except ValueError as error:
        raise BadInput(
            "grouped_finding", f"{record.position} is no grouped finding: {error}"
        ) from (error)
    if correlation != grouped.correlation:
        raise BadInput(
            "group", f"{record.position}: group '{grouped.group}' is not of {grouped.correlation}"
        )
    if not grouped.finding.evidence:
        raise BadInput("no_evidence", f"{record.position}: finding {grouped.finding.id} has none")
    return grouped


def _event(grouped: GroupedFinding) -> Evidence:
    """The event that a finding to be correlated is about: its last one."""
    return max(grouped.finding.evidence, key=lambda evidence: (evidence.at, evidence.event_id))


def _member(grouped: GroupedFinding, event: Evidence) -> dict[str, Any]:
    return {
        "origin": event.origin,
        "original": event.original[:MAX_ORIGINAL],
        "entities": {name: list(values) for name, values in grouped.finding.entities.items()},
        "fields": dict(grouped.group_fields),
    }


def _condition(correlation: Correlation) -> Condition:
    ordered = correlation.type == "temporal_ordered"
    return Condition(
        correlation.type,
        correlation.timespan,
        correlation.threshold,
        correlation.references if ordered else (),
    )


def _refuse_circles(correlations: Mapping[str, Correlation]) -> None:
    done: set[str] = set()

    def visit(rule: str, path: tuple[str, ...]) -> None:
        if rule in path:
            circle = " -> ".join((*path[path.index(rule) :], rule))
            raise ConfigError(f"correlations refer to each other in a circle: {circle}")
        if rule in correlations and rule not in done:
            for reference in correlations[rule].references:
                visit(reference, (*path, rule))
            done.add(rule)

    for rule in correlations:
        visit(rule, ())


class _Maker:
    """Makes what one group of a correlation emits."""

    def __init__(self, correlation: Correlation, group: str, tenant: str) -> None:
        self.correlation = correlation
        self._group = group
        self._names = parse_group_key(group)[1]
        self._tenant = tenant

    def findings(self, firing: Firing) -> Iterator[Finding]:
        """One per aligned window that has evidence, at most MAX_EVIDENCE events each."""
        window = self.correlation.policy.window
        parts: dict[int, list[Shown]] = {}
        for shown in firing.evidence:
            parts.setdefault(shown.at // window * window, []).append(shown)
        own = firing.event.at // window * window
        for start, members in sorted(parts.items()):
            for first in range(0, len(members), MAX_EVIDENCE):
                suffix = "" if start == own and not first else f"@{start}+{first}"
                chunk = members[first : first + MAX_EVIDENCE]
                yield self._finding(firing.event, chunk, suffix)

    def _finding(self, event: Shown, members: Sequence[Shown], suffix: str = "") -> Finding:
        correlation, rule = self.correlation, self.correlation.rule
        fields = _fields(members)
        return Finding(
            id=finding_id(rule.hash, event.event_id, self._group + suffix),
            rule=rule,
            severity=correlation.policy.severity or SEVERITY[rule.level],
            at=event.at,
            key=dedup_key(rule.id, self._names),
            window=correlation.policy.window,
            fields=fields,
            entities=_entities(members),
            reasons=(self._reason(),),
            evidence=tuple(
                Evidence(
                    event_id=shown.event_id,
                    at=shown.at,
                    origin=shown.member["origin"],
                    original=shown.member["original"],
                )
                for shown in sorted(members, key=lambda shown: shown[:2])
            ),
            message=f"{rule.name}: {describe(fields)}" if fields else rule.name,
            tenant=self._tenant,
        )

    def _reason(self) -> Reason:
        correlation = self.correlation
        return Reason(
            selection=correlation.type,
            field=correlation.field,
            value=f"at least {correlation.threshold} in {duration(correlation.timespan)}",
            modifier="gte",
            expected=str(correlation.threshold),
        )

    def grouped(self, event: Shown, referrer: Correlation) -> GroupedFinding | None:
        """A satisfied event for a correlation that refers to this one; None if it has no group."""
        rule = self.correlation.rule.id
        group = {name: self._names[name] for name in (TENANT,) if name in self._names}
        for name in referrer.group_by:
            value = self._value(referrer.aliases.get(name, {}).get(rule, name), event)
            if value is None:
                return None
            group[name] = value
        match referrer.type:
            case "event_count":
                value = event.event_id
            case "value_count":
                value = self._value(referrer.field, event)
            case _:
                value = rule
        if value is None:
            return None
        values = set(group.values())
        fields = {k: v for k, v in event.member["fields"].items() if v in values}
        return GroupedFinding(
            correlation=referrer.rule.id,
            group=group_key(referrer.rule.id, group),
            group_fields=fields,
            value=value,
            finding=self._finding(event, [event]),
        )

    def _value(self, name: str, event: Shown) -> str | None:
        """A field of this correlation's group, by its group-by name or its ECS path."""
        value = self._names.get(name, event.member["fields"].get(name))
        return None if value is None else str(value)


def _fields(members: Iterable[Shown]) -> dict[str, str]:
    """All group fields; through aliases the same group may stand in different ECS fields."""
    fields: dict[str, str] = {}
    for shown in members:
        for name, value in shown.member["fields"].items():
            fields[name] = min(value, fields.get(name, value))
    fields.pop(TENANT, None)
    return fields


def _entities(members: Iterable[Shown]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for shown in members:
        for name, values in shown.member["entities"].items():
            found.setdefault(name, set()).update(values)
    return {name: tuple(sorted(values)[:MAX_ENTITIES]) for name, values in sorted(found.items())}
