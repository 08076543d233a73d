"""Actions at the same time: branches of a parallel, items of a for_each, and their join."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from playbooks.program import EachStep, ParallelStep
from playbooks.run_state import FAILURES, OPEN, SUCCESSES, StepStatus
from playbooks.stepping import Stepping, blamed
from tocsin.errors import ExpressionError


class Joining(Stepping):
    """One command's work on a run: actions at the same time."""

    def _begin_each(self, step: EachStep) -> None:
        """Ask for the action once for each item; the list is fixed now."""
        try:
            items = step.items.evaluate(self._bindings())
        except ExpressionError as error:
            self._fail(step.path, f"the list has no value: {error}", blamed(error))
            return
        if not isinstance(items, list):
            self._fail(step.path, "for_each runs over a list, and this is none")
            return
        if len(items) > (most := self._playbook.document.limits.max_fanout):
            self._fail(step.path, f"{len(items)} items are more than limits.max_fanout, {most}")
            return
        self.put(
            step.path,
            status=StepStatus.RUNNING,
            started=self.at,
            output={"count": len(items), "items": items},
        )
        if step.join.timeout is not None:
            self.arm(f"join/{step.path}", self.at + step.join.timeout)
        for path, item in zip(self._parts(step), items, strict=True):
            one = replace(step.do, path=path)
            if self._holds(one, {"item": item}):
                self._request(one, {"item": item})

    def _parts(self, step: ParallelStep | EachStep) -> tuple[str, ...]:
        """The paths of branches, or of items."""
        if isinstance(step, ParallelStep):
            return tuple(branch.path for branch in step.branches)
        count = self.state.step(step.path).output.get("count", 0)
        return tuple(f"{step.path}.{number}" for number in range(count))

    def _join(self, step: ParallelStep | EachStep) -> None:
        """End a parallel step as soon as its join is decided."""
        if self.state.step(step.path).status is not StepStatus.RUNNING:
            return
        states = [self.state.step(path).status for path in self._parts(step)]
        running = sum(status in OPEN for status in states)
        good = sum(status in SUCCESSES for status in states)
        if step.needed is None:
            if running:
                return
            failed = sum(status in FAILURES for status in states)
            self._end_join(step, f"{failed} of {len(states)} branches failed" if failed else "")
        elif good >= step.needed:
            self._end_join(step, "")
        elif good + running < step.needed:
            self._end_join(step, f"only {good} of the {step.needed} branches needed can succeed")

    def _join_timeout(self, path: str, late: int) -> None:
        step = self._step_at(path)
        if isinstance(step, ParallelStep | EachStep):
            self._abandon_branches(step, StepStatus.TIMED_OUT, "the join's time is up", late)

    def _end_join(self, step: ParallelStep | EachStep, problem: str) -> None:
        self._abandon_branches(step, StepStatus.CANCELLED, "the join did not wait for it")
        branches = {path: self.state.step(path).status.value for path in self._parts(step)}
        status = StepStatus.FAILED if problem else StepStatus.OK
        changes: dict[str, Any] = {}
        if isinstance(step, EachStep):
            ended = [self.state.step(path).status for path in self._parts(step)]
            changes["output"] = {
                "count": len(ended),
                "succeeded": sum(one in SUCCESSES for one in ended),
                "failed": sum(one in FAILURES for one in ended),
            }
        self._end_step(step.path, status, reason=problem, **changes)
        data = {"branches": branches} | ({"reason": problem} if problem else {})
        self.emit("failed" if problem else "succeeded", step.path, data)

    def _abandon_branches(
        self, step: ParallelStep | EachStep, status: StepStatus, reason: str, late: int = 0
    ) -> None:
        for path in self._parts(step):
            if self.state.step(path).status in OPEN:
                self._abandon(path, status, reason, late)
