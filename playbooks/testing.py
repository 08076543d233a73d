"""Playing a playbook against scripted answers: what `<name>.test.yml` beside it says.

Nothing outside is touched: the reducer runs, the script answers for the products, and time
jumps to the next timer whenever nobody answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from playbooks.model import Duration
from playbooks.run_state import OPEN, Phase, RunState, StepState
from playbooks.source import mistakes, read_source
from playbooks.world import World
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
    from collections.abc import Callable, Iterator, Mapping

    from playbooks.program import Playbook
    from playbooks.world import Happened
    from responders.base import Action
    from tocsin.contracts import Command

    #: What answers an effect of an action where the script does not.
    Respond = Callable[[Effect, Action], "Answer"]

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

    model_config = ConfigDict(strict=False)  # as above

    approve: bool = True
    by: str = "an analyst"
    groups: tuple[str, ...] | None = None
    after: Duration = 60_000


def _words(value: Any) -> Any:
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
Decisions = Annotated[tuple[Said, ...], BeforeValidator(_words), Field(strict=False)]


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
    """What a played run did; `problems` are the expectations that were not met.

    `states` are all runs by the path of the step that called them (`sub/`), the run itself by "".
    """

    state: RunState | None
    events: tuple[RunEvent, ...]
    effects: tuple[Effect, ...]
    problems: tuple[str, ...] = ()
    states: Mapping[str, RunState] = field(default_factory=dict)

    def step(self, path: str) -> StepState:
        """The state of a step; `sub/block` is the step `block` of what the step `sub` called."""
        prefix, slash, name = path.rpartition("/")
        state = self.states.get(prefix + slash)
        return StepState() if state is None else state.step(name)


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
    if case.crash and case.crash.partition("/")[0].partition(".")[0] not in {
        s.path for s in playbook.steps
    }:
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
    return replace(played, problems=problems)


def play(
    playbook: Playbook,
    alert: dict[str, Any],
    answers: Mapping[str, tuple[Answer, ...]],
    mode: Mode = Mode.ENFORCE,
    *,
    decisions: Mapping[str, tuple[Said, ...]] | None = None,
    crash: str = "",
    respond: Respond | None = None,
    otherwise: tuple[Said, ...] = (),
) -> Played:
    """Run a playbook on an alert to its end; steps without an answer in the script succeed.

    `respond` answers in their place, if given; `otherwise` is what people say to a question that
    the script has no decisions for, by default nothing.
    """
    player = _Player(answers, decisions or {}, crash, respond, otherwise)
    player.world.mode = mode
    player.world.add(playbook)
    return player.play(playbook, alert)


class _Player:
    """Plays a run and those it calls; paths of a called run begin with the path of its step."""

    def __init__(
        self,
        answers: Mapping[str, tuple[Answer, ...]],
        decisions: Mapping[str, tuple[Said, ...]],
        crash: str,
        respond: Respond | None,
        otherwise: tuple[Said, ...],
    ) -> None:
        self.world = World()
        self._respond = respond
        self._otherwise = otherwise
        self._answers = answers
        self._decisions = decisions
        self._crash = crash
        self._prefixes: dict[str, str] = {}
        self._commands: list[Command] = []
        self._events: list[RunEvent] = []
        self._effects: list[Effect] = []
        self._asked: set[str] = set()

    def play(self, playbook: Playbook, alert: dict[str, Any]) -> Played:
        run = run_id(playbook.hash, "test", START)
        self._prefixes[run] = ""
        self._commands.append(
            Start(
                run_id=run, playbook=playbook.id, playbook_hash=playbook.hash, alert=alert,
                at=START,
            )
        )  # fmt: skip
        for _ in range(MAX_COMMANDS):
            if not self._commands:
                break
            self._commands.sort(key=lambda command: command.at)
            command = self._commands.pop(0)
            for happened in self.world.give(command):
                self._take(happened)
            if not self.world.open():
                break
            self._commands = [c for c in self._commands if not isinstance(c, Timer)] + [
                Timer(run_id=one.run_id, timer=name, due=due, at=due)
                for one in self.world.open()
                for name, due in one.timers.items()
            ]
        states = {self._prefixes[one.run_id]: one for one in self.world.runs.values()}
        return Played(
            self.world.runs.get(run), tuple(self._events), tuple(self._effects), states=states
        )

    def _take(self, happened: Happened) -> None:
        run, step, now = happened.run_id, happened.transition, happened.command.at
        self._events += step.events
        for event in step.events:
            if event.kind == "called":
                self._prefixes[str(event.data["run"])] = f"{self._prefixes[run]}{event.step}/"
        if step.changed:
            self._ask(step.effects, now)
        prefix = self._prefixes[run]
        if self._crash and any(prefix + each.step == self._crash for each in step.effects):
            state = RunState.from_json(self.world.runs[run].to_json())
            self.world.runs[run] = state
            self._ask(tuple(state.unanswered()), now)
        if (left := self.world.runs.get(run)) is not None:
            for path, said in self._questions(left, prefix):
                self._commands += _said(left, path, said, now)

    def _ask(self, effects: tuple[Effect, ...], now: int) -> None:
        self._effects += effects
        for effect in effects:
            path = self._prefixes[effect.run_id] + effect.step
            script = self._answers.get(path)
            if script is None and self._respond is not None:
                action = self.world.playbook_of(effect.run_id).action_at(effect.step).action
                script = (self._respond(effect, action),) if action is not None else None
            if (command := _answered(effect, now, script or (Answer(),))) is not None:
                self._commands.append(command)

    def _questions(self, state: RunState, prefix: str) -> Iterator[tuple[str, tuple[Said, ...]]]:
        """Questions that are open and new, and what people say to them."""
        for path, step in state.steps.items():
            approval = step.approval
            if approval is None or step.status not in OPEN or approval.plan in self._asked:
                continue
            self._asked.add(approval.plan)
            yield path, self._decisions.get(prefix + path, self._otherwise)


def _said(state: RunState, path: str, said: tuple[Said, ...], now: int) -> Iterator[Decision]:
    """The answers of people to the question at a step."""
    approval = state.step(path).approval
    if approval is None:
        return
    for number, each in enumerate(said):
        yield Decision(
            run_id=state.run_id,
            step=path,
            id=f"{path}-{approval.plan[:8]}-{number}",
            approve=each.approve,
            by=each.by,
            groups=(approval.group,) if each.groups is None else each.groups,
            plan=approval.plan,
            at=now + each.after,
        )


def _answered(effect: Effect, now: int, script: tuple[Answer, ...]) -> Returned | None:
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
        *((f"step {p}", s, played.step(p).status.value) for p, s in expect.steps.items()),
        *((f"target of {p}", t, played.step(p).target) for p, t in expect.targets.items()),
        *((f"attempts of {p}", n, played.step(p).attempt) for p, n in expect.attempts.items()),
    ]
    if expect.outcome is not None:
        pairs.append(("outcome", expect.outcome, state.outcome.value if state.outcome else ""))
    if expect.effects is not None:
        pairs.append(("effects", expect.effects, counted))
    whys = {f"step {path}": _why(played.step(path)) for path in expect.steps}
    problems = [
        f"{what}: expected {want}, was {was}{whys.get(what, '')}"
        for what, want, was in pairs
        if want != was
    ]
    if expect.outcome is not None and problems and state.reason:
        problems.append(f"the run's reason: {state.reason}")
    if expect.reason not in state.reason:
        problems.append(f"reason: expected '{expect.reason}' in '{state.reason}'")
    return problems


def _why(step: StepState) -> str:
    """What a step says of itself, in brackets, for whoever expected something else."""
    said = step.reason or (step.failure.message if step.failure is not None else "")
    return f" ({said})" if said else ""
