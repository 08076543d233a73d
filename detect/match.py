"""The match stage: single events against all Sigma rules, stateless.

An event that matches a rule becomes a finding for the alert stage, and one grouped finding for
each correlation that refers to the rule. Ids depend on rule content and event only, so an event
that is processed again gives the same findings again.
"""

from __future__ import annotations

from itertools import islice, product
from typing import TYPE_CHECKING, Any

import orjson

from detect.keys import dedup_key, group_key
from detect.measured import measured
from detect.model import ENTITY_FIELDS
from detect.sigma.batch import BatchMatcher, EventText
from detect.sigma.event import FieldMap, Path, Reader, find
from detect.sigma.tally import RuleCost
from detect.sigma.values import spread, text_of
from tocsin.clock import parse_iso
from tocsin.contracts import (
    SEVERITY,
    Evidence,
    Finding,
    GroupedFinding,
    Reason,
    Topics,
)
from tocsin.errors import BadInput
from tocsin.ids import digest, event_id, finding_id
from tocsin.log.base import Outgoing
from tocsin.route import ROUTE
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from detect.model import Correlation
    from detect.sigma.batch import Matched
    from detect.sigma.ruleset import Match, RuleSet
    from tocsin.log.base import Record
    from tocsin.state import State

#: Longest value that a finding carries, characters; the event itself is in the log.
MAX_VALUE = 512
#: Longest original text of an event in a finding's evidence, characters.
MAX_ORIGINAL = 4096
#: Most reasons of a finding, and most values of one entity field.
MAX_REASONS = 20
MAX_ENTITIES = 50
#: Most groups that one event counts in, for one correlation (fields with several values).
MAX_GROUPS = 16

TENANT = "tocsin.tenant"
_DEFAULT_TENANT = "default"
_ENTITY_PATHS = tuple(Path.of(name) for name in ENTITY_FIELDS)
_ECS = FieldMap()


class MatchStage:
    """Topic events → findings (keyed by deduplication key) and correlate (keyed by group)."""

    name = "match"
    topic = Topics.EVENTS
    stateful = False

    def __init__(self, ruleset: RuleSet, matcher: BatchMatcher | None = None) -> None:
        self._ruleset = ruleset
        self._matcher = matcher or BatchMatcher(ruleset)
        self._costs: dict[str, RuleCost] = {}

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """Match each record; raises BadInput for one that holds no event document."""
        return self.made(records, self.matched(records))

    def matched(self, records: Sequence[Record]) -> dict[int, Matched]:
        """The records that rules match, by their place."""
        return self._matcher.match([text_of_record(record) for record in records])

    def use(self, ruleset: RuleSet, matcher: BatchMatcher) -> None:
        """Match with other rules from the next batch on; `matcher` is one of theirs."""
        self._costs = self.costs()
        self._ruleset, self._matcher = ruleset, matcher

    def matcher_like(self, ruleset: RuleSet) -> BatchMatcher:
        """A matcher of other rules, ready for the kinds of events that came so far.

        Takes up to seconds, and may run in another thread while this one matches.
        """
        matcher = BatchMatcher(ruleset)
        matcher.prepare_like(self._matcher)
        return matcher

    def costs(self) -> dict[str, RuleCost]:
        """What each rule did since the start, by id."""
        total = dict(self._costs)
        for rule_id, cost in self._matcher.costs().items():
            total[rule_id] = total.get(rule_id, RuleCost()).both(cost)
        return total

    def made(self, records: Sequence[Record], found: Mapping[int, Matched]) -> Batch:
        """What becomes of records with these matches."""
        batch = Batch()
        if unmatched := len(records) - len(found):
            batch.filtered["no_match"] += unmatched
        for at in sorted(found):
            matches = found[at].matches
            seen = _Seen(found[at].event, records[at])
            before = len(batch.outputs)
            referred = False
            for match in matches:
                batch.outputs += seen.alerting(match)
                for correlation in self._ruleset.referring(match.rule.rule.id):
                    referred = True
                    batch.outputs += seen.grouped(match, correlation)
            if len(batch.outputs) > before:
                batch.sent += 1
            else:
                batch.filtered["not_grouped" if referred else "no_alert"] += 1
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """Nothing is due by time alone."""
        return ()


def text_of_record(record: Record) -> EventText:
    """The event for the matcher; one that the normalize stage did not write is decoded first.

    Raises BadInput for what holds no event document.
    """
    for name, value in record.headers:
        if name == ROUTE and value:
            # As EventText(record.value, value), which takes a third of the time of the rest.
            return tuple.__new__(EventText, (record.value, value, None))
    event = _document(record)
    return EventText(orjson.dumps(event), event=event)


def _document(record: Record) -> dict[str, Any]:
    try:
        event = orjson.loads(record.value)
    except orjson.JSONDecodeError as error:
        raise BadInput("not_json", f"the event at {record.position} is not JSON: {error}") from None
    if not isinstance(event, dict):
        raise BadInput("not_an_object", f"the event at {record.position} is no JSON object")
    return event


class _Seen:
    """One matched event: what all of its findings have in common, made once."""

    def __init__(self, event: Mapping[str, Any], record: Record) -> None:
        self._ecs = Reader(event, _ECS)
        self._record = record
        self._id = self._text("event.id") or event_id(*record.position)
        self._at = self._time()
        self._tenant = self._text(TENANT) or _DEFAULT_TENANT
        self._entities = dict(_entities(event))
        self._evidence = Evidence(
            event_id=self._id,
            at=self._at,
            origin=self._text("tocsin.origin") or str(record.position),
            original=self._text("event.original")[:MAX_ORIGINAL],
        )

    def _text(self, name: str) -> str:
        values = self._ecs.field(name).values
        return values[0].text if values else ""

    def _time(self) -> int:
        try:
            return parse_iso(self._text("@timestamp"))
        except (ValueError, OverflowError):
            # Normalized events have a time. One without is still worth matching, and the
            # record's own time is the same at every attempt.
            return self._record.timestamp

    def _owned(self, fields: dict[str, str]) -> dict[str, str]:
        """`fields` with the tenant, so that two tenants never share a key."""
        return fields if self._tenant == _DEFAULT_TENANT else {**fields, TENANT: self._tenant}

    def _finding(self, match: Match, group: str = "") -> Finding:
        rule, policy = match.rule.rule, match.rule.policy
        fields = {name: text for name in policy.dedup if (text := bounded(self._text(name)))}
        return Finding(
            id=finding_id(rule.hash, self._id, group),
            rule=rule,
            severity=policy.severity or SEVERITY[rule.level],
            at=self._at,
            key=dedup_key(rule.id, self._owned(fields)),
            window=policy.window,
            fields=fields,
            entities=self._entities,
            reasons=_reasons(match),
            evidence=(self._evidence,),
            message=describe(rule.name, self._entities),
            tenant=self._tenant,
        )

    def alerting(self, match: Match) -> Iterator[Outgoing]:
        """The finding of a rule that alerts itself."""
        if match.rule.alerts:
            finding = self._finding(match)
            yield Outgoing(
                Topics.FINDINGS, finding.encode(), finding.key.encode(), timestamp=self._at
            )

    def grouped(self, match: Match, correlation: Correlation) -> Iterator[Outgoing]:
        """The grouped findings for one correlation; none if a field it needs is missing."""
        rule_id = match.rule.rule.id
        values = measured(
            correlation,
            self._id,
            rule_id,
            lambda name: _values(match, correlation, rule_id, name)[1],
        )
        for names, fields in _groups(match, correlation, rule_id):
            group = group_key(correlation.rule.id, self._owned(names))
            finding = self._finding(match, group)
            for value in values:
                yield Outgoing(
                    Topics.CORRELATE,
                    GroupedFinding(
                        correlation=correlation.rule.id,
                        group=group,
                        group_fields=self._owned(fields),
                        value=value,
                        finding=finding,
                    ).encode(),
                    group.encode(),
                    timestamp=self._at,
                )


def _values(
    match: Match, correlation: Correlation, rule_id: str, name: str
) -> tuple[str, tuple[str, ...]]:
    """Where the event has the field (through the correlation's aliases), and its values."""
    field = match.reader.field(correlation.aliases.get(name, {}).get(rule_id, name))
    texts = dict.fromkeys(bounded(value.text) for value in field.values)
    return field.path, tuple(islice(texts, MAX_GROUPS))


def _groups(
    match: Match, correlation: Correlation, rule_id: str
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """The groups an event belongs to: values by group-by name, and by place in the event."""
    found = [_values(match, correlation, rule_id, name) for name in correlation.group_by]
    for values in islice(product(*(texts for _, texts in found)), MAX_GROUPS):
        paths = (path for path, _ in found)
        yield (
            dict(zip(correlation.group_by, values, strict=True)),
            dict(zip(paths, values, strict=True)),
        )


def bounded(text: str) -> str:
    """`text`, or if it is too long its beginning and the digest of all of it."""
    if len(text) <= MAX_VALUE:
        return text
    return f"{text[: MAX_VALUE - 40]}… {digest('value', text)}"


def _entities(event: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for path in _ENTITY_PATHS:
        nodes = spread(find(event, path))
        texts = {bounded(text_of(node)) for node in nodes if node is not None}
        texts.discard("")
        if texts:
            yield path.name, tuple(sorted(texts)[:MAX_ENTITIES])


def _reasons(match: Match) -> tuple[Reason, ...]:
    return tuple(
        Reason(
            selection=hit.selection,
            field=hit.path or hit.field,
            value=bounded(hit.value),
            modifier=hit.modifiers,
            expected=bounded(hit.expected),
        )
        for hit in match.hits[:MAX_REASONS]
    )


_WORDS = (
    ("user.name", "user {}"),
    ("source.ip", "from {}"),
    ("host.name", "on {}"),
    ("url.path", "at {}"),
    ("cloud.account.id", "in account {}"),
)


def describe(title: str, entities: Mapping[str, tuple[str, ...]]) -> str:
    """The rule's title and who, where from, where: one line for people."""
    told = [words.format(entities[name][0]) for name, words in _WORDS if entities.get(name)]
    return f"{title}: {' '.join(told)}" if told else title
