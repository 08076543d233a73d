"""The desk where approvals are looked at and answered, whatever people come through.

An answer is a command in the log: it outlives whoever took it, and the run alone says whether it
counts. What nobody could have meant (no such approval, not in its group) does not reach the log.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from tocsin.console.questions import KINDS, Question, began, questions
from tocsin.contracts import Decision, Topics
from tocsin.errors import ConfigError, StoreError
from tocsin.ids import digest
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tocsin.approvers import Person
    from tocsin.clock import Clock

#: Run events looked at for the list of open approvals, of each kind, newest first.
LOOKED_AT = 10_000
#: Events of one run that are looked at.
RUN_EVENTS = 2_000
#: Fewest characters of a plan's hash, and of an approval's id, that name it.
MIN_PLAN, MIN_ID = 8, 6
#: Longest wait for the run to say what became of an answer, seconds, and between two looks.
PATIENCE, LOOK = 5.0, 0.1

RUNS, ALERTS = "runs", "alerts"


class Records(Protocol):
    """What the desk reads: the store."""

    async def list(
        self, kind: str, *, limit: int, newest_first: bool = ..., where: Mapping[str, str] = ...
    ) -> list[dict[str, Any]]: ...

    async def get(self, kind: str, id: str) -> dict[str, Any] | None: ...


@dataclass(frozen=True, slots=True)
class Told:
    """What became of an answer: `applied` is None while the run has not said."""

    question: Question
    applied: bool | None
    reason: str


Questions = list[Question]


class Desk:
    """Open approvals and answers to them; `append` puts records into the log durably."""

    def __init__(
        self,
        records: Records,
        append: Callable[[Sequence[Outgoing]], Awaitable[object]],
        clock: Clock,
        *,
        patience: float = PATIENCE,
    ) -> None:
        """`patience` is 0 where nobody runs who could take the answer."""
        self._records = records
        self._append = append
        self._clock = clock
        self._patience = patience

    async def open(self) -> Questions:
        """Approvals that wait for people, the most urgent first."""
        found = [each for each in await self._all() if each.state == "open"]
        return sorted(found, key=lambda each: (each.due, each.id))

    async def find(self, id: str) -> Question:
        """The approval whose id begins so, with its run's playbook and alert.

        Raises ConfigError unless exactly one does.
        """
        if len(id) < MIN_ID:
            raise ConfigError(f"write at least {MIN_ID} characters of an approval's id")
        found = [each for each in await self._all() if each.id.startswith(id)]
        if len(found) != 1:
            raise ConfigError(
                f"the approval {id} is not unique: write more of it" if found
                else f"there is no approval {id}; `tocsin approvals list` shows those that are open"
            )  # fmt: skip
        return await self.whole(found[0])

    async def at(self, run_id: str, step: str) -> Question | None:
        """The approval at a step of a run."""
        events = await self.events(run_id)
        found = next((each for each in questions(events) if each.step == step), None)
        return None if found is None else await self.whole(found)

    async def whole(self, question: Question) -> Question:
        """The question with what its run began with, as far as that is known."""
        if not question.playbook:
            where = {"run_id": question.run_id, "kind": "started"}
            for event in await self._records.list(RUNS, limit=1, where=where):
                data = event.get("data")
                question = began(question, data if isinstance(data, dict) else {})
        if not question.alert_id:
            return question
        return replace(question, alert=await self._records.get(ALERTS, question.alert_id) or {})

    async def events(self, run_id: str) -> list[dict[str, Any]]:
        """The events of one run, in order."""
        return await self._records.list(
            RUNS, limit=RUN_EVENTS, newest_first=False, where={"run_id": run_id}
        )

    async def answer(
        self,
        person: Person,
        question: Question,
        *,
        plan: str,
        approve: bool,
        comment: str = "",
        id: str = "",
    ) -> Told:
        """Put an answer to the log and see what the run makes of it.

        `plan` is the hash of what the person has seen, or its beginning; `id` names the answer if
        it may come only once. Raises ConfigError for what cannot be meant.
        """
        if question.group not in person.groups:
            raise ConfigError(f"{person.name} is not in the group {question.group}, which is asked")
        now = self._clock.now()
        decision = Decision(
            run_id=question.run_id,
            step=question.step,
            id=id or digest("answer", question.id, person.name, plan, int(approve), now),
            approve=approve,
            by=person.name,
            groups=person.groups,
            plan=self._meant(question, plan),
            comment=comment[:500],
            at=now,
        )
        record = Outgoing(
            Topics.COMMANDS, decision.encode(), key=decision.run_id.encode(), timestamp=now
        )
        await self._append([record])
        return await self._outcome(question, decision)

    def _meant(self, question: Question, plan: str) -> str:
        if len(plan) < MIN_PLAN:
            raise ConfigError(f"write at least {MIN_PLAN} characters of the plan's hash")
        if question.plan.startswith(plan.lower()):
            return question.plan
        if len(plan) == len(question.plan):
            return plan  # once it was asked about: the run records that it is not any more
        raise ConfigError(
            f"{plan} is not the plan that is asked about now, {question.plan[:12]}: look at it "
            f"again with `tocsin approvals show {question.id[:12]}`"
        )

    async def _outcome(self, question: Question, decision: Decision) -> Told:
        """Wait until the run has taken the answer; it is safe in the log meanwhile."""
        end = time.monotonic() + self._patience
        while self._patience:
            try:
                seen = await self.at(question.run_id, question.step)
            except StoreError:
                break  # the answer stands all the same
            found = seen.answer(decision.id) if seen is not None else None
            if seen is not None and found is not None:
                return Told(seen, bool(found.get("applied")), str(found.get("reason", "")))
            if time.monotonic() >= end:
                break
            await asyncio.sleep(LOOK)
        return Told(question, None, "the run has not said yet whether it counts")

    async def _all(self) -> Questions:
        """Every approval that the newest run events tell of."""
        events: list[dict[str, Any]] = []
        for kind in KINDS:
            events += await self._records.list(RUNS, limit=LOOKED_AT, where={"kind": kind})
        return questions(events)
