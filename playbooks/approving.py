"""Approvals: what exactly is asked, and what an answer counts for. Pure.

People approve a plan, not a name: the verbs, targets and inputs of the steps that follow, as far
as they are known, and the alert they rest on. Its hash is part of the question, and an answer that
was given to another plan counts for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playbooks.bounds import fitted
from playbooks.effects import Unable, prepare
from playbooks.program import ActionStep, ApprovalStep, EachStep, ParallelStep
from playbooks.ranges import bare_name, fold
from playbooks.run_state import ApprovalState, PlannedAction
from responders.base import ActionClass
from tocsin.contracts import Asked
from tocsin.ids import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from playbooks.program import Playbook, Step
    from playbooks.run_state import RunState
    from tocsin.contracts import Decision

APPROVED, DENIED = "approved", "denied"

#: Names of inputs whose values are never shown; what counts is the hash of all.
_SECRET = ("pass", "secret", "token", "credential", "authorization", "cookie", "private_key")
#: Largest inputs that a plan shows, bytes of JSON.
MAX_SHOWN = 2 * 1024

#: Classes of actions that a plan lists: what a look-up or a message does needs no approval.
_ACTING = frozenset({ActionClass.CONTAIN, ActionClass.DESTRUCTIVE})


def ask(
    state: RunState, playbook: Playbook, step: ApprovalStep, seen: Mapping[str, Any], at: int
) -> ApprovalState:
    """The question of a step, as of now. Raises ExpressionError if `exclude` has no value."""
    planned = plan(state, playbook, step, seen)
    excluded = [str(each.evaluate(dict(seen))) for each in step.exclude]
    return ApprovalState(
        plan=plan_hash(state, planned),
        actions=planned,
        group=step.spec.approvers.group,
        quorum=step.spec.approvers.quorum,
        excluded=tuple(dict.fromkeys([*excluded, *_subjects(state.alert)])),
        expires=at + step.spec.timeout,
    )


def plan(
    state: RunState, playbook: Playbook, step: ApprovalStep, seen: Mapping[str, Any]
) -> tuple[PlannedAction, ...]:
    """The actions after `step` that change the world, with what is known of their inputs."""
    following = playbook.main[playbook.main.index(step) + 1 :]
    return tuple(_planned(action, seen, state.run_id) for action in _actions(following))


def plan_hash(state: RunState, planned: Sequence[PlannedAction]) -> str:
    """SHA-256 of a plan and the alert that it rests on."""
    rule = state.alert.get("rule")
    whole: dict[str, Any] = {
        "run": state.run_id,
        "playbook": state.hash,
        "alert": state.alert_id,
        "rule": rule.get("id", "") if isinstance(rule, dict) else "",
        "actions": [action.model_dump(mode="json", exclude={"inputs"}) for action in planned],
    }
    return content_hash(whole | ({"epoch": state.epoch} if state.epoch else {}))


def asked_of(state: RunState, playbook: Playbook, seen: Mapping[str, Any]) -> Asked | None:
    """Whom the playbook asks where no step of it does; None if it names nobody.

    Raises ExpressionError if `exclude` has no value.
    """
    people = playbook.document.asked
    if people is None:
        return None
    excluded = [str(each.evaluate(dict(seen))) for each in playbook.exclude]
    return Asked(
        group=people.group,
        quorum=people.quorum,
        excluded=tuple(dict.fromkeys([*excluded, *_subjects(state.alert)])),
        channels=playbook.document.channels,
    )


def shown(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs as people read them: cut to size, and nothing that is named like a secret."""
    return fitted({name: _shown(name, value) for name, value in inputs.items()}, MAX_SHOWN)


def _shown(name: str, value: Any) -> Any:
    if any(word in name.lower() for word in _SECRET):
        return "(not shown)"
    match value:
        case dict():
            return {key: _shown(str(key), each) for key, each in value.items()}
        case list():
            return [_shown(name, each) for each in value]
        case _:
            return value


def objection(approval: ApprovalState, decision: Decision) -> str:
    """Why an answer does not count, "" if it does."""
    name = fold(decision.by)
    if not name:
        return "nobody says who answers"
    if approval.expires and decision.at >= approval.expires:
        return "it came after the time for answers was up"
    if decision.plan != approval.plan:
        return "it answers another plan than the one that is asked about now"
    if approval.group not in decision.groups:
        return f"{decision.by} is not in the group {approval.group}"
    if any(_same(decision.by, other) for other in approval.excluded):
        return f"{decision.by} is excluded from this approval"
    if any(_same(decision.by, other) for other in approval.approved):
        return f"{decision.by} has approved already"
    return ""


def drifted(approvals: Sequence[ApprovalState], action: PlannedAction, *, strict: bool) -> str:
    """How an action differs from what was approved, "" if it does not.

    With `strict` it must have been approved down to its inputs.
    """
    found = next(
        (each for one in reversed(approvals) for each in one.actions if each.step == action.step),
        None,
    )
    if found is None or not found.known:
        return "no approval has seen exactly what it would do" if strict else ""
    if found != action:
        return "it would do something else than what was approved"
    return ""


def _actions(steps: Sequence[Step]) -> Iterator[ActionStep]:
    for step in steps:
        match step:
            case ActionStep():
                candidates: tuple[ActionStep, ...] = (step,)
            case ParallelStep():
                candidates = step.branches
            case EachStep():
                candidates = (step.do,)
            case _:
                candidates = ()
        for each in candidates:
            if each.action is not None and each.action.action_class in _ACTING:
                yield each


def _planned(step: ActionStep, seen: Mapping[str, Any], run_id: str) -> PlannedAction:
    try:
        prepared = prepare(step, seen, run_id)
    except Unable:
        return PlannedAction(step=step.path, verb=step.spec.action)
    return planned_action(step, prepared.target, prepared.inputs)


def planned_action(step: ActionStep, target: str, inputs: Mapping[str, Any]) -> PlannedAction:
    """An action whose inputs are known, spelled out for whoever approves it."""
    hold = step.spec.hold
    return PlannedAction(
        step=step.path,
        verb=step.spec.action,
        target=target,
        inputs=shown(inputs),
        inputs_hash=content_hash(dict(inputs)),
        hold=hold.ttl if hold else 0,
        known=True,
    )


def _subjects(alert: Mapping[str, Any]) -> list[str]:
    """Whom the alert is about: they never decide on it."""
    user = alert.get("user")
    names = [user.get(key) for key in ("name", "id", "email")] if isinstance(user, dict) else []
    return [name for name in names if isinstance(name, str) and name]


def _same(one: str, other: str) -> bool:
    """Whether two spellings may mean one person: a domain in front or behind does not count."""
    return fold(one) == fold(other) or bare_name(one) == bare_name(other)
