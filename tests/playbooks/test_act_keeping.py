"""What the act stage keeps becomes small and is forgotten; leases come due without a search."""

from __future__ import annotations

import orjson

from playbooks import act_state
from playbooks.act_keeping import Keeping
from playbooks.act_model import RETENTION, Outcome, Place, Policy, Route, Step
from playbooks.act_records import EFFECT, LEASE, read_effect, read_lease
from playbooks.act_undo import begin_expiry, finish_undo
from playbooks.ended import KEPT_WHOLE
from playbooks.leases import lease_id
from tests.playbooks.effects_on_trial import T0, block, block_action, no_guards
from tocsin.contracts import (
    Effect,
    EffectStatus,
    Failure,
    LeaseState,
    Mode,
    Result,
    Returned,
    Topics,
)
from tocsin.state import KeyedState, raw

MINUTE = 60_000
VERB = "firewall.block_ip"
POLICY = Policy(
    {VERB: Route("fw", block_action())},
    {("fw", VERB): Route("fw", block_action())},
    no_guards(),
    Mode.ENFORCE,
)


class Partition:
    """The state of one, with what is kept of it noted as the worker does."""

    def __init__(self) -> None:
        self.state = KeyedState()
        self.keeping = Keeping(self.state)
        self.offset = -1

    def begin(self, effect: Effect, now: int) -> Step:
        self.offset += 1
        lease = raw(self.state, LEASE + lease_id(effect.verb, effect.target))
        place = Place(0, self.offset, now)
        step = act_state.begin(self.state, effect, place, POLICY, [self.state])
        self.keeping.noted(effect, lease)
        return step

    def carry_out(self, effect: Effect, now: int, outcome: Outcome | None = None) -> Step:
        step = self.begin(effect, now)
        assert step.invocation is not None
        lease = raw(self.state, LEASE + lease_id(effect.verb, effect.target))
        place = Place(0, self.offset, now)
        step = act_state.finish(
            self.state, effect, place, step.invocation, outcome or Outcome({"rule": 7})
        )
        self.keeping.noted(effect, lease)
        return step

    def restart(self) -> None:
        self.state = KeyedState({key: self.state.raw(key) for key in self.state})
        self.keeping = Keeping(self.state)


def result_of(step: Step) -> Result:
    (found,) = [Returned.decode(o.value) for o in step.outputs if o.topic == Topics.COMMANDS]
    return found.result


def test_an_effect_is_kept_in_short_and_answers_the_same_again() -> None:
    for restart in (False, True):
        done, failed, under_way = (block(f"192.0.2.{n}") for n in (1, 2, 3))
        here = Partition()
        no = Outcome(failure=Failure(kind="denied", message="no"))
        first = result_of(here.carry_out(done, T0))
        here.carry_out(failed, T0, no)
        here.begin(under_way, T0)
        before = {key: here.state[key] for key in here.state}
        if restart:
            here.restart()
        here.keeping.sweep(9, T0 + KEPT_WHOLE)
        assert dict(here.state) == before
        here.keeping.sweep(9, T0 + KEPT_WHOLE + 1_000)
        changed = {key for key in before if here.state[key] != before[key]}
        assert changed == {EFFECT + done.id, EFFECT + failed.id}
        kept = read_effect(here.state, done.id)
        assert len(orjson.dumps(kept)) < 110, kept
        again = result_of(here.begin(done, T0 + MINUTE))
        assert (again.status, again.effect_id, again.run_id, again.step, again.attempt) == (
            first.status, first.effect_id, first.run_id, first.step, first.attempt,
        )  # fmt: skip
        failure = result_of(here.begin(failed, T0 + MINUTE)).failure
        assert failure is not None
        assert failure.message == "no"
        # A next attempt of what has failed is made, of what has succeeded it is not.
        assert here.begin(failed.model_copy(update={"attempt": 2}), T0 + MINUTE).invocation
        later = here.begin(done.model_copy(update={"attempt": 2}), T0 + MINUTE)
        assert (later.invocation, result_of(later).attempt) == (None, 2)
        assert result_of(later).status is EffectStatus.OK


def test_only_what_ended_long_ago_and_cannot_come_again_is_forgotten() -> None:
    here = Partition()
    effects = [block(f"192.0.2.{n}") for n in (1, 2, 3)]
    for effect in effects[:2]:
        here.carry_out(effect, T0)
    here.begin(effects[2], T0)
    here.keeping.sweep(2, T0 + KEPT_WHOLE + 1_000)
    kept = set(here.state)
    here.keeping.sweep(2, T0 + RETENTION)
    assert set(here.state) == kept
    here.keeping.sweep(1, T0 + RETENTION + MINUTE)
    assert kept - set(here.state) == {EFFECT + effects[0].id}
    here.keeping.sweep(2, T0 + RETENTION + 2 * MINUTE)
    assert kept - set(here.state) == {EFFECT + each.id for each in effects[:2]}
    assert sum(key.startswith(LEASE) for key in here.state) == 2


def test_a_lease_comes_up_when_it_is_due_and_is_forgotten_when_released() -> None:
    for restart in (False, True):
        here, effect = Partition(), block("192.0.2.1")
        here.carry_out(effect, T0)
        lease = read_lease(here.state, VERB, "192.0.2.1")
        assert lease is not None
        if restart:
            here.restart()
        assert here.keeping.due(lease.expires - 1) == []
        (expiry,) = here.keeping.due(lease.expires)
        assert here.keeping.due(lease.expires) == [expiry]  # until it has ended
        place, before = Place(0, 5, lease.expires), raw(here.state, LEASE + lease.id)
        step = begin_expiry(here.state, expiry, place, POLICY)
        assert step.invocation is not None
        finish_undo(here.state, expiry, place, step.invocation, Outcome({"rule": 7}))
        here.keeping.noted(expiry, before)
        assert here.keeping.due(lease.expires + MINUTE) == []
        here.keeping.sweep(9, lease.expires + MINUTE)
        whole = raw(here.state, LEASE + lease.id)
        here.keeping.sweep(9, lease.expires + KEPT_WHOLE + MINUTE)
        assert len(raw(here.state, LEASE + lease.id) or b"") < len(whole or b"") - 100
        known = read_lease(here.state, VERB, "192.0.2.1")
        assert known is not None
        assert (known.state, known.generation) == (LeaseState.RELEASED, 1)
        here.keeping.sweep(9, lease.expires + RETENTION)
        assert LEASE + lease.id in here.state
        here.keeping.sweep(9, lease.expires + RETENTION + 2 * MINUTE)
        assert LEASE + lease.id not in here.state
