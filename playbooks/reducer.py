"""The run engine: `reduce(state, command, playbook)` says what comes next, and does nothing.

It is a pure function: time comes from the command, jitter from the effect's id, identity from
the run. A command that was seen before, a timer that is early or no longer set, a result nobody
waits for: none of them changes a state, so commands may be delivered any number of times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from playbooks.afterwards import after_the_end
from playbooks.journal import Journal, revision_of
from playbooks.run_state import Outcome, Phase, RunState
from playbooks.turn import MAX_EPOCHS, Turn, next_epoch
from tocsin.contracts import (
    Admission,
    Ask,
    Cancel,
    Decision,
    Effect,
    Ended,
    Mode,
    Returned,
    RunEvent,
    Settled,
    Start,
    Timer,
)

if TYPE_CHECKING:
    from playbooks.program import Playbook
    from tocsin.contracts import Command


@dataclass(frozen=True, slots=True)
class Transition:
    """What a command led to; `state` is None when the run may be forgotten.

    `changed` is False for a command that meant nothing new: then `effects` are those without an
    answer, sent again. `commands` are for other runs, gates and questions.
    """

    state: RunState | None
    events: tuple[RunEvent, ...] = ()
    effects: tuple[Effect, ...] = ()
    changed: bool = True
    commands: tuple[Command, ...] = ()


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
        if isinstance(command, Start) and playbook is not None and _again(state, command, playbook):
            return _restart(state, command, playbook, mode)
        return _after(state, command, mode)
    turn = Turn(state, _needed(playbook, command), mode, command.at)
    match command:
        case Start():
            changed = turn.attach_or_restart(command)
        case Returned():
            changed = turn.answer(command.result)
        case Timer():
            changed = turn.timer(command)
        case Cancel():
            changed = turn.cancel(command)
        case Decision():
            changed = turn.decided(command)
        case Ended():
            changed = turn.child_ended(command)
        case Admission():
            changed = turn.admission(command)
        case Ask():
            changed = turn.asked(command)
        case Settled():
            changed = turn.settled(command)
        case _:
            changed = False
    if not changed:
        return Transition(state, effects=tuple(state.unanswered()), changed=False)
    return _transition(turn)


def _after(state: RunState, command: Command, mode: Mode) -> Transition:
    """What a command means to a run that has ended."""
    if isinstance(command, Timer) and Journal(state, command.at).is_due(command):
        return Transition(None)
    journal, effects = after_the_end(state, command, mode)
    if journal is None:
        return Transition(state, effects=tuple(state.unanswered()), changed=False)
    return Transition(
        journal.state, tuple(journal.events), effects, commands=tuple(journal.commands)
    )


def _again(state: RunState, command: Start, playbook: Playbook) -> bool:
    """Whether an alert starts a finished run again."""
    new = revision_of(command.alert)[0] not in state.attached
    return playbook.restarts and new and state.epoch < MAX_EPOCHS


def _restart(state: RunState, command: Start, playbook: Playbook, mode: Mode) -> Transition:
    # A tombstone may have come back: it knows no version.
    pinned = state.but(source=playbook.source, version=playbook.version, hash=playbook.hash)
    turn = Turn(next_epoch(pinned, command, command.at), playbook, mode, command.at)
    turn.start()
    return _transition(turn)


def quarantine(state: RunState | None, command: Command, reason: str) -> Transition:
    """End a run whose reduction raised: recorded as failed, its effects no longer sent."""
    if state is None:
        state = RunState(
            run_id=command.run_id,
            playbook=command.playbook if isinstance(command, Start) else "",
            version=0,
            hash=command.playbook_hash if isinstance(command, Start) else "",
            started=command.at,
            parent=command.parent if isinstance(command, Start) else None,
        )
    if state.phase is Phase.FINISHED:
        return Transition(state, changed=False)
    journal = Journal(state, command.at)
    changes: dict[str, Any] = {"outbox": {}, "timers": {}, "restart": None, "fault": reason}
    journal.set(**changes)
    journal.emit("failed", "", {"reason": reason, "quarantined": True})
    journal.finish(Outcome.FAILED, reason)
    return Transition(journal.state, tuple(journal.events), commands=tuple(journal.commands))


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
        inputs=_inputs(command, playbook),
        parent=command.parent,
        started=command.at,
    )
    turn = Turn(state, playbook, mode, command.at)
    turn.start()
    return _transition(turn)


def _transition(turn: Turn) -> Transition:
    return Transition(
        turn.state, tuple(turn.events), tuple(turn.effects), commands=tuple(turn.commands)
    )


def _inputs(command: Start, playbook: Playbook) -> dict[str, Any]:
    """What was given, and the defaults of what was not."""
    given = {name: each.default for name, each in playbook.document.inputs.items()}
    return given | {name: value for name, value in command.inputs.items() if name in given}
