"""Calls of connectors: bounded in time, number and size; every way they end is an outcome."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from playbooks.act_model import Outcome
from playbooks.act_records import bounded
from playbooks.breaker import Breaker
from responders.base import Idempotence
from responders.product import AS_WAS
from tocsin.contracts import Failure
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from playbooks.act_model import Invocation
    from responders.base import Connector
    from tocsin.clock import Clock
    from tocsin.contracts import Inquiry

_log = logging.getLogger(__name__)

#: Longest message of a failure, characters: it may quote what a product said.
MAX_MESSAGE = 500

#: What a call is known by: effect id and attempt.
CallKey = tuple[str, int]


class AnswerLine(Protocol):
    """How the question at a step of a run can be answered, in one line."""

    def __call__(self, run_id: str, step: str, inquiry: Inquiry) -> str: ...


@dataclass(frozen=True, slots=True)
class Running:
    """A call under way or ended, not yet recorded."""

    partition: int
    invocation: Invocation
    task: asyncio.Task[Outcome]


class Calls:
    """All calls of a worker. They outlive the log's subscription: a call goes on while the log
    is away, and its outcome is recorded when the log is back.
    """

    def __init__(
        self,
        connectors: Mapping[str, Connector],
        clock: Clock,
        answer_line: AnswerLine | None = None,
    ) -> None:
        """`answer_line` says how to answer a question, for the end of a message about it."""
        self._connectors = connectors
        self._answer_line = answer_line
        self._clock = clock
        self._slots = {
            name: asyncio.Semaphore(connector.manifest.max_concurrency)
            for name, connector in connectors.items()
        }
        self._unbounded = asyncio.Semaphore(1_000_000)
        self._breakers = {name: Breaker(name) for name in connectors}
        self._running: dict[CallKey, Running] = {}

    def slot(self, connector: str) -> asyncio.Semaphore:
        """Held while a call of that connector is decided on and made."""
        return self._slots.get(connector, self._unbounded)

    def running(self, key: CallKey) -> Running | None:
        """The call of that key, None if none was started or it is recorded."""
        return self._running.get(key)

    def start(self, key: CallKey, partition: int, invocation: Invocation) -> Running:
        """Begin the call; `forget` it once its outcome is recorded."""
        task = asyncio.create_task(self._call(invocation), name=f"call {invocation.call.verb}")
        self._running[key] = Running(partition, invocation, task)
        return self._running[key]

    def forget(self, key: CallKey) -> None:
        """Its outcome is recorded."""
        self._running.pop(key, None)

    async def abandon(self, kept: frozenset[int] = frozenset()) -> None:
        """Cancel the calls of partitions that are not `kept` and wait for their end."""
        lost = {key: each for key, each in self._running.items() if each.partition not in kept}
        for key, running in lost.items():
            running.task.cancel()
            self.forget(key)
        await asyncio.gather(*(each.task for each in lost.values()), return_exceptions=True)

    async def _call(self, invocation: Invocation) -> Outcome:
        connector = self._connectors.get(invocation.connector)
        if connector is None:
            message = f"no connector is called {invocation.connector} any more; configure it again"
            return Outcome(failure=Failure(kind="unavailable", message=message))
        breaker = self._breakers[invocation.connector]
        refusal = None if invocation.undo else breaker.refusal(self._clock.now())
        if refusal is not None:
            return Outcome(failure=refusal)
        outcome = await invoke(connector, self._addressed(invocation))
        breaker.note(outcome, self._clock.now())
        return outcome

    def _addressed(self, invocation: Invocation) -> Invocation:
        """A message about a question with the way to it, which is made now and never recorded."""
        if invocation.inquiry is None or self._answer_line is None:
            return invocation
        call = invocation.call
        line = self._answer_line(call.context["run_id"], call.context["step"], invocation.inquiry)
        message = f"{call.inputs.get('message', '')}\n{line}"
        inputs = {**call.inputs, "message": message}
        return replace(invocation, call=replace(call, inputs=inputs))


async def invoke(connector: Connector, invocation: Invocation) -> Outcome:
    """Make the call, whatever happens within its time; never raises but for cancellation."""
    call = invocation.call
    try:
        async with asyncio.timeout(call.timeout / 1000):
            if invocation.undo:
                return await _undo(connector, invocation)
            asks_first = invocation.resumed and invocation.idempotence is Idempotence.PROBE
            if asks_first and (proof := await _probe(connector, invocation)) is not None:
                return Outcome(proof)
            return Outcome(_checked(await connector.act(call)))
    except TimeoutError:
        message = f"{invocation.connector} gave no answer to {call.verb} in {call.timeout} ms"
        return _failed("timeout", message, after_send=True)
    except ConnectorError as error:
        failure = Failure(
            kind=error.kind, message=str(error)[:MAX_MESSAGE], retry_after=error.retry_after
        )
        return Outcome(failure=failure, after_send=error.after_send)
    except Exception as error:
        _log.exception("connector %s failed in %s", invocation.connector, call.verb)
        message = f"{invocation.connector} has a defect: {type(error).__name__}; see the log"
        return _failed("internal", message, after_send=True)


async def _probe(connector: Connector, invocation: Invocation) -> dict[str, Any] | None:
    """Whether the interrupted call happened; without an answer it stays in doubt."""
    try:
        proof = await connector.probe(invocation.call)
    except ConnectorError as error:
        raise ConnectorError(
            error.kind, f"probe: {error}", retry_after=error.retry_after, after_send=True
        ) from error
    return None if proof is None else {"probed": True, **_checked(proof)}


async def _undo(connector: Connector, invocation: Invocation) -> Outcome:
    before = invocation.proof
    if invocation.lease is None and not before:
        # Nobody kept a proof of what no lease holds: the product itself gives one.
        before = await connector.probe(invocation.call) or {}
    proof = _checked(await connector.undo(invocation.call, before))
    if AS_WAS in proof:
        # It was so before our lease: that the product still shows it is no failure.
        return Outcome({**proof, "verified": False})
    try:
        still = await connector.probe(invocation.call)
    except ConnectorError as error:
        return Outcome({**proof, "verified": False, "why": str(error)[:MAX_MESSAGE]})
    if still is not None:
        message = (
            f"{invocation.connector} answered that {invocation.call.target} is free and still "
            "shows it"
        )
        return _failed("internal", message, after_send=True)
    return Outcome({**proof, "verified": True})


def _checked(output: dict[str, Any]) -> dict[str, Any]:
    """The output, bounded; raises ConnectorError if it is no JSON: the call was made."""
    try:
        return bounded(output)
    except TypeError as error:
        message = f"the connector's answer is not JSON: {error}"
        raise ConnectorError("internal", message, after_send=True) from None


def _failed(kind: str, message: str, *, after_send: bool) -> Outcome:
    failure = Failure(kind=kind, message=message[:MAX_MESSAGE])
    return Outcome(failure=failure, after_send=after_send)
