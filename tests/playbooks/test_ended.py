"""Runs that have ended become small, and nobody can tell; in the end they are forgotten."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.decide import DecideStage
from playbooks.ended import KEPT_WHOLE, RETENTION, TOMB, Agenda, revived, tombstone
from playbooks.reducer import reduce
from playbooks.run_state import ApprovalState, Outcome, Phase, RunState, StepState, StepStatus
from playbooks.run_store import load_run, shrink_run
from playbooks.testing import START
from tests.playbooks.doubles import ACTIONS, ALERT, playbook
from tests.playbooks.test_decide import BLOCK, DEDUP, NOW, alert, answer, effects, many, own, starts
from tests.playbooks.test_reducer_properties import RICH, histories, replay, start
from tocsin.contracts import (
    Admission,
    Ask,
    Cancel,
    Command,
    Decision,
    Effect,
    EffectStatus,
    Mode,
    Parent,
    Result,
    Returned,
    Start,
    Timer,
    Topics,
)
from tocsin.log.base import Outgoing, Record
from tocsin.runtime import process_safely
from tocsin.state import KeyedState

MINUTE = 60_000


def ended(history: list[Command]) -> tuple[RunState, list[Effect]]:
    """The run of a history after its end, when every effect has its answer."""
    states, sent, _ = replay(history)
    state = states[-1]
    while state.phase is not Phase.FINISHED:
        name, due = min(state.timers.items(), key=lambda item: item[1])
        state, more = give(state, Timer(run_id="r", timer=name, due=due, at=due))
        sent += more
    for effect in sent:
        state, _ = give(state, returned(effect, state.finished + 1))
    return state, sent


def give(state: RunState, command: Command) -> tuple[RunState, list[Effect]]:
    step = reduce(state, command, RICH, mode=Mode.ENFORCE)
    assert step.state is not None
    return step.state, list(step.effects)


def returned(effect: Effect, at: int) -> Returned:
    result = Result(
        effect_id=effect.id, run_id=effect.run_id, step=effect.step, attempt=effect.attempt,
        status=EffectStatus.OK, started=at, at=at,
    )  # fmt: skip
    return Returned(run_id=effect.run_id, result=result, at=at)


def same(state: RunState, command: Command) -> None:
    """A command means the same to a run and to its tombstone, also to what comes of them."""
    small = tombstone(state)
    assert small is not None
    back = revived("r", orjson.loads(orjson.dumps(small)))
    assert tombstone(back) == small
    whole = reduce(state, command, RICH, mode=Mode.ENFORCE)
    after = reduce(back, command, RICH, mode=Mode.ENFORCE)
    said = (whole.changed, whole.events, whole.effects, whole.commands)
    assert (after.changed, after.events, after.effects, after.commands) == said, command.kind
    assert whole.state is not None
    assert after.state is not None
    assert tombstone(whole.state) == tombstone(after.state)


@settings(max_examples=20, deadline=None)
@given(histories(), st.integers(1, 30), st.booleans())
def test_a_tombstone_hears_what_its_run_would_have(
    history: tuple[list[Command], list[Command]], revision: int, called: bool
) -> None:
    state, sent = ended(history[0])
    if called:
        state = state.but(parent=Parent(run_id="p", step="s", depth=1))
    at = state.finished + KEPT_WHOLE
    other = start(revision, at).model_copy(update={"alert": {**ALERT, "tocsin": own("other", 0)}})
    late = [returned(effect, at) for effect in sent]
    for command in [
        start(revision, at), other, *late, *history[0],
        Cancel(run_id="r", by="ana", reason="no", at=at),
        Cancel(run_id="r", by="ana", reason="no", at=START + 1),
        Admission(run_id="r", gate="g", admitted=True, at=at),
        Ask(run_id="r", step="block", plan="p", count=2, members=(), at=at),
    ]:  # fmt: skip
        same(state, command)


def test_a_tombstone_is_small() -> None:
    state, _ = ended([start(1, START)])
    small = tombstone(state)
    assert len(orjson.dumps(small)) <= 220, small
    assert len(orjson.dumps(state.to_json())) > 4 * len(orjson.dumps(small))


def test_a_late_answer_and_a_common_question_find_their_step() -> None:
    asked = ApprovalState(plan="p", group="soc", quorum=2, approved=("ana",), answers=("one",))
    steps = {
        "ask": StepState(status=StepStatus.OK, approval=asked),
        "all": StepState(status=StepStatus.TIMED_OUT, joined="q"),
        "plain": StepState(status=StepStatus.OK, output={"x": 1}),
    }
    state = RunState(
        run_id="r", playbook=RICH.id, version=1, hash=RICH.hash, started=START, finished=START + 9,
        phase=Phase.FINISHED, outcome=Outcome.COMPLETED, steps=steps, seq=7, alert_id="a",
        attached={"a": 1},
    )  # fmt: skip
    for answered in ("one", "two"):
        same(
            state,
            Decision(
                run_id="r", id=answered, step="ask", approve=True, by="bo", groups=("soc",),
                plan="p", at=START + MINUTE,
            ),
        )  # fmt: skip
    same(state, Ask(run_id="r", step="all", plan="p", count=2, members=(), at=START + MINUTE))
    assert set((tombstone(state) or {})["steps"]) == {"ask", "all"}


def test_a_run_that_waits_for_a_result_stays_whole() -> None:
    running = StepState(status=StepStatus.TIMED_OUT, effect_id="e", attempt=2, answered=(1,))
    state = RunState(
        run_id="r", playbook="p", version=1, hash="h", started=START, finished=START + 9,
        phase=Phase.FINISHED, steps={"block": running},
    )  # fmt: skip
    assert tombstone(state) is None
    assert tombstone(state.but(steps={"block": running.but(answered=(1, 2))})) is not None


# in the stage


def records(*commands: Command) -> list[Record]:
    return [Record(Topics.COMMANDS, 0, 0, None, each.encode()) for each in commands]


class Decided:
    """The stage over a log of commands."""

    def __init__(self, stored: dict[str, bytes] | None = None) -> None:
        self.made = many(playbook(BLOCK, DEDUP))
        self.stage = DecideStage(self.made, Mode.ENFORCE, actions=ACTIONS)
        self.state = KeyedState(stored)
        self.log: list[Record] = []

    def give(self, *commands: Command) -> list[Outgoing]:
        self.log += records(*commands)
        return process_safely(self.stage, records(*commands), self.state, NOW).outputs

    def snapshot(self) -> dict[str, bytes]:
        return {key: self.state.raw(key) for key in self.state}

    def runs(self) -> list[str]:
        """What is kept of each run: whole, a tombstone, …"""
        return ["tomb" if TOMB in self.state[key] else self.state[key].get("phase", "main")
                for key in self.state if key.startswith("run/")]  # fmt: skip

    def alerts(self, *names: str, at: int = NOW) -> list[Start]:
        """An alert for each address."""
        found = [alert(source={"ip": f"203.0.113.{n}"}, tocsin=own(n, NOW)) for n in names]
        return [each.model_copy(update={"at": at}) for each in starts(self.made, *found)]

    def end(self, begun: Start, at: int) -> None:
        """Play a run to its end."""
        sent = effects(self.give(begun.model_copy(update={"at": at})))
        while sent:
            sent = effects(self.give(*[answer(each, at) for each in sent]))


def life() -> Decided:
    """Runs over more than a retention, one of them with a result that comes late."""
    decided = Decided()
    first, second, third, fourth, last = decided.alerts("1", "2", "3", "4", "5")
    decided.end(first, NOW)
    decided.end(second, NOW + MINUTE)
    (late, *_) = effects(decided.give(third.model_copy(update={"at": NOW + MINUTE})))
    while timers := decided.state[f"run/{third.run_id}"].get("timers"):
        name, due = min(timers.items(), key=lambda item: item[1])
        decided.give(Timer(run_id=third.run_id, timer=name, due=due, at=due))
    assert decided.runs() == ["finished", "finished", "finished"]
    decided.end(fourth, NOW + KEPT_WHOLE + 2_000)
    decided.end(first, NOW + 2 * KEPT_WHOLE)  # its alert again
    assert decided.runs() == ["tomb", "tomb", "finished", "finished"]
    decided.give(answer(late, NOW + 3 * KEPT_WHOLE))
    assert decided.runs() == ["tomb", "tomb", "tomb", "tomb"]
    decided.end(last, NOW + RETENTION + MINUTE)
    assert decided.runs() == ["tomb", "tomb", "tomb", "finished"]
    return decided


def test_runs_become_tombstones_and_are_forgotten() -> None:
    decided = life()
    decided.end(decided.alerts("1")[0], NOW + RETENTION + 2 * MINUTE)
    assert decided.runs() == ["tomb", "tomb", "finished", "finished"]  # begun anew, at the end


def test_the_state_is_the_same_from_every_prefix_and_in_any_batches() -> None:
    """No snapshot, a snapshot after any command, one batch or many: one state, one history."""
    decided = life()
    log, kept = decided.log, decided.snapshot()
    whole, told, snapshots = Decided(), list[Outgoing](), [dict[str, bytes]()]
    for record in log:
        told += process_safely(whole.stage, [record], whole.state, NOW).outputs
        snapshots.append(whole.snapshot())
    assert whole.snapshot() == kept
    for cut, snapshot in enumerate(snapshots):
        one = Decided(snapshot)
        said = process_safely(one.stage, log[cut:], one.state, NOW).outputs
        assert one.snapshot().keys() == kept.keys(), f"after {cut} commands"
        assert dict(one.state) == dict(whole.state), f"after {cut} commands"
        assert said == told[len(told) - len(said) :]


def test_what_an_older_version_kept_still_loads() -> None:
    """A run that ended had a timer for its retention, and its parts as they were."""
    decided = Decided()
    (begun,) = decided.alerts("1")
    decided.end(begun, NOW)
    key = f"run/{begun.run_id}"
    old: dict[str, Any] = {**decided.state[key], "timers": {"retention": NOW + RETENTION}}
    again = Decided({**decided.snapshot(), key: orjson.dumps(old)})
    assert again.give(begun) == []
    (timer,) = again.stage.tick(0, again.state, NOW + RETENTION)
    again.give(Timer.decode(timer.value))
    assert again.runs() == []
    by_time = Decided({**decided.snapshot(), key: orjson.dumps(old)})
    by_time.give(*by_time.alerts("2", at=NOW + KEPT_WHOLE + 1_000))
    assert by_time.runs() == ["tomb", "main"]
    assert load_run(by_time.state, begun.run_id) is not None
    assert shrink_run(by_time.state, "nobody") is None


def test_keys_come_up_at_their_time_and_once() -> None:
    agenda = Agenda()
    for key, at in (("b", 20), ("a", 10), ("c", 20)):
        agenda.add(key, at)
    assert list(agenda.due(9)) == []
    assert list(agenda.due(19)) == ["a"]
    assert list(agenda.due(99)) == ["b", "c"]
    assert list(agenda.due(99)) == []
