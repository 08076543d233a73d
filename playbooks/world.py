"""Runs, gates and questions together, in memory: what the decide stage is, for trying things out.

Pure: commands in, what they led to out. Commands that runs, gates and questions give each other are
applied at once, in the order they were given.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from playbooks.gates import meet, meets
from playbooks.loading import from_canonical
from playbooks.reducer import Transition, reduce
from playbooks.run_state import Phase, RunState
from tocsin.contracts import Mode, Start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from playbooks.program import Playbook
    from responders.base import Action
    from tocsin.contracts import Command


@dataclass(frozen=True, slots=True)
class Happened:
    """What one command did to one run."""

    run_id: str
    command: Command
    transition: Transition


@dataclass(slots=True)
class World:
    """Playbooks by hash, and all runs of them; `actions` are for what a command brings along."""

    mode: Mode = Mode.ENFORCE
    actions: Mapping[str, Action] = field(default_factory=dict)
    playbooks: dict[str, Playbook] = field(default_factory=dict)
    runs: dict[str, RunState] = field(default_factory=dict)
    pinned: dict[str, str] = field(default_factory=dict)
    meetings: dict[str, Any] = field(default_factory=dict)

    def add(self, playbook: Playbook) -> None:
        """Make a playbook, and all that it runs, known."""
        self.playbooks[playbook.hash] = playbook
        for child in playbook.children.values():
            self.add(child)

    def give(self, command: Command) -> list[Happened]:
        """Apply a command and all that follow from it at the same instant."""
        happened: list[Happened] = []
        waiting = deque([command])
        while waiting:
            each = waiting.popleft()
            if meets(each):
                waiting += meet(self.meetings, each)
                continue
            step = self._apply(each)
            if step is not None:
                happened.append(Happened(each.run_id, each, step))
                waiting += step.commands
        return happened

    def playbook_of(self, run_id: str) -> Playbook:
        """The playbook that a run has pinned."""
        return self.playbooks[self.pinned[run_id]]

    def open(self) -> list[RunState]:
        """The runs that are not finished."""
        return [run for run in self.runs.values() if run.phase is not Phase.FINISHED]

    def _apply(self, command: Command) -> Transition | None:
        before = self.runs.get(command.run_id)
        if before is None:
            if not isinstance(command, Start):
                return None
            if command.playbook_hash not in self.playbooks:
                self.add(from_canonical(command.source, self.actions))
            self.pinned[command.run_id] = command.playbook_hash
        step = reduce(before, command, self.playbook_of(command.run_id), mode=self.mode)
        if step.state is None:
            self.runs.pop(command.run_id, None)
        else:
            self.runs[command.run_id] = step.state
        return step
