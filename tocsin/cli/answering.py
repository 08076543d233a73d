"""What people answer and call off: approvals, and runs. Beside `operations`, in the same table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from tocsin.console.control import Asked, Operation
from tocsin.console.desk import Desk, Told
from tocsin.contracts import Cancel, Topics
from tocsin.errors import ConfigError
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin.approvers import Approvers, Person
    from tocsin.clock import Clock
    from tocsin.index.store import Store
    from tocsin.log.base import Log

ANSWER, CANCEL = "approvals/answer", "runs/cancel"

Word = Annotated[str, Field(min_length=1, max_length=200)]


class Answer(Asked):
    """A yes or no to the plan that `plan` begins; `token` or else `user` says whose it is."""

    id: Word
    plan: Word
    approve: bool
    reason: Annotated[str, Field(max_length=500)] = ""
    user: Annotated[str, Field(max_length=200)] = ""
    token: Annotated[str, Field(max_length=1_000)] = ""


class CancelRun(Asked):
    """Stop a run: what it holds is released, its always-steps still run."""

    run: Word
    by: Word
    reason: Annotated[str, Field(max_length=500)] = ""


class Answering:
    """Doing it, on an open log and store."""

    def __init__(
        self, log: Log, store: Store, clock: Clock, approvers: Approvers, *, patience: float
    ) -> None:
        self._log = log
        self._store = store
        self._clock = clock
        self._approvers = approvers
        self._desk = Desk(store, log.append, clock, patience=patience)

    def table(self) -> Mapping[str, Operation[Any]]:
        """The operations by their path on the console."""
        return {
            ANSWER: Operation(Answer, self.answer),
            CANCEL: Operation(CancelRun, self.cancel),
        }

    async def answer(self, asked: Answer) -> dict[str, Any]:
        """Append the answer; raises ConfigError if nobody may give it, or there is no question."""
        person = self._who(asked)
        question = await self._desk.find(asked.id)
        told = await self._desk.answer(
            person, question, plan=asked.plan, approve=asked.approve, comment=asked.reason
        )
        return told_json(told, person)

    def _who(self, asked: Answer) -> Person:
        if asked.token:
            if (person := self._approvers.by_token(asked.token)) is None:
                raise ConfigError("the token belongs to nobody in response.approvers")
            return person
        if (person := self._approvers.by_user(asked.user)) is None:
            raise ConfigError(
                f"nobody in response.approvers has user: {asked.user}, so {asked.user} may answer "
                "nothing; with --token-file the token says who answers"
            )
        return person

    async def cancel(self, asked: CancelRun) -> dict[str, Any]:
        """Append the cancellation; raises ConfigError for a run that is not there, or is over."""
        run_id = await self._run(asked.run)
        now = self._clock.now()
        command = Cancel(
            run_id=run_id, by=asked.by, reason=asked.reason or "no reason given", at=now
        )
        key = run_id.encode()
        await self._log.append([Outgoing(Topics.COMMANDS, command.encode(), key, timestamp=now)])
        return {"run": run_id}

    async def _run(self, begin: str) -> str:
        run_id = await find_run(self._store, begin)
        events = await self._desk.events(run_id)
        if any(event["kind"] == "finished" for event in events):
            raise ConfigError(f"the run {run_id[:12]} is over; there is nothing to cancel")
        return run_id


def told_json(told: Told, person: Person) -> dict[str, Any]:
    """What became of an answer, as it is told."""
    return {
        "id": told.question.id,
        "run": told.question.run_id,
        "step": told.question.step,
        "by": person.name,
        "plan": told.question.plan,
        "applied": told.applied,
        "reason": told.reason,
        "state": told.question.state,
        "approved": len(told.question.approved_by),
        "quorum": told.question.quorum,
    }


async def find_run(store: Store, begin: str) -> str:
    """The id of the run that begins so; raises ConfigError unless exactly one does."""
    if len(begin) == 32 and await store.list("runs", limit=1, where={"run_id": begin}):
        return begin
    if len(begin) < 6:
        raise ConfigError("write at least 6 characters of a run's id")
    started = await store.list("runs", limit=10_000, where={"kind": "started"})
    found = sorted({e["run_id"] for e in started if str(e.get("run_id", "")).startswith(begin)})
    if len(found) != 1:
        what = "several runs begin with" if found else "there is no run"
        raise ConfigError(f"{what} {begin}; `tocsin runs list` shows the newest")
    return str(found[0])
