"""The alert stage: findings of one rule and deduplication key, collected by aligned window.

Each event of evidence falls into the window of its own time, so an alert is a function of the
set of its events: first and last ones by (time, id), smallest entities, reasons of the first. An
alert goes out as soon as it exists, is revised while it grows, and is the same whatever the order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from detect.alert_state import StoredAlert
from detect.expiry import Companions, Expiry, Watermark
from detect.patience import reach
from tocsin.alert_document import alert_document, parse_alert_document
from tocsin.contracts import Alert, Evidence, Finding, Topics
from tocsin.errors import BadInput
from tocsin.ids import alert_id, canonical_json
from tocsin.log.base import Outgoing
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from detect.model import Correlation
    from tocsin.log.base import Record
    from tocsin.state import State

#: Times that have an RFC 3339 form: the years 1000 to 9999, ms.
EARLIEST, LATEST = -30_610_224_000_000, 253_402_300_799_999

__all__ = ["AlertStage", "alert_document", "parse_alert_document"]


class AlertStage:
    """Topic FINDINGS (by deduplication key) to ALERTS: alert documents, keyed by alert id.

    An alert is forgotten when its window has passed by `lateness` (ms) and by as much as evidence
    of `correlations` may be older than the findings that bring it.
    `counters` counts since the start: `late` findings, and `uncounted` events beyond MAX_COUNTED.
    """

    name = "alert"
    topic = Topics.FINDINGS
    stateful = True

    def __init__(self, *, lateness: int, correlations: Sequence[Correlation] = ()) -> None:
        self.counters: Counter[str] = Counter()
        self._lateness = lateness
        self._patience = reach(correlations, lateness)
        self._companions = Companions(self._index)

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """See tocsin.stage.Stage; raises BadInput before it has touched the state."""
        batch = Batch()
        findings = [(record, _decode(record)) for record in records]
        if not findings:
            return batch
        with self._companions.of(records[0].partition, state) as companion:
            watermark = Watermark(state, self._lateness)
            touched = _Touched(state, companion)
            for record, finding in findings:
                self.counters["late"] += watermark.is_late(finding.at)
                self.counters["uncounted"] += touched.add(finding)
                batch.sent += 1
                watermark.advance(finding.at, now)
                for key in companion.expiry.expired(watermark.value, record.offset, state):
                    batch.outputs.extend(_outgoing(alert, now) for alert in touched.forget(key))
            batch.outputs.extend(_outgoing(alert, now) for alert in touched.save())
            watermark.save(records[-1].offset)
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """The newest revision of each alert that has changed since it last went out."""
        with self._companions.of(partition, state) as companion:
            changed, companion.changed = sorted(companion.changed), set()
            return [_outgoing(StoredAlert.load(state, header).alert(), now) for header in changed]

    def _index(self, state: State) -> _Companion:
        """After a restart every alert is sent that had changed when its state was saved."""
        companion = _Companion(self._patience)
        for key in state:
            kind, _, rest = key.partition("|")
            if kind == "alert":
                companion.expect(key)
                if state[key]["changed"]:
                    companion.changed.add(key)
            elif kind == "event":
                companion.events.setdefault(rest.partition("|")[0], []).append(key)
        return companion


def _decode(record: Record) -> Finding:
    try:
        finding = Finding.decode(record.value)
    except ValueError as error:
        raise BadInput("finding", f"{record.position} is no finding: {error}") from error
    if not finding.evidence:
        raise BadInput("no_evidence", f"{record.position}: finding {finding.id} has no evidence")
    if finding.window <= 0:
        raise BadInput("window", f"{record.position}: finding {finding.id} has no window")
    if any(not EARLIEST <= evidence.at <= LATEST for evidence in finding.evidence):
        raise BadInput("time", f"{record.position}: finding {finding.id} is of no calendar's time")
    return finding


def _outgoing(alert: Alert, now: int) -> Outgoing:
    value = canonical_json(alert_document(alert))
    return Outgoing(Topics.ALERTS, value, alert.id.encode(), timestamp=now)


@dataclass(slots=True)
class _Companion:
    """In memory beside a state: expiry, event keys by alert, alerts changed since sent."""

    patience: int
    expiry: Expiry = field(default_factory=Expiry)
    events: dict[str, list[str]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)

    def expect(self, header: str) -> None:
        """An alert is due when its window has passed and nothing in time can belong to it."""
        self.expiry.add(int(header.split("|")[1]) + self.patience, header)


class _Touched:
    """The alerts that a batch touches: loaded once, saved once."""

    def __init__(self, state: State, companion: _Companion) -> None:
        self._state = state
        self._companion = companion
        self._touched: dict[str, StoredAlert] = {}

    def add(self, finding: Finding) -> int:
        """Add a finding's evidence to its alerts; how many events were not counted."""
        parts: dict[int, list[Evidence]] = {}
        for evidence in finding.evidence:
            start = evidence.at // finding.window * finding.window
            parts.setdefault(start, []).append(evidence)
        return sum(self._alert(finding, start).add(finding, part) for start, part in parts.items())

    def _alert(self, finding: Finding, start: int) -> StoredAlert:
        identity = alert_id(finding.rule.hash, finding.key, start)
        header = f"alert|{start + finding.window}|{identity}"
        alert = self._touched.get(header)
        if alert is None:
            if header in self._state:
                alert = StoredAlert.load(self._state, header)
            else:
                alert = StoredAlert.new(self._state, header, finding, start)
                self._companion.expect(header)
            self._touched[header] = alert
        return alert

    def save(self) -> Iterator[Alert]:
        """Write the alerts that were touched; those whose revision goes out now."""
        for header, alert in self._touched.items():
            prompt = alert.is_prompt()
            self._companion.events.setdefault(alert.id, []).extend(alert.save(sent=prompt))
            if prompt:
                self._companion.changed.discard(header)
                yield alert.alert()
            elif alert.changed:
                self._companion.changed.add(header)
        self._touched.clear()

    def forget(self, header: str) -> Iterator[Alert]:
        """Delete an alert whose time has passed, with its last revision if that is still due."""
        alert = self._touched.pop(header, None)
        if alert is not None:
            self._companion.events.setdefault(alert.id, []).extend(alert.save(sent=False))
        else:
            alert = StoredAlert.load(self._state, header)
        if alert.changed:
            yield alert.alert()
        self._companion.changed.discard(header)
        for key in (header, alert.base_key, *self._companion.events.pop(alert.id, ())):
            self._state.pop(key, None)
