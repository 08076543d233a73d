"""Playing a playbook against scripted answers: what `<name>.test.yml` beside it says.

Nothing outside is touched: the reducer runs, the script answers for the products, and time
jumps to the next timer whenever nobody answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from playbooks.model import Duration
from playbooks.reducer import reduce
from playbooks.run_state import OPEN, Phase, RunState
from playbooks.source import mistakes, read_source
from tocsin.contracts import (
    Decision,
    Effect,
    EffectStatus,
    Failure,
    Mode,
    Result,
    Returned,
    RunEvent,
    Start,
    Timer,
    Verdict,
)
from tocsin.errors import ContentErrors, ExpressionError
from tocsin.ids import run_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from playbooks.program import Playbook
    from tocsin.contracts import Command

#: When a played run starts: 2026-01-01T00:00:00Z.
START = 1_767_225_600_000
#: How long a scripted product takes unless the answer says otherwise, ms.
DEFAULT_DELAY = 100
#: Most commands of one played run; a longer one is a mistake in the engine.
MAX_COMMANDS = 10_000


class _Scripted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Answer(_Scripted):
    """What a product answers to one attempt; `silent` is no answer at all."""

    model_config = ConfigDict(strict=False)  # it comes through `_answers` as Python lists

    status: Literal["ok", "failed", "refused", "dry_run", "unknown", "silent"] = "ok"
    output: dict[str, Any] = {}
    failure: Failure | None = None
    verdicts: tuple[Verdict, ...] = ()
    after: Duration = DEFAULT_DELAY


class Said(_Scripted):
    """What a person answers to an approval; without `groups` one of the group that is asked."""

    approve: bool = True
    by: str = "an analyst"
    groups: tuple[str, ...] | None = None
    after: Duration = 60_000


def _said(value: Any) -> Any:
    """`approve`, `deny` or `silent` is short for one answer of that kind, or none."""
    items = value if isinstance(value, list) else [value]
    words: dict[object, list[Any]] = {
        "approve": [{}], "deny": [{"approve": False}], "silent": [],
    }  # fmt: skip
    return [
        each
        for item in items
        for each in (words.get(item, [item]) if isinstance(item, str) else [item])
    ]


def _answers(value: Any) -> Any:
    """A word is a status, a single answer is for every attempt."""
    items = value if isinstance(value, list) else [value]
    return tuple({"status": item} if isinstance(item, str) else item for item in items)


#: One answer for each attempt; the last is for all further ones.
Answers = Annotated[tuple[Answer, ...], BeforeValidator(_answers)]


#: Answers of people to one approval.
Decisions = Annotated[tuple[Said, ...], BeforeValidator(_said), Field(strict=False)]


class Expectation(_Scripted):
    """What must have happened; what is left out does not matter.

    `effects` are the numbers of distinct effects by verb (all verbs that were asked for);
    `reason` is a part of the run's reason.
    """

    triggered: bool = True
    outcome: Literal["completed", "failed", "stopped", "timed_out", "cancelled"] | None = None
    reason: str = ""
    steps: dict[str, str] = {}
    targets: dict[str, str] = {}
    attempts: dict[str, int] = {}
    effects: dict[str, int] | None = None


class Case(_Scripted):
    """One test: an alert, the products' and people's answers by step, and what is expected.

    `crash` names a step: the engine dies after that step's effect has happened and before anybody
    knows, and comes back from its stored state, so that the effect is asked for again.
    """

    name: str
    alert: dict[str, Any]
    mode: Literal["enforce", "dry_run"] = "enforce"
    answers: dict[str, Answers] = {}
    decisions: dict[str, Decisions] = {}
    crash: str = ""
    expect: Expectation


class Cases(_Scripted):
    """A file of tests."""

    cases: tuple[Case, ...]


def load_cases(path: str, data: bytes) -> tuple[Case, ...]:
    """The tests in a file. Raises ContentErrors with every mistake at its place."""
    source = read_source(path, data)
    if not source.errors:
        try:
            return Cases.model_validate_json(orjson.dumps(source.value)).cases
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                source.complain(detail["loc"], detail["msg"])
    raise ContentErrors(mistakes([source]))


@dataclass(frozen=True, slots=True)
class Played:
    """What a played run did; `problems` are the expectations that were not met."""

    state: RunState | None
    events: tuple[RunEvent, ...]
    effects: tuple[Effect, ...]
    problems: tuple[str, ...] = ()


def run_test(playbook: Playbook, case: Case) -> Played:
    """Play one test."""
    try:
        triggered = playbook.when.test({"alert": case.alert})
    except ExpressionError as error:
        return Played(None, (), (), (f"the trigger fails: {error}",))
    if triggered != case.expect.triggered:
        word = "starts a run" if triggered else "starts no run"
        return Played(None, (), (), (f"the alert {word}",))
    if not triggered:
        return Played(None, (), ())
    if case.crash and case.crash.partition(".")[0] not in {s.path for s in playbook.steps}:
        return Played(None, (), (), (f"crash: no step '{case.crash}'",))
    played = play(
        playbook,
        case.alert,
        case.answers,
        Mode(case.mode),
        decisions=case.decisions,
        crash=case.crash,
    )
    problems = tuple(_problems(played, case.expect))
    return Played(played.state, played.events, played.effects, problems)


def play(
    playbook: Playbook,
    alert: dict[str, Any],
    answers: Mapping[str, tuple[Answer, ...]],
    mode: Mode = Mode.ENFORCE,
    *,
    decisions: Mapping[str, tuple[Said, ...]] | None = None,
    crash: str = "",
) -> Played:
    """Run a playbook on an alert to its end; steps without an answer in the script succeed.

    Nobody answers an approval for which the script has no decisions.
    """
    run = run_id(playbook.hash, "test", START)
    commands: list[Command] = [
        Start(run_id=run, playbook=playbook.id, playbook_hash=playbook.hash, alert=alert, at=START)
    ]
    state: RunState | None = None
    events: list[RunEvent] = []
    effects: list[Effect] = []
    asked: set[str] = set()
    for _ in range(MAX_COMMANDS):
        commands.sort(key=lambda command: command.at)
        command = commands.pop(0)
        step = reduce(state, command, playbook, mode=mode)
        state = step.state
        events += step.events
        if step.changed:
            effects += step.effects
            commands += [c for e in step.effects if (c := _answered(e, command.at, answers))]
        if state is not None and crash and any(e.step == crash for e in step.effects):
            state = RunState.from_json(state.to_json())
            again = list(state.unanswered())
            effects += again
            commands += [c for e in again if (c := _answered(e, command.at, answers))]
        if state is not None:
            commands += _said_to(state, decisions or {}, asked, command.at)
        if state is None or state.phase is Phase.FINISHED:
            break
        commands = [c for c in commands if not isinstance(c, Timer)] + [
            Timer(run_id=run, timer=name, due=due, at=due) for name, due in state.timers.items()
        ]
    return Played(state, tuple(events), tuple(effects))


def _said_to(
    state: RunState, decisions: Mapping[str, tuple[Said, ...]], asked: set[str], now: int
) -> Iterator[Decision]:
    """The answers of people to questions that are open and new."""
    for path, step in state.steps.items():
        approval = step.approval
        if approval is None or step.status not in OPEN or approval.plan in asked:
            continue
        asked.add(approval.plan)
        for number, said in enumerate(decisions.get(path, ())):
            yield Decision(
                run_id=state.run_id,
                step=path,
                id=f"{path}-{approval.plan[:8]}-{number}",
                approve=said.approve,
                by=said.by,
                groups=(approval.group,) if said.groups is None else said.groups,
                plan=approval.plan,
                at=now + said.after,
            )


def _answered(
    effect: Effect, now: int, answers: Mapping[str, tuple[Answer, ...]]
) -> Returned | None:
    script = answers.get(effect.step, (Answer(),))
    answer = script[min(effect.attempt, len(script)) - 1]
    if answer.status == "silent":
        return None
    at = now + answer.after
    failure = answer.failure
    if answer.status == "failed" and failure is None:
        failure = Failure(kind="http_4xx", message="the product said no")
    result = Result(
        effect_id=effect.id,
        run_id=effect.run_id,
        step=effect.step,
        attempt=effect.attempt,
        status=EffectStatus(answer.status),
        output=answer.output,
        failure=failure,
        verdicts=answer.verdicts,
        connector="script",
        started=now,
        at=at,
    )
    return Returned(run_id=effect.run_id, result=result, at=at)


def _problems(played: Played, expect: Expectation) -> list[str]:
    state = played.state
    if state is None or state.phase is not Phase.FINISHED:
        waiting = (
            [path for path, step in state.steps.items() if step.status in OPEN] if state else []
        )
        return [f"the run did not end; it waits for {waiting}"]
    distinct = {effect.id: effect for effect in played.effects if effect.operation == "apply"}
    counted: dict[str, int] = {}
    for effect in distinct.values():
        counted[effect.verb] = counted.get(effect.verb, 0) + 1
    pairs: list[tuple[str, object, object]] = [
        *((f"step {p}", s, state.step(p).status.value) for p, s in expect.steps.items()),
        *((f"target of {p}", t, state.step(p).target) for p, t in expect.targets.items()),
        *((f"attempts of {p}", n, state.step(p).attempt) for p, n in expect.attempts.items()),
    ]
    if expect.outcome is not None:
        pairs.append(("outcome", expect.outcome, state.outcome.value if state.outcome else ""))
    if expect.effects is not None:
        pairs.append(("effects", expect.effects, counted))
    problems = [f"{what}: expected {want}, was {was}" for what, want, was in pairs if want != was]
    if expect.reason not in state.reason:
        problems.append(f"reason: expected '{expect.reason}' in '{state.reason}'")
    return problems
