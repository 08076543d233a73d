"""A storm of alerts on one rule is one run, one question, and a few notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playbooks.loading import PlaybookSet
from playbooks.reducer import reduce
from playbooks.trigger import TriggerStage
from tests.playbooks.doubles import ALERT, playbook
from tocsin.contracts import Mode, RunEvent, Start
from tocsin.ids import canonical_json
from tocsin.log.base import Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from playbooks.run_state import RunState

ALERTS = 10_000
SOURCE = """
limits: {deadline: 2h}
steps:
  - id: ask
    approval:
      message: "Many: {{ alert.message }}"
      approvers: {group: soc}
      timeout: 30m
  - {id: block, if: steps.ask.decision == "approved", action: firewall.block_ip,
     with: {ip: !cel alert.source.ip}, hold: {ttl: 1h}}
"""
HEAD = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: storm}
trigger: {when: "true", dedup: {key: alert.rule.id, window: 1h}}
"""


def alert(number: int) -> dict[str, Any]:
    own = {"id": f"a-{number}", "revision": 1, "window_start": "2026-01-01T00:00:00.000Z"}
    return {**ALERT, "source": {"ip": f"203.0.113.{number % 250}"}, "tocsin": {"alert": own}}


def test_case_16_ten_thousand_alerts_on_one_rule_are_one_question() -> None:
    made = playbook(SOURCE, HEAD)
    stage = TriggerStage(PlaybookSet({made.id: made}))
    records = [
        Record("alerts", 0, number, None, canonical_json(alert(number)), (), 0)
        for number in range(ALERTS)
    ]
    starts = [
        Start.decode(out.value)
        for out in stage.process(records, KeyedState(), 1_767_225_600_000).outputs
    ]
    assert len({start.run_id for start in starts}) == 1
    state: RunState | None = None
    events: list[RunEvent] = []
    for start in starts:
        step = reduce(state, start, made, mode=Mode.ENFORCE)
        state = step.state
        events += step.events
    kinds = [event.kind for event in events]
    assert kinds.count("approval_requested") == 1
    assert kinds.count("attached") < 1_000
    assert state is not None
    assert len(canonical_json(state.to_json())) < 256 * 1024
