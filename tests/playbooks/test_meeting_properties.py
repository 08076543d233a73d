"""Runs that meet: whatever comes in whatever order, however often, and wherever it is cut off."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.gates import meet, meets
from playbooks.run_state import Phase, RunState, StepStatus
from playbooks.testing import START
from playbooks.world import World
from tests.playbooks.doubles import ACTIONS
from tests.playbooks.worlds import alert, written
from tocsin.contracts import (
    Cancel,
    Command,
    Decision,
    Effect,
    EffectStatus,
    Failure,
    Result,
    Returned,
    RunEvent,
    Start,
    Timer,
    Verdict,
)

if TYPE_CHECKING:
    from playbooks.reducer import Transition

PART = written(
    """\
metadata: {id: part}
trigger: {when: false, concurrency: {key: inputs.nope, max: 1}}
inputs: {ip: {required: true}}
outputs: {n: 'has(steps.shut.output.n) ? steps.shut.output.n : 0'}
steps:
  - {id: shut, action: firewall.block_ip, with: {ip: !cel inputs.ip}, hold: {ttl: 1h}}
""".replace("inputs.nope", "alert.rule.id")
)
BOOK = written(
    """\
metadata: {id: whole}
trigger:
  when: true
  dedup: {key: alert.rule.id, window: 1h, on_duplicate: restart}
  concurrency: {key: alert.rule.id, max: 2}
approvers: {group: soc}
limits: {deadline: 2h}
steps:
  - {id: sub, run: part, with: {ip: !cel alert.source.ip}, on_error: continue}
  - id: ask
    approval: {message: x, approvers: {group: soc}, timeout: 10m, together: alert.rule.id}
  - id: each
    for_each:
      in: '["192.0.2.1", "192.0.2.2"]'
      do: {id: shut, action: firewall.block_ip, with: {ip: !cel item},
           hold: {ttl: 1h, on_expiry: approval}, guard: {rate: {max: 1, per: 1m, exceed: approval}}}
    on_error: continue
  - {id: report, always: true, action: case.report}
""",
    part=PART,
)
RUNS = ("r1", "r2", "r3")
ASKS = (Verdict(guard="rate:playbook", allowed=False, reason="many", asks=True),)


class Driven(World):
    """A world that hands each of its own commands over `times` times."""

    __slots__ = ("effects", "events", "times")

    def __init__(self, times: int = 1) -> None:
        super().__init__(actions=ACTIONS)
        self.times = times
        self.effects: dict[tuple[str, int], Effect] = {}
        self.events: list[RunEvent] = []
        self.add(BOOK)

    def drive(self, command: Command) -> None:
        waiting = deque([command])
        while waiting:
            each = waiting.popleft()
            if meets(each):
                waiting += self._again(meet(self.meetings, each))
            elif (step := self._apply(each)) is not None:
                self._note(step)
                waiting += self._again(step.commands)

    def _again(self, commands: Any) -> list[Command]:
        return [command for command in commands for _ in range(self.times)]

    def _note(self, step: Transition) -> None:
        self.effects |= {(e.id, e.attempt): e for e in step.effects}
        self.events += step.events

    def crash(self) -> None:
        """Come back from what was stored."""
        self.runs = {
            run: RunState.from_json(orjson.loads(orjson.dumps(state.to_json())))
            for run, state in self.runs.items()
        }
        self.meetings = orjson.loads(orjson.dumps(self.meetings))

    def snapshot(self) -> tuple[Any, ...]:
        return (
            {run: state.to_json() for run, state in self.runs.items()},
            dict(self.meetings),
            {key: (e.verb, e.target, e.operation) for key, e in self.effects.items()},
        )


@st.composite
def histories(draw: st.DrawFn) -> list[Command]:
    world, now = Driven(), START
    history: list[Command] = []
    for _ in range(draw(st.integers(1, 14))):
        now += draw(st.sampled_from([0, 500, 20_000, 200_000]))
        command = _next(draw, world, history, now)
        history.append(command)
        world.drive(command)
    return history


def _next(draw: st.DrawFn, world: Driven, past: list[Command], now: int) -> Command:
    kind = draw(
        st.sampled_from(["start", "start", "result", "result", "result", "yes", "timer", "cancel",
                         "again"])
    )  # fmt: skip
    timers = [
        (run, name, due)
        for run, state in sorted(world.runs.items())
        for name, due in sorted(state.timers.items())
        if name != "retention"
    ]
    asked = [
        (run, path, step.approval)
        for run, state in sorted(world.runs.items())
        for path, step in sorted(state.steps.items())
        if step.status is StepStatus.WAITING and step.approval is not None
    ]
    if kind == "result" and world.effects:
        return _result(draw, draw(st.sampled_from(sorted(world.effects.items())))[1], now)
    if kind == "yes" and asked:
        run, path, approval = draw(st.sampled_from(asked))
        return Decision(
            run_id=run, step=path, id=f"d{len(past)}", approve=draw(st.booleans()),
            by=draw(st.sampled_from(["ana", "bor"])),
            groups=draw(st.sampled_from([("soc",), ("sales",)])), plan=approval.plan, at=now,
        )  # fmt: skip
    if kind == "timer" and timers:
        run, name, due = draw(st.sampled_from(timers))
        return Timer(run_id=run, timer=name, due=due, at=max(now, due))
    if kind == "cancel" and draw(st.integers(0, 3)) == 0:
        return Cancel(run_id=draw(st.sampled_from(RUNS)), by="ana", reason="no", at=now)
    if kind == "again" and past:
        return draw(st.sampled_from(past))
    return Start(
        run_id=draw(st.sampled_from(RUNS)),
        playbook=BOOK.id,
        playbook_hash=BOOK.hash,
        alert=alert(draw(st.sampled_from("abc")), draw(st.integers(1, 3))),
        at=now,
    )


def _result(draw: st.DrawFn, effect: Effect, now: int) -> Returned:
    status = draw(st.sampled_from(["ok", "ok", "failed", "refused"]))
    more: dict[str, Any] = {}
    if status == "failed":
        more["failure"] = Failure(kind="denied", message="no")
    if status == "refused":
        more["verdicts"] = ASKS
    result = Result(
        effect_id=effect.id, run_id=effect.run_id, step=effect.step, attempt=effect.attempt,
        status=EffectStatus(status), started=now, at=now, **more,
    )  # fmt: skip
    return Returned(run_id=effect.run_id, result=result, at=now)


def played(history: list[Command], times: int = 1, crash: int = -1) -> Driven:
    world = Driven(times)
    for number, command in enumerate(history):
        if number == crash:
            world.crash()
        world.drive(command)
    return world


@settings(max_examples=25, deadline=None)
@given(histories())
def test_case_12_rebuilt_after_any_prefix_it_is_the_same(history: list[Command]) -> None:
    whole = played(history).snapshot()
    for cut in range(len(history)):
        assert played(history, crash=cut).snapshot() == whole


@settings(max_examples=25, deadline=None)
@given(histories())
def test_whatever_comes_twice_counts_once(history: list[Command]) -> None:
    once = played(history)
    twice = played([command for command in history for _ in range(2)], times=2)
    assert twice.snapshot() == once.snapshot()
    assert twice.events == once.events


@settings(max_examples=25, deadline=None)
@given(histories())
def test_every_run_ends_and_nobody_waits_for_ever(history: list[Command]) -> None:
    world = played(history)
    for _ in range(400):
        due = [(at, run.run_id, name) for run in world.open() for name, at in run.timers.items()]
        if not due:
            break
        at, run_id, name = min(due)
        world.drive(Timer(run_id=run_id, timer=name, due=at, at=at))
    assert all(run.phase is Phase.FINISHED for run in world.runs.values())
    assert world.meetings == {}
    for run_id in world.runs:
        numbers = [event.seq for event in world.events if event.run_id == run_id]
        assert numbers == list(range(len(numbers)))
