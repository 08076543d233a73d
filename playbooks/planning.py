"""What a playbook would do to an alert, with every guard's verdict, and nothing done. Pure.

Look-ups are not made: what they would answer comes from a script, or is empty. Questions to people
are answered as the caller says. Rates count what is passed in `windows`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from playbooks import guards
from playbooks.testing import Answer, Said, play
from responders.base import ActionClass
from tocsin.contracts import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from playbooks.guards import SiteGuards
    from playbooks.program import Playbook
    from playbooks.testing import Played
    from responders.base import Action
    from tocsin.contracts import Effect, Verdict
    from tocsin.state import State

#: More different people than any quorum needs.
_PEOPLE = 10

#: Classes of actions that change the world.
_RESTRICTED = (ActionClass.CONTAIN, ActionClass.DESTRUCTIVE)


@dataclass(frozen=True, slots=True)
class Planned:
    """One step as it would go; `acts` if it would change the world."""

    step: str
    status: str
    verb: str = ""
    target: str = ""
    reason: str = ""
    acts: bool = False
    inputs: Mapping[str, Any] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What would come of an alert."""

    outcome: str
    reason: str
    steps: tuple[Planned, ...]
    questions: tuple[Mapping[str, Any], ...] = ()


def planned(
    playbook: Playbook,
    alert: dict[str, Any],
    *,
    site: SiteGuards,
    windows: Sequence[State] = (),
    now: int,
    answers: Mapping[str, tuple[Answer, ...]] | None = None,
    approve: bool = True,
) -> Plan:
    """Play the playbook with the guards as they are at `now` (ms)."""
    asked: dict[tuple[str, str], tuple[Action, tuple[Verdict, ...]]] = {}

    def respond(effect: Effect, action: Action) -> Answer:
        verdicts = tuple(guards.evaluate(effect, action, site, windows, now))
        asked[effect.run_id, effect.step] = action, verdicts
        if not guards.allowed(verdicts):
            return Answer(status="refused", verdicts=verdicts)
        return Answer(verdicts=verdicts)

    people = tuple(Said(approve=approve, by=f"approver {n}") for n in range(_PEOPLE))
    played = play(playbook, alert, answers or {}, Mode.ENFORCE, respond=respond, otherwise=people)
    state = played.state
    return Plan(
        outcome=state.outcome.value if state and state.outcome else "",
        reason=state.reason if state else "",
        steps=tuple(_steps(played, asked)),
        questions=tuple(
            {"step": event.step, **event.data}
            for event in played.events
            if event.kind == "approval_requested"
        ),
    )


def _steps(
    played: Played, asked: Mapping[tuple[str, str], tuple[Action, tuple[Verdict, ...]]]
) -> list[Planned]:
    """All steps that had their turn, in the order they had it."""
    inputs = {(each.run_id, each.step): each.inputs for each in played.effects}
    order: dict[tuple[str, str], int] = {}
    for event in played.events:
        if event.step:
            order.setdefault((event.run_id, event.step), len(order))
    found = []
    for prefix, state in played.states.items():
        for path, step in state.steps.items():
            key = (state.run_id, path)
            action, verdicts = asked.get(key, (None, ()))
            acts = action is not None and action.action_class in _RESTRICTED
            found.append(
                (
                    order.get(key, len(order)),
                    Planned(
                        step=prefix + path,
                        status=step.status.value,
                        verb=step.verb,
                        target=step.target,
                        reason=step.reason,
                        acts=acts,
                        inputs=inputs.get(key, {}),
                        verdicts=verdicts,
                    ),
                )
            )
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]
