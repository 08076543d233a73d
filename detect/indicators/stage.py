"""The indicators stage: events against all indicators, stateless; a match is a finding.

A finding's id is of the rule, the event and the indicator's value alone, so an event that is
matched again, by the stream or by looking back, gives the same finding.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from detect.indicators.matching import Hit, hits
from detect.keys import dedup_key
from detect.match import MAX_ENTITIES, MAX_ORIGINAL, TENANT, bounded, describe
from detect.model import DEFAULT_ALERT_WINDOW, ENTITY_FIELDS
from tocsin.clock import parse_iso
from tocsin.contracts import SEVERITY, Evidence, Finding, Reason, Rule, Topics
from tocsin.errors import BadInput
from tocsin.ids import content_hash, digest, event_id, finding_id
from tocsin.log.base import Outgoing
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from detect.indicators.guards import Allowed
    from detect.indicators.table import Table
    from tocsin.contracts import Document
    from tocsin.log.base import Record
    from tocsin.state import State

#: Version of what a finding says: it is part of the rule's hash.
_VERSION = 1

#: Most findings of one event: a mail of a thousand links is one event.
MAX_FINDINGS = 20

#: Most reasons (feeds that name the same value) of one finding.
MAX_REASONS = 20

_DEFAULT_TENANT = "default"
_NAMES = {
    "ip": "Known Malicious Address",
    "range": "Address In Known Malicious Range",
    "domain": "Known Malicious Domain",
    "url": "Known Malicious URL",
    "hash": "Known Malicious File",
    "email": "Known Malicious Mail Address",
}
_LEVELS = tuple(SEVERITY)
#: What of the event tells its alerts apart, beside the value itself.
_DEDUP = ("source.ip", "host.name")


class IndicatorStage:
    """Topic events → findings, keyed by deduplication key."""

    name = "indicators"
    topic = Topics.EVENTS
    stateful = False

    def __init__(self, table: Callable[[], Table], allowed: Allowed) -> None:
        """`table` gives the one that is in force now."""
        self._table = table
        self._allowed = allowed

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """Match each record; raises BadInput for one that holds no event document."""
        return match(records, self._table(), self._allowed)

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """Nothing is due by time alone."""
        return ()


def match(records: Iterable[Record], table: Table, allowed: Allowed) -> Batch:
    """The findings of some records; raises BadInput for one that holds no event document."""
    batch = Batch()
    for record in records:
        document = _document(record)
        at = _time(document, record)
        found = hits(document, table, allowed, at)
        if not found:
            batch.filtered["no_match"] += 1
            continue
        batch.sent += 1
        for finding in _findings(document, record, at, found):
            batch.outputs.append(
                Outgoing(Topics.FINDINGS, finding.encode(), finding.key.encode(), timestamp=at)
            )
    return batch


def _document(record: Record) -> Document:
    try:
        event = orjson.loads(record.value)
    except orjson.JSONDecodeError as error:
        raise BadInput("not_json", f"the event at {record.position} is not JSON: {error}") from None
    if not isinstance(event, dict):
        raise BadInput("not_an_object", f"the event at {record.position} is no JSON object")
    return event


def _time(document: Document, record: Record) -> int:
    """The event's time, the record's where it has none: the same at every attempt."""
    try:
        return parse_iso(document["@timestamp"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return record.timestamp


def _findings(document: Document, record: Record, at: int, found: list[Hit]) -> list[Finding]:
    """One finding for each value that was named, whichever feeds name it."""
    by_value: dict[tuple[str, str], list[Hit]] = {}
    for hit in found:
        by_value.setdefault((hit.indicator.kind, hit.indicator.value), []).append(hit)
    event = _texts(document, "event.id")[:1] or [event_id(*record.position)]
    tenant = (_texts(document, TENANT) or [_DEFAULT_TENANT])[0]
    entities = _entities(document)
    evidence = Evidence(
        event_id=event[0],
        at=at,
        origin=(_texts(document, "tocsin.origin") or [str(record.position)])[0],
        original="".join(_texts(document, "event.original")[:1])[:MAX_ORIGINAL],
    )
    made = []
    for (kind, value), named in list(by_value.items())[:MAX_FINDINGS]:
        rule = _rule(kind, max(_LEVELS.index(hit.indicator.level) for hit in named))
        fields = _fields(document, named[0])
        owned = fields if tenant == _DEFAULT_TENANT else {**fields, TENANT: tenant}
        made.append(
            Finding(
                id=finding_id(rule.hash, event[0], digest("indicator", kind, value)),
                rule=rule,
                severity=SEVERITY[rule.level],
                at=at,
                key=dedup_key(rule.id, owned),
                window=DEFAULT_ALERT_WINDOW,
                fields=fields,
                entities=entities,
                reasons=_reasons(named),
                evidence=(evidence,),
                message=_message(rule.name, entities, named),
                tenant=tenant,
            )
        )
    return made


@lru_cache(64)
def _rule(kind: str, level: int) -> Rule:
    """The rule that all findings of a kind and level share."""
    id = f"tocsin-indicator-{kind}"
    return Rule.model_validate(
        {
            "id": id,
            "name": _NAMES[kind],
            "hash": content_hash([id, _LEVELS[level], _VERSION]),
            "level": _LEVELS[level],
            "type": "indicator",
            "description": "An event names what a threat intelligence feed lists.",
        }
    )


def _fields(document: Document, hit: Hit) -> dict[str, str]:
    fields = {hit.observed.field: bounded(hit.observed.value)}
    for name in _DEDUP:
        if name not in fields and (texts := _texts(document, name)):
            fields[name] = bounded(texts[0])
    return fields


def _reasons(named: list[Hit]) -> tuple[Reason, ...]:
    """Which feed named what, and where it stands; in an order that is not the feeds'."""
    reasons = {
        (hit.indicator.feed, hit.observed.field, hit.observed.value): Reason(
            selection=hit.indicator.feed,
            field=hit.observed.field,
            value=bounded(hit.observed.value),
            modifier=hit.how,
            expected=bounded(hit.indicator.value),
        )
        for hit in named
    }
    return tuple(reasons[key] for key in sorted(reasons))[:MAX_REASONS]


def _message(name: str, entities: dict[str, tuple[str, ...]], named: list[Hit]) -> str:
    value = bounded(named[0].observed.value)
    about = sorted({hit.indicator.about for hit in named if hit.indicator.about})
    told = f"{value} ({about[0]})" if about else value
    return f"{describe(name, entities)}: {told}"


def _entities(document: Document) -> dict[str, tuple[str, ...]]:
    found = {}
    for name in ENTITY_FIELDS:
        if texts := sorted({bounded(text) for text in _texts(document, name)}):
            found[name] = tuple(texts[:MAX_ENTITIES])
    return found


def _texts(document: Document, path: str) -> list[str]:
    """The texts at a dotted path; a number as its text."""
    node: Any = document
    for part in path.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    nodes = node if isinstance(node, list) else [node]
    return [
        each if isinstance(each, str) else str(each)
        for each in nodes
        if isinstance(each, (str, int)) and not isinstance(each, bool) and each != ""
    ]
