"""What still means something to a run that has ended: notes, and giving up what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playbooks.effects import release_effect
from playbooks.journal import Journal, Receipt
from playbooks.run_state import Outcome, RunState
from tocsin.contracts import Admission, Ask, Cancel, Decision, Leave, Mode, Returned, Settled, Start

if TYPE_CHECKING:
    from tocsin.contracts import Command, Effect

#: How long giving up one containment of a run that has ended may take, ms.
RELEASE_TIMEOUT = 30_000


def after_the_end(
    state: RunState, command: Command, mode: Mode
) -> tuple[Journal | None, tuple[Effect, ...]]:
    """The journal and effects of a command, None for one that means nothing any more."""
    journal = Journal(state, command.at)
    match command:
        case Start():
            changed = journal.attach(command)
        case Returned():
            changed = journal.receive(command.result) is not Receipt.KNOWN
        case Decision():
            changed = journal.note_answer(command, "the run is over")
        case Cancel() if state.parent is not None and state.outcome is not Outcome.CANCELLED:
            return journal, _give_back(journal, command, mode)
        case Admission(admitted=True):
            journal.tell(Leave(run_id=command.gate, holder=state.run_id, at=command.at))
            changed = True
        case Ask():
            question = state.step(command.step).joined
            journal.tell(Settled(run_id=question, member=state.run_id, at=command.at))
            changed = bool(question)
        case _:
            changed = False
    return (journal if changed else None), ()


def _give_back(journal: Journal, command: Cancel, mode: Mode) -> tuple[Effect, ...]:
    """The run that called this one was called off: what this one holds goes with it."""
    effects: list[Effect] = []
    journal.emit("cancelled", "", {"by": command.by, "reason": command.reason})
    for path, step in journal.state.steps.items():
        if step.child:
            journal.tell(
                Cancel(run_id=step.child, by=command.by, reason=command.reason, at=command.at)
            )
        if step.effect_id and (step.held_until or 0) > command.at:
            effects.append(release_effect(journal.state, path, RELEASE_TIMEOUT, mode, command.at))
    outbox = {**journal.state.outbox, **{effect.id: effect for effect in effects}}
    journal.set(outbox=outbox, outcome=Outcome.CANCELLED)
    return tuple(effects)
