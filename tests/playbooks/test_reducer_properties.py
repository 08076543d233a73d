"""Whatever comes in whatever order, however often: the same run."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.reducer import reduce
from playbooks.run_state import Phase, RunState, StepStatus
from playbooks.testing import START
from tests.playbooks.doubles import ALERT, playbook
from tocsin.contracts import (
    Cancel,
    Command,
    Effect,
    EffectStatus,
    Failure,
    Mode,
    Result,
    Returned,
    RunEvent,
    Start,
    Timer,
)

RICH = playbook(
    """\
vars: {ip: alert.source.ip}
steps:
  - id: look
    parallel:
      join: {min_success: 1, timeout: 20s}
      branches:
        - {id: a, action: geoip.lookup, with: {ip: !cel vars.ip}}
        - id: b
          action: inventory.lookup
          with: {entity: !cel vars.ip}
          if: alert.event.severity > 1
    on_error: continue
  - id: block
    if: steps.look.status == "ok"
    action: firewall.block_ip
    with: {ip: !cel vars.ip}
    hold: {ttl: 1h}
    retry: {max: 2, on: [timeout, unavailable]}
    timeout: 10s
  - {id: page, action: pager.call, with: {message: x}, on_error: continue}
  - {id: report, always: true, action: case.report}
  - id: tell
    always: true
    action: notify.webhook
    with: {message: !cel run.id}
    on_error: continue
"""
)

STATUSES = st.sampled_from([*EffectStatus, EffectStatus.OK, EffectStatus.FAILED])
KINDS = st.sampled_from(["timeout", "unavailable", "denied"])


def start(revision: int, at: int) -> Start:
    own = {**ALERT["tocsin"]["alert"], "revision": revision}
    document = {**ALERT, "tocsin": {"alert": own}}
    return Start(run_id="r", playbook=RICH.id, playbook_hash=RICH.hash, alert=document, at=at)


def apply(
    state: RunState | None, command: Command
) -> tuple[RunState, list[Effect], list[RunEvent]]:
    step = reduce(state, command, RICH, mode=Mode.ENFORCE)
    assert step.state is not None
    if not step.changed:
        assert step.state == state
        assert step.events == ()
    return step.state, list(step.effects), list(step.events)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Command], list[Command]]:
    """What happened to a run: with everything delivered again at random, and without."""
    noisy: list[Command] = [start(1, START)]
    clean = list(noisy)
    state, effects, _ = apply(None, noisy[0])
    known = {(e.id, e.attempt): e for e in effects}
    now = START
    for _ in range(draw(st.integers(0, 25))):
        now += draw(st.sampled_from([0, 1, 500, 20_000, 200_000]))
        command, novel = _next(draw, state, list(known.values()), noisy, now)
        noisy.append(command)
        if novel:
            clean.append(command)
        state, effects, _ = apply(state, command)
        known |= {(e.id, e.attempt): e for e in effects}
    return noisy, clean


def _next(
    draw: st.DrawFn, state: RunState, known: list[Effect], past: list[Command], now: int
) -> tuple[Command, bool]:
    timers = {name: due for name, due in state.timers.items() if name != "retention"}
    match draw(
        st.sampled_from(["result", "result", "timer", "early", "again", "attach", "cancel"])
    ):
        case "result" if known:
            return _result(draw, draw(st.sampled_from(known)), now), True
        case "timer" if timers:
            name, due = draw(st.sampled_from(sorted(timers.items())))
            return Timer(run_id="r", timer=name, due=due, at=max(now, due)), True
        case "early" if timers:
            name, due = draw(st.sampled_from(sorted(timers.items())))
            return Timer(run_id="r", timer=name, due=due, at=due - 1), False
        case "attach":
            return start(draw(st.integers(1, 9)), now), True
        case "cancel" if draw(st.integers(0, 5)) == 0:
            return Cancel(run_id="r", by="ana", reason="no", at=now), True
        case _:
            return draw(st.sampled_from(past)), False


def _result(draw: st.DrawFn, effect: Effect, now: int) -> Returned:
    status = draw(STATUSES)
    failure = None
    if status is EffectStatus.FAILED:
        failure = Failure(kind=draw(KINDS), message="no", retry_after=draw(st.none() | st.just(9)))
    output: dict[str, Any] = {"n": draw(st.integers(0, 3))} if status is EffectStatus.OK else {}
    result = Result(
        effect_id=effect.id, run_id="r", step=effect.step, attempt=effect.attempt, status=status,
        failure=failure, output=output, started=now, at=now,
    )  # fmt: skip
    return Returned(run_id="r", result=result, at=now)


def replay(commands: list[Command]) -> tuple[list[RunState], list[Effect], list[RunEvent]]:
    states: list[RunState] = []
    effects: list[Effect] = []
    events: list[RunEvent] = []
    state: RunState | None = None
    for command in commands:
        state, asked, told = apply(state, command)
        states.append(state)
        effects += asked
        events += told
    return states, effects, events


@settings(max_examples=100, deadline=None)
@given(histories())
def test_delivering_again_changes_nothing(history: tuple[list[Command], list[Command]]) -> None:
    noisy, clean = history
    with_noise, effects, events = replay(noisy)
    without, asked, told = replay(clean)
    assert with_noise[-1] == without[-1]
    assert {(e.id, e.attempt) for e in effects} == {(e.id, e.attempt) for e in asked}
    assert events == told


@settings(max_examples=50, deadline=None)
@given(histories(), st.integers(1, 3))
def test_each_command_any_number_of_times(
    history: tuple[list[Command], list[Command]], times: int
) -> None:
    _, clean = history
    repeated = [command for command in clean for _ in range(times)]
    assert replay(repeated)[0][-1] == replay(clean)[0][-1]


@settings(max_examples=40, deadline=None)
@given(histories())
def test_any_prefix_replayed_gives_the_same_state(
    history: tuple[list[Command], list[Command]],
) -> None:
    noisy, _ = history
    states, _, events = replay(noisy)
    for cut in range(1, len(noisy) + 1):
        # As after a crash: the state comes back from its JSON in the middle of the history.
        kept = RunState.from_json(orjson.loads(orjson.dumps(states[cut - 1].to_json())))
        assert kept == states[cut - 1]
        state = kept
        for command in noisy[cut:]:
            state, _, _ = apply(state, command)
        assert state == states[-1]
    assert [event.seq for event in events] == list(range(len(events)))


@settings(max_examples=60, deadline=None)
@given(histories())
def test_every_run_ends_by_its_timers_alone(
    history: tuple[list[Command], list[Command]],
) -> None:
    noisy, _ = history
    states, _, events = replay(noisy)
    state = states[-1]
    for _ in range(100):
        if state.phase is Phase.FINISHED:
            break
        name, due = min(state.timers.items(), key=lambda item: item[1])
        state, _, told = apply(state, Timer(run_id="r", timer=name, due=due, at=due))
        events += told
    assert state.phase is Phase.FINISHED
    requested = [event.step for event in events if event.kind == "requested"]
    assert len(requested) == len(set(requested))
    assert {"report", "tell"} <= {*requested}
    assert sum(event.kind == "finished" for event in events) == 1


@settings(max_examples=50, deadline=None)
@given(histories())
def test_the_outbox_is_what_is_not_answered(
    history: tuple[list[Command], list[Command]],
) -> None:
    for state in replay(history[0])[0]:
        running = {
            step.effect_id
            for step in state.steps.values()
            if step.effect_id and step.status is StepStatus.RUNNING
        }
        unanswered = {e.id for e in state.unanswered() if e.operation == "apply"}
        assert unanswered == running
        waiting = {s.effect_id for s in state.steps.values() if s.status is StepStatus.WAITING}
        applied = {e.id for e in state.outbox.values() if e.operation == "apply"}
        assert applied == running | waiting
