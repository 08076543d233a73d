"""The run engine: `reduce(state, command, playbook)` says what comes next, and does nothing.

It is a pure function: time comes from the command, jitter from the effect's id, identity from
the run. A command that was seen before, a timer that is early or no longer set, a result nobody
waits for: none of them changes a state, so commands may be delivered any number of times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from playbooks.journal import Journal, Receipt, revision_of
from playbooks.run_state import Outcome, Phase, RunState
from playbooks.turn import Turn
from tocsin.contracts import Cancel, Decision, Effect, Mode, Returned, RunEvent, Start, Timer

if TYPE_CHECKING:
    from playbooks.program import Playbook
    from tocsin.contracts import Command


@dataclass(frozen=True, slots=True)
class Transition:
    """What a command led to; `state` is None when the run may be forgotten.

    `changed` is False for a command that meant nothing new: then `effects` are those without an
    answer, sent again.
    """

    state: RunState | None
    events: tuple[RunEvent, ...] = ()
    effects: tuple[Effect, ...] = ()
    changed: bool = True


def reduce(
    state: RunState | None, command: Command, playbook: Playbook | None, *, mode: Mode
) -> Transition:
    """Apply `command` to a run.

    `playbook` is the one that the run has pinned (a finished run needs none); `mode` is the
    site's, for effects asked for now. A command for an unknown run, unless it is its start,
    changes nothing. Raises ValueError if a run comes without its playbook.
    """
    if state is None:
        if not isinstance(command, Start):
            return Transition(None, changed=False)
        return _start(command, _needed(playbook, command), mode)
    if state.phase is Phase.FINISHED:
        return _after_the_end(state, command)
    turn = Turn(state, _needed(playbook, command), mode, command.at)
    match command:
        case Start():
            changed = turn.attach(command)
        case Returned():
            changed = turn.answer(command.result)
        case Timer():
            changed = turn.timer(command)
        case Cancel():
            changed = turn.cancel(command)
        case Decision():
            changed = turn.decided(command)
    if not changed:
        return Transition(state, effects=tuple(state.unanswered()), changed=False)
    return _transition(turn)


def _after_the_end(state: RunState, command: Command) -> Transition:
    """A finished run only takes notes, until it may be forgotten."""
    journal = Journal(state, command.at)
    match command:
        case Start():
            changed = journal.attach(command)
        case Returned():
            changed = journal.receive(command.result) is not Receipt.KNOWN
        case Decision():
            changed = journal.note_answer(command, "the run is over")
        case Timer() if journal.is_due(command):
            return Transition(None)
        case Timer() | Cancel():
            changed = False
    if not changed:
        return Transition(state, effects=tuple(state.unanswered()), changed=False)
    return Transition(journal.state, tuple(journal.events))


def quarantine(state: RunState | None, command: Command, reason: str) -> Transition:
    """End a run whose reduction raised: recorded as failed, its effects no longer sent."""
    if state is None:
        state = RunState(
            run_id=command.run_id,
            playbook=command.playbook if isinstance(command, Start) else "",
            version=0,
            hash=command.playbook_hash if isinstance(command, Start) else "",
            started=command.at,
        )
    if state.phase is Phase.FINISHED:
        return Transition(state, changed=False)
    journal = Journal(state, command.at)
    journal.state = journal.state.model_copy(update={"outbox": {}, "timers": {}})
    journal.emit("failed", "", {"reason": reason, "quarantined": True})
    journal.finish(Outcome.FAILED, reason)
    return Transition(journal.state, tuple(journal.events))


def _needed(playbook: Playbook | None, command: Command) -> Playbook:
    if playbook is None:
        raise ValueError(f"the playbook of run {command.run_id} is not there")
    return playbook


def _start(command: Start, playbook: Playbook, mode: Mode) -> Transition:
    alert_id, revision = revision_of(command.alert)
    state = RunState(
        run_id=command.run_id,
        playbook=playbook.id,
        version=playbook.version,
        hash=playbook.hash,
        source=playbook.source,
        alert=command.alert,
        alert_id=alert_id,
        attached={alert_id: revision},
        attaches=playbook.attaches,
        started=command.at,
    )
    turn = Turn(state, playbook, mode, command.at)
    turn.start()
    return _transition(turn)


def _transition(turn: Turn) -> Transition:
    return Transition(turn.state, tuple(turn.events), tuple(turn.effects))
