"""The two stages: records in, records and state out; crashes, poison, pinned playbooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from playbooks.clockwork import TIMER_REPEAT
from playbooks.decide import DecideStage
from playbooks.loading import PlaybookSet
from playbooks.run_state import Outcome, Phase
from playbooks.run_store import load_run
from playbooks.trigger import TriggerStage
from tests.playbooks.doubles import ACTIONS, ALERT, HEAD, playbook
from tocsin.audit import verify
from tocsin.contracts import (
    AuditEntry,
    Effect,
    EffectStatus,
    Mode,
    Result,
    Returned,
    RunEvent,
    Start,
    Timer,
    Topics,
)
from tocsin.errors import BadInput
from tocsin.log.base import Outgoing, Record
from tocsin.runtime import process_safely
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from pathlib import Path

    from playbooks.program import Playbook

NOW = 1_767_225_600_000
BLOCK = (
    "steps:\n"
    "  - {id: block, action: firewall.block_ip, with: {ip: !cel alert.source.ip},"
    " hold: {ttl: 1h}}\n"
    "  - {id: look, action: geoip.lookup, with: {ip: !cel alert.source.ip}}\n"
)
DEDUP = HEAD.replace('{when: "true"}', '{when: "true", dedup: {key: alert.source.ip, window: 1h}}')


def many(*playbooks: Playbook) -> PlaybookSet:
    return PlaybookSet({each.id: each for each in playbooks})


def record(value: bytes, topic: str = Topics.COMMANDS) -> Record:
    return Record(topic, 0, 0, None, value)


def alert(**changes: Any) -> dict[str, Any]:
    return {**ALERT, **changes}


def own(identity: str, start: Any, revision: int = 1) -> dict[str, Any]:
    return {"alert": {"id": identity, "revision": revision, "window_start": start}}


def starts(made: PlaybookSet, *alerts: dict[str, Any]) -> list[Start]:
    records = [record(orjson.dumps(each), Topics.ALERTS) for each in alerts]
    batch = TriggerStage(made).process(records, KeyedState(), NOW)
    assert batch.accounted == len(records)
    assert all(out.topic == Topics.COMMANDS for out in batch.outputs)
    found = [Start.decode(out.value) for out in batch.outputs]
    assert [out.key for out in batch.outputs] == [each.run_id.encode() for each in found]
    return found


class Decide:
    """The stage, its state, and everything it wrote."""

    def __init__(self, made: PlaybookSet, mode: Mode = Mode.ENFORCE) -> None:
        self.made, self.mode = made, mode
        self.stage = DecideStage(made, mode, actions=ACTIONS)
        self.state = KeyedState()
        self.outputs: list[Outgoing] = []

    def give(self, *commands: Start | Returned | Timer) -> list[Outgoing]:
        records = [record(command.encode()) for command in commands]
        batch = process_safely(self.stage, records, self.state, NOW)
        assert batch.accounted == len(records)
        self.outputs += batch.outputs
        return batch.outputs

    def tick(self, now: int) -> list[Outgoing]:
        before = dict(self.state)
        outputs = list(self.stage.tick(0, self.state, now))
        assert dict(self.state) == before
        return outputs

    def crash(self, made: PlaybookSet | None = None) -> None:
        """A new process with what was durable."""
        stored = {key: value for key, value in self.state.changes().items() if value is not None}
        self.state = KeyedState(stored)
        self.stage = DecideStage(made or self.made, self.mode, actions=ACTIONS)
        # What the old state held is what the new one must save on: mark all as unsaved again.
        for key in list(self.state):
            self.state[key] = self.state[key]

    def run(self, run_id: str) -> Any:
        found = load_run(self.state, run_id)
        assert found is not None
        return found


def effects(outputs: list[Outgoing]) -> list[Effect]:
    found = [out for out in outputs if out.topic == Topics.EFFECTS]
    decoded = [Effect.decode(out.value) for out in found]
    assert [out.key for out in found] == [each.target.encode() for each in decoded]
    return decoded


def answer(effect: Effect, at: int = NOW + 50) -> Returned:
    result = Result(
        effect_id=effect.id, run_id=effect.run_id, step=effect.step, attempt=effect.attempt,
        status=EffectStatus.OK, started=at, at=at,
    )  # fmt: skip
    return Returned(run_id=effect.run_id, result=result, at=at)


def test_alerts_that_no_playbook_wants_are_filtered_with_the_reason() -> None:
    wanted = playbook(
        "steps: [{id: s, stop: x}]", HEAD.replace('"true"', "alert.event.severity > 50")
    )
    stage = TriggerStage(many(wanted))
    documents = [alert(), alert(event={"severity": 1}), alert(event={})]
    records = [record(orjson.dumps(each), Topics.ALERTS) for each in documents]
    batch = stage.process(records, KeyedState(), NOW)
    assert (batch.sent, dict(batch.filtered)) == (1, {"no_trigger": 1, "trigger_error": 1})
    assert stage.failures == {"test": 1}
    assert "severity" in stage.reasons["test"]


@pytest.mark.parametrize(
    "value",
    [b"\xff", b"[]", b"{}", b'{"tocsin":{"alert":{"id":"a"}}}',
     b'{"tocsin":{"alert":{"id":"a","window_start":"soon"}}}'],
)  # fmt: skip
def test_what_is_no_alert_is_bad_input(value: bytes) -> None:
    with pytest.raises(BadInput):
        TriggerStage(many()).process([record(value)], KeyedState(), NOW)


def test_without_dedup_each_alert_has_its_run() -> None:
    made = many(playbook(BLOCK))
    a, again, b = starts(
        made,
        alert(tocsin=own("a", NOW)),
        alert(tocsin=own("a", "2026-01-01T00:00:00.000Z", revision=7)),
        alert(tocsin=own("b", NOW)),
    )
    assert a.run_id == again.run_id != b.run_id


def test_the_dedup_window_is_aligned() -> None:
    """Alerts on the two sides of a window's edge, one millisecond apart, have two runs."""
    made = many(playbook(BLOCK, DEDUP))
    hour = 3_600_000
    ids = [
        start.run_id
        for start in starts(
            made,
            alert(tocsin=own("a", NOW)),
            alert(tocsin=own("b", NOW + hour - 1)),
            alert(tocsin=own("c", NOW + hour)),
            alert(tocsin=own("d", NOW - 1)),
        )
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_a_run_from_alert_to_end() -> None:
    made = many(playbook(BLOCK))
    decide = Decide(made)
    (start,) = starts(made, alert())
    (block,) = effects(decide.give(start))
    (look,) = effects(decide.give(answer(block)))
    decide.give(answer(look))
    assert decide.run(start.run_id).outcome is Outcome.COMPLETED
    kinds = [RunEvent.decode(o.value).kind for o in decide.outputs if o.topic == Topics.RUNS]
    assert kinds == ["started", "requested", "succeeded", "requested", "succeeded", "finished"]
    entries = [AuditEntry.decode(o.value) for o in decide.outputs if o.topic == Topics.AUDIT]
    assert [entry.kind for entry in entries] == [f"run.{kind}" for kind in kinds]
    assert {entry.chain for entry in entries} == {"decide-0"}
    assert verify(entries).ok
    assert not verify([*entries[:2], *entries[3:]]).ok


def test_a_redelivered_command_changes_nothing_but_asks_again() -> None:
    made = many(playbook(BLOCK))
    decide = Decide(made)
    (start,) = starts(made, alert())
    (block,) = effects(decide.give(start))
    before = dict(decide.state)
    again = decide.give(start, start)
    assert [e.id for e in effects(again)] == [block.id, block.id]
    assert {out.topic for out in again} == {Topics.EFFECTS}
    assert dict(decide.state) == before


def test_after_a_crash_unanswered_effects_are_sent_again_once() -> None:
    made = many(playbook(BLOCK))
    decide = Decide(made)
    (start,) = starts(made, alert())
    (block,) = effects(decide.give(start))
    decide.tick(NOW)
    assert decide.tick(NOW) == []
    decide.crash()
    assert [e.id for e in effects(decide.tick(NOW))] == [block.id]
    assert decide.tick(NOW) == []
    decide.give(answer(block))
    decide.crash()
    assert [e.verb for e in effects(decide.tick(NOW))] == ["geoip.lookup"]


def test_due_timers_become_commands_and_are_not_repeated_at_once() -> None:
    made = many(playbook(BLOCK))
    decide = Decide(made)
    (start,) = starts(made, alert())
    decide.give(start)
    decide.tick(NOW)
    due = NOW + 15 * 60_000
    assert decide.tick(NOW + 149_999) == []
    (watchdog,) = [Timer.decode(out.value) for out in decide.tick(NOW + 150_000)]
    assert (watchdog.timer, watchdog.due) == ("step/block", NOW + 150_000)
    timers = [Timer.decode(out.value) for out in decide.tick(due)]
    assert {t.timer for t in timers} == {"deadline", "step/block"}
    assert decide.tick(due + 1) == []
    assert len(decide.tick(due + TIMER_REPEAT + 1)) == 2
    decide.give(next(t for t in timers if t.timer == "deadline"))
    assert decide.run(start.run_id).outcome is Outcome.TIMED_OUT
    decide.tick(due + 3 * TIMER_REPEAT)
    assert decide.tick(due + 9 * TIMER_REPEAT) == []


def test_timers_set_after_the_first_tick_are_seen() -> None:
    made = many(playbook(BLOCK))
    decide = Decide(made)
    assert decide.tick(NOW) == []
    (start,) = starts(made, alert())
    decide.give(start)
    names = [Timer.decode(out.value).timer for out in decide.tick(NOW + 16 * 60_000)]
    assert sorted(names) == ["deadline", "step/block"]


def test_how_records_are_cut_into_batches_does_not_matter() -> None:
    made = many(playbook(BLOCK), playbook(BLOCK, DEDUP.replace("test", "other")))
    commands: list[Start | Returned] = [*starts(made, *(alert(tocsin=own(n, NOW)) for n in "abc"))]
    whole, single = Decide(made), Decide(made)
    first = effects(whole.give(*commands))
    whole.give(*map(answer, first))
    for command in [*commands, *map(answer, first)]:
        single.give(command)
    assert dict(whole.state) == dict(single.state)
    assert whole.outputs == single.outputs


def test_open_runs_finish_on_the_playbook_they_started_with() -> None:
    old, new = playbook(BLOCK), playbook("steps: [{id: s, stop: new}]")
    decide = Decide(many(old))
    (start,) = starts(many(old), alert())
    (block,) = effects(decide.give(start))
    decide.crash(many(new))
    (look,) = effects(decide.give(answer(block)))
    assert look.verb == "geoip.lookup"
    decide.give(answer(look))
    assert decide.run(start.run_id).outcome is Outcome.COMPLETED


def test_a_verb_that_went_away_fails_its_step_not_the_others() -> None:
    made = many(playbook(BLOCK))
    decide = Decide(made)
    (start,) = starts(made, alert())
    (block,) = effects(decide.give(start))
    decide.crash(many())
    decide.stage = DecideStage(many(), Mode.ENFORCE, actions={})
    decide.give(answer(block))
    run = decide.run(start.run_id)
    assert run.outcome is Outcome.FAILED
    assert "no connector serves geoip.lookup" in run.reason


def test_start_of_a_playbook_that_is_not_loaded_is_a_dead_letter() -> None:
    made = many(playbook(BLOCK))
    decide = Decide(many())
    (start,) = starts(made, alert())
    (letter,) = decide.give(start)
    assert letter.topic == Topics.DEAD_LETTERS
    assert b"unknown_playbook" in letter.value


def test_a_run_that_breaks_the_reducer_is_ended_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = many(playbook(BLOCK))
    decide = Decide(made)
    poison, good = starts(made, alert(tocsin=own("a", NOW)), alert(tocsin=own("b", NOW)))
    sent = effects(decide.give(poison, good))
    decide.state[f"run/{poison.run_id}"] = {
        **decide.state[f"run/{poison.run_id}"],
        "timers": {"broken": NOW},
    }
    decide.give(Timer(run_id=poison.run_id, timer="broken", due=NOW, at=NOW), answer(sent[1]))
    broken = decide.run(poison.run_id)
    assert (broken.phase, broken.outcome) == (Phase.FINISHED, Outcome.FAILED)
    assert "internal error" in broken.reason
    assert decide.run(good.run_id).phase is Phase.MAIN
    assert "cannot go on" in caplog.text
    assert effects(decide.give(poison)) == []


@pytest.mark.parametrize("value", [b"\xff", b"{}", b'{"kind":"nope"}', b'{"kind":"start"}'])
def test_what_is_no_command_is_bad_input(value: bytes) -> None:
    stage = DecideStage(many(), Mode.ENFORCE, actions=ACTIONS)
    with pytest.raises(BadInput):
        stage.process([record(value)], KeyedState(), NOW)


def test_commands_for_unknown_runs_are_filtered() -> None:
    decide = Decide(many())
    assert decide.give(Timer(run_id="r", timer="deadline", due=NOW, at=NOW)) == []


def test_an_alert_far_too_large_is_cut_before_it_is_carried(tmp_path: Path) -> None:
    made = many(playbook(BLOCK))
    evidence = [{"original": "x" * 10_000, "n": n} for n in range(100)]
    big = alert(tocsin={"alert": {**own("a", NOW)["alert"], "evidence": evidence}})
    (start,) = starts(made, big)
    assert len(start.encode()) < 100_000
    kept = start.alert["tocsin"]["alert"]["evidence"]
    assert (kept[0]["n"], kept[-1]["n"]) == (0, 99)
