"""The trigger stage: which alerts start (or concern) which runs."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson

from playbooks.bounds import MAX_ALERT, fitted
from tocsin.clock import parse_iso
from tocsin.contracts import Start, Topics
from tocsin.errors import BadInput, ExpressionError
from tocsin.expressions import Shared
from tocsin.ids import run_id
from tocsin.log.base import Outgoing
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playbooks.loading import PlaybookSet
    from playbooks.program import Playbook
    from tocsin.log.base import Record
    from tocsin.state import State

logger = logging.getLogger(__name__)


class TriggerStage:
    """Alerts to Start commands, one for each playbook whose `when` is true. Keeps no state.

    A `when` that cannot be evaluated is false; `failures` counts them by playbook, `reasons`
    keeps the latest of each, and the record counts as `trigger_error` if nothing else started.
    """

    name = "trigger"
    topic = Topics.ALERTS
    stateful = False

    def __init__(self, playbooks: PlaybookSet) -> None:
        self._playbooks = playbooks
        self.failures: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """Records are alert documents; raises BadInput for anything else."""
        batch = Batch()
        for record in records:
            alert = fitted(_document(record), MAX_ALERT)
            failed = self.failures.total()
            starts = list(self._starts(alert, now))
            batch.outputs.extend(
                Outgoing(Topics.COMMANDS, s.encode(), key=s.run_id.encode(), timestamp=now)
                for s in starts
            )
            if starts:
                batch.sent += 1
            else:
                erred = self.failures.total() > failed
                batch.filtered["trigger_error" if erred else "no_trigger"] += 1
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """Time makes nothing due here."""
        return ()

    def _starts(self, alert: dict[str, Any], now: int) -> Iterator[Start]:
        seen = Shared({"alert": alert})
        for playbook in self._playbooks:
            if self._wants(playbook, seen):
                yield Start(
                    run_id=self._run_id(playbook, alert, seen),
                    playbook=playbook.id,
                    playbook_hash=playbook.hash,
                    alert=alert,
                    at=now,
                )

    def _wants(self, playbook: Playbook, seen: Shared) -> bool:
        try:
            return playbook.when.test(seen)
        except ExpressionError as error:
            self._failed(playbook, f"'when' counts as false: {error}")
            return False

    def _run_id(self, playbook: Playbook, alert: dict[str, Any], seen: Shared) -> str:
        """One run per deduplication key and aligned window; without a key, per alert."""
        alert_id, start = alert_identity(alert)
        dedup = playbook.document.trigger.dedup
        if dedup is None or playbook.key is None:
            return run_id(playbook.hash, alert_id, start)
        try:
            key = str(playbook.key.evaluate(seen))
        except ExpressionError as error:
            self._failed(playbook, f"'dedup.key' fails, so this alert has its own run: {error}")
            return run_id(playbook.hash, alert_id, start)
        return run_id(playbook.hash, key, start // dedup.window * dedup.window)

    def _failed(self, playbook: Playbook, reason: str) -> None:
        self.failures[playbook.id] += 1
        if self.reasons.get(playbook.id) != reason:
            self.reasons[playbook.id] = reason
            logger.warning("playbook %s (%s): %s", playbook.id, playbook.origin, reason)


def _document(record: Record) -> dict[str, Any]:
    try:
        value = orjson.loads(record.value)
    except orjson.JSONDecodeError as error:
        raise BadInput("alert", f"the alert is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadInput("alert", "the alert is no JSON object")
    alert_identity(value)
    return value


def alert_identity(alert: dict[str, Any]) -> tuple[str, int]:
    """Id and window start (ms) of an alert document, `tocsin.alert.{id,window_start}`.

    Raises BadInput if it has none: such an alert cannot have a run of its own.
    """
    own = alert.get("tocsin")
    own = own.get("alert") if isinstance(own, dict) else None
    if not isinstance(own, dict) or not isinstance(own.get("id"), str):
        raise BadInput("alert", "the alert has no tocsin.alert.id")
    match own.get("window_start"):
        case bool():
            pass
        case int() as start:
            return own["id"], start
        case str() as text:
            try:
                return own["id"], parse_iso(text)
            except ValueError:
                pass
    raise BadInput("alert", "the alert has no tocsin.alert.window_start")
