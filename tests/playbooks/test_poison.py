"""Poison playbooks: put aside with an alarm, the others go on (case 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from playbooks.decide import DecideStage
from playbooks.loading import PlaybookSet
from playbooks.poison import LACKING as LACKED
from playbooks.poison import LIMIT, QUARANTINED, QUIET, RELEASED, WINDOW
from playbooks.run_state import Outcome
from playbooks.run_store import load_run
from playbooks.trigger import TriggerStage
from tests.playbooks.doubles import ACTIONS
from tests.playbooks.worlds import alert, written
from tocsin.audit import verify
from tocsin.contracts import (
    AuditEntry,
    Effect,
    EffectStatus,
    Failure,
    Finding,
    Mode,
    Pardon,
    Result,
    Returned,
    Start,
    Topics,
)
from tocsin.log.base import Outgoing, Record
from tocsin.runtime import process_safely
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from playbooks.program import Playbook
    from tocsin.contracts import Command

NOW = 1_767_225_600_000
HEAD = "metadata: {id: %s}\ntrigger: {when: true}\n"
GOOD = "steps: [{id: look, action: geoip.lookup, with: {ip: !cel alert.source.ip}}]\n"
#: What a playbook may do to the engine by itself, by the name of the trick.
POISON = {
    "failing": "steps: [{id: a, let: {x: '1 / (1 - 1)'}}]",
    "variable": "vars: {x: '[1][3]'}\nsteps: [{id: a, stop: x}]",
    "bomb": "steps: [{id: a, let: {x: 'alert.many.map(a, alert.many.map(b, a))'}}]",
    "fan": "steps:\n  - {id: a, for_each: {in: 'alert.many', do: {id: b, action: geoip.lookup, "
    "with: {ip: !cel item}}}}",
    "branches": "steps:\n  - {id: a, parallel: {branches: [{id: b, action: geoip.lookup, with: "
    "{ip: !cel '1 / (1 - 1)'}}]}}",
    "outputs": "outputs: {x: '[1][3]'}\nsteps: [{id: a, let: {x: '1'}}]",
}
#: What reads something that an alert may lack: whoever writes alerts must not switch it off.
LACKING = {
    "value": "steps: [{id: a, let: {x: alert.no.such.thing}}]",
    "type": "steps: [{id: a, let: {x: alert.message + 1}}]",
    "zero": "steps: [{id: a, let: {x: 1 / (alert.event.severity - alert.event.severity)}}]",
    "variable": "vars: {x: alert.nope}\nsteps: [{id: a, stop: x}]",
    "condition": "steps: [{id: a, if: alert.nope == 1, stop: x}]",
    "input": "steps: [{id: a, action: geoip.lookup, with: {ip: !cel alert.nope}}]",
    "branch": "steps:\n  - {id: a, parallel: {branches: [{id: b, action: geoip.lookup, with: "
    "{ip: !cel alert.nope}}]}}",
    "list": "steps:\n  - {id: a, for_each: {in: alert.nope, do: {id: b, action: geoip.lookup, "
    "with: {ip: !cel item}}}}",
    "text": "steps: [{id: a, approval: {message: '{{ alert.nope }}', timeout: 1m, approvers: "
    "{group: g}}}]",
    "outputs": "outputs: {x: alert.nope}\nsteps: [{id: a, let: {x: '1'}}]",
}


class Decide:
    """The two stages over one partition."""

    def __init__(self, *playbooks: Playbook) -> None:
        made = PlaybookSet({each.id: each for each in playbooks})
        self.trigger = TriggerStage(made)
        self.stage = DecideStage(made, Mode.ENFORCE, actions=ACTIONS)
        self.state = KeyedState()
        self.outputs: list[Outgoing] = []
        self.dead: dict[str, int] = {}

    def give(self, *commands: Command) -> list[Outgoing]:
        """Apply commands and whatever they tell other runs."""
        records = [Record(Topics.COMMANDS, 0, 0, None, c.encode()) for c in commands]
        batch = process_safely(self.stage, records, self.state, NOW)
        assert batch.accounted == len(records)
        self.outputs += batch.outputs
        for code, number in batch.dead.items():
            self.dead[code] = self.dead.get(code, 0) + number
        return batch.outputs

    def alert(self, name: str, at: int = NOW, **changes: Any) -> list[Outgoing]:
        given = {"many": ["192.0.2.1"] * 120, **changes}
        record = Record(Topics.ALERTS, 0, 0, None, orjson.dumps(alert(name, **given)))
        starts = self.trigger.process([record], KeyedState(), at).outputs
        return self.give(*(Start.decode(out.value) for out in starts))

    def of(self, topic: str) -> list[bytes]:
        return [out.value for out in self.outputs if out.topic == topic]


def test_case_06_every_kind_of_poison_is_quarantined_and_the_others_go_on() -> None:
    good = written(HEAD % "good" + GOOD)
    bad = [written(HEAD % name + rest) for name, rest in POISON.items()]
    decide = Decide(good, *bad)
    for number in range(LIMIT + 2):
        decide.alert(f"a{number}")
    effects = [Effect.decode(value) for value in decide.of(Topics.EFFECTS)]
    assert len([e for e in effects if e.playbook == "good"]) == LIMIT + 2
    alarms = [Finding.decode(value) for value in decide.of(Topics.FINDINGS)]
    assert sorted(each.fields["service.name"] for each in alarms) == sorted(p.id for p in bad)
    assert decide.dead == {"quarantined": 2 * len(bad)}
    entries = [AuditEntry.decode(value) for value in decide.of(Topics.AUDIT)]
    assert verify(entries).ok
    put_aside = [each.body for each in entries if each.kind == QUARANTINED]
    assert {each["playbook"] for each in put_aside} == {p.id for p in bad}
    assert all(each["reason"] and each["hash"] for each in put_aside)


def test_what_alerts_lack_is_told_once_and_switches_nothing_off() -> None:
    for name, rest in LACKING.items():
        decide = Decide(written(HEAD % name + rest))
        for number in range(2 * LIMIT):
            decide.alert(f"a{number}")
        assert decide.dead == {}, name
        (alarm,) = [Finding.decode(value) for value in decide.of(Topics.FINDINGS)]
        assert (alarm.rule.id, alarm.fields) == (
            "tocsin-playbook-lacking", {"service.name": name},
        ), name  # fmt: skip
        entries = [AuditEntry.decode(value) for value in decide.of(Topics.AUDIT)]
        told = [each.body for each in entries if each.kind == LACKED]
        assert [each["playbook"] for each in told] == [name]
        assert told[0]["reason"], name
        for number in range(LIMIT):
            decide.alert(f"b{number}", at=NOW + QUIET - 1)
        assert len(decide.of(Topics.FINDINGS)) == 1, name
        decide.alert("c", at=NOW + QUIET)
        assert len(decide.of(Topics.FINDINGS)) == 2, name


def test_alerts_without_a_field_do_not_hide_those_that_have_it() -> None:
    """Five alerts of an attacker's making, then the real one: it is answered."""
    reader = "steps: [{id: look, action: geoip.lookup, with: {ip: !cel alert.destination.ip}}]\n"
    decide = Decide(written(HEAD % "reader" + reader))
    for number in range(LIMIT):
        decide.alert(f"a{number}")
    assert decide.of(Topics.EFFECTS) == []
    decide.alert("real", destination={"ip": "198.51.100.7"})
    assert [Effect.decode(each).target for each in decide.of(Topics.EFFECTS)] == ["198.51.100.7"]


def test_case_06_an_answer_of_100_mb_harms_nobody() -> None:
    """The act stage hands on its size and hash; an expression that needs more has no value."""
    greedy = written(
        HEAD % "greedy" + GOOD.replace("]", ", {id: a, let: {x: steps.look.output.country}}]")
    )
    decide = Decide(greedy)
    for number in range(LIMIT + 1):
        for out in decide.alert(f"a{number}"):
            if out.topic == Topics.EFFECTS:
                _answer(decide, out, {"oversized": True, "bytes": 100 * 1024 * 1024})
    assert decide.dead == {}
    (alarm,) = [Finding.decode(value) for value in decide.of(Topics.FINDINGS)]
    assert alarm.rule.id == "tocsin-playbook-lacking"


def _answer(decide: Decide, out: Outgoing, output: dict[str, Any], at: int = NOW) -> str:
    effect = Effect.decode(out.value)
    status, failure = EffectStatus.OK, None
    if not output:
        status, failure = EffectStatus.FAILED, Failure(kind="invalid", message="no such address")
    result = Result(
        effect_id=effect.id, run_id=effect.run_id, step=effect.step, attempt=effect.attempt,
        status=status, output=output, failure=failure, started=at, at=at,
    )  # fmt: skip
    decide.give(Returned(run_id=effect.run_id, result=result, at=at))
    return effect.run_id


def test_a_product_that_says_no_is_no_poison() -> None:
    decide = Decide(written(HEAD % "good" + GOOD))
    for number in range(3 * LIMIT):
        (out,) = [o for o in decide.alert(f"a{number}") if o.topic == Topics.EFFECTS]
        run = load_run(decide.state, _answer(decide, out, {}))
        assert run is not None
        assert run.outcome is Outcome.FAILED
    assert decide.dead == {}


def test_alerts_whose_address_is_none_do_not_switch_a_playbook_off() -> None:
    """Whoever can write such alerts could else keep the others from being answered."""
    decide = Decide(written(HEAD % "good" + GOOD))
    for number in range(3 * LIMIT):
        assert not [
            out
            for out in decide.alert(f"a{number}", source={"ip": "010.1.2.3"})
            if out.topic == Topics.EFFECTS
        ]
    assert decide.dead == {}
    assert [out for out in decide.alert("real") if out.topic == Topics.EFFECTS]


def test_one_that_works_in_between_and_one_that_fails_seldom_stay() -> None:
    mixed = written(HEAD % "mixed" + "steps: [{id: a, let: {x: alert.user.name}}]")
    decide = Decide(mixed)
    for number in range(2 * LIMIT):
        decide.alert(f"bad{number}")
        if number % 3 == 2:
            decide.alert(f"good{number}", user={"name": "ana"})
    assert decide.dead == {}
    seldom = Decide(mixed)
    for number in range(2 * LIMIT):
        seldom.alert(f"bad{number}", at=NOW + number * WINDOW // 2)
    assert seldom.dead == {}


def test_a_person_releases_it_and_a_mended_one_is_free_at_once() -> None:
    bad = written(HEAD % "bad" + POISON["failing"])
    decide = Decide(bad)
    for number in range(LIMIT):
        decide.alert(f"a{number}")
    decide.alert("refused")
    assert decide.dead == {"quarantined": 1}
    decide.give(Pardon(run_id="bad", playbook="bad", by="ana", at=NOW))
    assert b'"by":"ana"' in decide.of(Topics.AUDIT)[-1]
    assert AuditEntry.decode(decide.of(Topics.AUDIT)[-1]).kind == RELEASED
    decide.alert("again")
    assert decide.dead == {"quarantined": 1}
    for number in range(LIMIT):
        decide.alert(f"b{number}")
    mended = written(HEAD % "bad" + "steps: [{id: a, stop: fine}]")
    after = Decide(mended)
    after.state = decide.state
    after.alert("c")
    assert after.dead == {}


def test_a_poisoned_sub_playbook_is_told_to_whoever_calls_it() -> None:
    child = written("metadata: {id: child}\ntrigger: {when: false}\n" + POISON["failing"])
    parent = written(
        HEAD % "parent" + "steps: [{id: sub, run: child, on_error: continue}]", child=child
    )
    decide = Decide(parent)
    for number in range(LIMIT + 1):
        waiting = [o for o in decide.alert(f"a{number}") if o.topic == Topics.COMMANDS]
        while waiting:
            command = waiting.pop(0)
            record = Record(Topics.COMMANDS, 0, 0, None, command.value)
            batch = process_safely(decide.stage, [record], decide.state, NOW)
            decide.outputs += batch.outputs
            waiting += [o for o in batch.outputs if o.topic == Topics.COMMANDS]
    reasons = [value for value in decide.of(Topics.COMMANDS) if b"in quarantine" in value]
    assert len(reasons) == 1
    assert len(decide.of(Topics.FINDINGS)) == 1
