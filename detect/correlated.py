"""What goes in and out of the correlate stage: grouped findings, and the findings they make."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from detect.keys import dedup_key, group_key, parse_group_key
from detect.measured import measured
from detect.wording import compared, describe
from tocsin.contracts import SEVERITY, Evidence, Finding, GroupedFinding, Reason
from tocsin.errors import BadInput
from tocsin.ids import finding_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from detect.model import Correlation
    from detect.windows import Firing, Member, Shown
    from tocsin.log.base import Record

#: The name under which a group says whose it is, if it is not the default tenant's.
TENANT = "tocsin.tenant"

#: The one key of a record that tells the time.
_CLOCK = "clock"

#: Longest original text kept of an event, characters; the whole stands in the log.
MAX_ORIGINAL = 1024

#: Most values of one entity field in a finding: the smallest ones, which is the same for any order.
MAX_ENTITIES = 100

#: Most events of evidence in one finding; a firing with more makes several findings.
MAX_EVIDENCE = 200


class Event(NamedTuple):
    """The event that a finding to be correlated is about: its last one."""

    at: int
    event_id: str
    origin: str
    original: str


class Clock(NamedTuple):
    """A record that says how late it is, where no event does; ms."""

    at: int

    def encode(self) -> bytes:
        """As the topic has it."""
        return orjson.dumps({_CLOCK: self.at})


class Decoded(NamedTuple):
    """A grouped finding as the stage needs it; the rest of it is not looked at."""

    correlation: str
    group: str
    value: str
    tenant: str
    event: Event
    fields: Mapping[str, str]
    entities: Mapping[str, Sequence[str]]

    def member(self) -> Member:
        """What findings tell of the event."""
        return {
            "origin": self.event.origin,
            "original": self.event.original[:MAX_ORIGINAL],
            "entities": self.entities,
            "fields": self.fields,
        }


def decode(record: Record) -> Decoded | Clock:
    """The grouped finding of a record, or the time; raises BadInput for what is neither.

    Only what is used is looked at: validating all of a GroupedFinding costs ten times as much.
    """
    try:
        content = orjson.loads(record.value)
        if _CLOCK in content:
            return Clock(_of(int, content[_CLOCK]))
        found = _decoded(content)
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            "grouped_finding", f"{record.position} is no grouped finding: {error!r}"
        ) from error
    if found is None:
        raise BadInput("no_evidence", f"{record.position}: the finding has none")
    correlation, _ = _parsed(found.group, record)
    if correlation != found.correlation:
        raise BadInput(
            "group", f"{record.position}: group '{found.group}' is not of {found.correlation}"
        )
    return found


def _parsed(group: str, record: Record) -> tuple[str, dict[str, str]]:
    try:
        return parse_group_key(group)
    except ValueError as error:
        raise BadInput("grouped_finding", f"{record.position}: {error}") from error


def _decoded(grouped: dict[str, Any]) -> Decoded | None:
    """None for a finding without evidence; raises KeyError and TypeError for anything else."""
    finding = grouped["finding"]
    events = [
        Event(
            _of(int, evidence["at"]),
            _of(str, evidence["event_id"]),
            _of(str, evidence["origin"]),
            _of(str, evidence.get("original", "")),
        )
        for evidence in _of(list, finding.get("evidence", []))
    ]
    if not events:
        return None
    fields: dict[str, str] = _of(dict, grouped.get("group_fields", {}))
    entities: dict[str, list[str]] = _of(dict, finding.get("entities", {}))
    for value in fields.values():
        _of(str, value)
    for values in entities.values():
        for value in _of(list, values):
            _of(str, value)
    return Decoded(
        _of(str, grouped["correlation"]),
        _of(str, grouped["group"]),
        _of(str, grouped["value"]),
        _of(str, finding.get("tenant", "default")),
        max(events),
        fields,
        entities,
    )


def _of(kind: type[Any], value: Any) -> Any:
    if value.__class__ is not kind:
        raise TypeError(f"{value!r:.80} is no {kind.__name__}")
    return value


class Maker:
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
                yield self._finding(firing, chunk, suffix)

    def _finding(self, firing: Firing, members: Sequence[Shown], suffix: str = "") -> Finding:
        correlation, rule = self.correlation, self.correlation.rule
        fields = _fields(members)
        # A window that is decided as a whole is known by its beginning, not by its last event.
        about = firing.event.event_id if firing.window is None else f"window {firing.window}"
        return Finding(
            id=finding_id(rule.hash, about, self._group + suffix),
            rule=rule,
            severity=correlation.policy.severity or SEVERITY[rule.level],
            at=firing.event.at,
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
        condition = self.correlation.condition
        words, operators, numbers = compared(condition)
        return Reason(
            selection=self.correlation.type,
            field=", ".join(self.correlation.fields),
            value=words,
            modifier=operators,
            expected=numbers,
        )

    def grouped(self, firing: Firing, referrer: Correlation) -> list[GroupedFinding]:
        """What satisfied this, for a correlation that refers to it; empty if it has no group."""
        rule, event = self.correlation.rule.id, firing.event

        def read(name: str) -> tuple[str, ...]:
            """A field of this correlation's group, by its group-by name or its ECS path."""
            known = referrer.aliases.get(name, {}).get(rule, name)
            value = self._names.get(known, event.member["fields"].get(known))
            return () if value is None else (str(value),)

        names = {name: self._names[name] for name in (TENANT,) if name in self._names}
        found = [read(name) for name in referrer.group_by]
        about = event.event_id if firing.window is None else f"{event.event_id}@{firing.window}"
        made: list[GroupedFinding] = []
        for values in product(*found):
            group = {**names, **dict(zip(referrer.group_by, values, strict=True))}
            kept = set(group.values())
            fields = {k: v for k, v in event.member["fields"].items() if v in kept}
            key = group_key(referrer.rule.id, group)
            finding = self._finding(firing, [event])
            made.extend(
                GroupedFinding(
                    correlation=referrer.rule.id,
                    group=key,
                    group_fields=fields,
                    value=value,
                    finding=finding,
                )
                for value in measured(referrer, about, rule, read)
            )
        return made


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
