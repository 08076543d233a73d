"""What a playbook's steps are made of: their actions, and what later steps see of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playbooks import model
from playbooks.program import (
    ACTION_FIELDS,
    APPROVAL_FIELDS,
    EACH_FIELDS,
    RUN_STEP_FIELDS,
    STEP_FIELDS,
    ActionStep,
    EachStep,
    ParallelStep,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


def fields_of(step: model.KnownStep) -> Collection[str]:
    """What expressions may look at of `steps.<id>`."""
    match step:
        case model.LetStep():
            return (*STEP_FIELDS, *step.let)
        case model.ParallelStep():
            return (*STEP_FIELDS, *(branch.id for branch in step.parallel.branches))
        case model.EachStep():
            return EACH_FIELDS
        case model.ApprovalStep():
            return APPROVAL_FIELDS
        case model.RunStep():
            return RUN_STEP_FIELDS
        case model.ActionStep():
            return ACTION_FIELDS
        case _:
            return STEP_FIELDS


def branches_of(step: Step) -> tuple[str, ...] | None:
    """The ids of a parallel's branches; None for a for_each, whose items are numbered."""
    if isinstance(step, EachStep):
        return None
    return tuple(b.spec.id for b in step.branches) if isinstance(step, ParallelStep) else ()


def action_steps(steps: tuple[Step, ...]) -> Iterator[ActionStep]:
    """All actions: steps, branches, what is done for each item."""
    for step in steps:
        if isinstance(step, ActionStep):
            yield step
        elif isinstance(step, ParallelStep):
            yield from step.branches
        elif isinstance(step, EachStep):
            yield step.do
