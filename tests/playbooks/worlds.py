"""Several runs at once, driven by hand: for tests of what runs have to do with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playbooks.loading import load_playbook
from playbooks.testing import START
from playbooks.world import World
from tests.playbooks.doubles import ACTIONS, ALERT
from tocsin.contracts import (
    Command,
    Decision,
    Effect,
    EffectStatus,
    Mode,
    Result,
    Returned,
    RunEvent,
    Start,
    Timer,
)
from tocsin.ids import run_id

if TYPE_CHECKING:
    from playbooks.program import Playbook
    from playbooks.run_state import RunState

MINUTE = 60_000


def written(text: str, **others: Playbook) -> Playbook:
    """A playbook from its YAML below apiVersion and kind; `others` are those it may run."""
    data = f"apiVersion: tocsin/v1\nkind: Playbook\n{text}".encode()
    return load_playbook("test.yml", data, ACTIONS, others={p.id: p for p in others.values()})


def alert(name: str = "a", revision: int = 1, **changes: Any) -> dict[str, Any]:
    """An alert document with an id."""
    own = {"id": name, "revision": revision, "window_start": "2026-01-01T00:00:00.000Z"}
    return {**ALERT, "tocsin": {"alert": own}, **changes}


class Stage:
    """A world, and everything that came of it."""

    def __init__(self, *playbooks: Playbook, mode: Mode = Mode.ENFORCE) -> None:
        self.world = World(mode=mode, actions=ACTIONS)
        for each in playbooks:
            self.world.add(each)
        self.main = playbooks[0]
        self.effects: list[Effect] = []
        self.events: list[RunEvent] = []
        self.given: list[Command] = []

    def give(self, command: Command) -> None:
        self.given.append(command)
        for each in self.world.give(command):
            self.events += each.transition.events
            if each.transition.changed:
                self.effects += each.transition.effects

    def start(
        self, name: str = "a", at: int = 0, revision: int = 1, key: str = "", **changes: Any
    ) -> str:
        run = run_id(self.main.hash, key or name, START)
        document = alert(name, revision, **changes)
        hash_ = self.main.hash
        start = Start(
            run_id=run, playbook=self.main.id, playbook_hash=hash_, alert=document, at=START + at
        )
        self.give(start)
        return run

    def answer(self, effect: Effect, status: str = "ok", at: int = 1000, **more: Any) -> None:
        at += START
        result = Result(
            effect_id=effect.id, run_id=effect.run_id, step=effect.step, attempt=effect.attempt,
            status=EffectStatus(status), started=at, at=at, **more,
        )  # fmt: skip
        self.give(Returned(run_id=effect.run_id, result=result, at=at))

    def decide(
        self, run: str, step: str, by: str = "ana", *, approve: bool = True, at: int = MINUTE,
        groups: tuple[str, ...] = ("soc",),
    ) -> None:  # fmt: skip
        approval = self.run(run).step(step).approval
        assert approval is not None
        self.give(
            Decision(
                run_id=run, step=step, id=f"{by}-{at}-{run}", approve=approve, by=by,
                groups=groups, plan=approval.plan, at=START + at,
            )
        )  # fmt: skip

    def timer(self, run: str, name: str, late: int = 0) -> None:
        due = self.run(run).timers[name]
        self.give(Timer(run_id=run, timer=name, due=due, at=due + late))

    def run(self, run: str) -> RunState:
        return self.world.runs[run]

    def kinds(self, run: str) -> list[str]:
        return [event.kind for event in self.events if event.run_id == run]

    def last(self, verb: str) -> Effect:
        return [each for each in self.effects if each.verb == verb][-1]
