"""Telling people that they are asked: each open approval, in each of its channels.

Run events in, effects out: a message is an effect like any other, with an id made of the event and
the channel, so that it is sent at least once and, where the product allows it, once. A reminder
goes out when the question is escalated or the plan has changed. What failed for a passing reason is
tried again while the question is open. The message holds no secret: the link in it is added by the
worker that sends it, and only leads to the question.
"""

from __future__ import annotations

import logging
import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from playbooks.channels import effect_of, question_of
from tocsin.contracts import EffectStatus, Mode, RunEvent, Topics
from tocsin.errors import BadInput
from tocsin.log.base import Outgoing
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tocsin.log.base import Record
    from tocsin.state import State

logger = logging.getLogger(__name__)

#: Attempts at one message, and the wait after the first failed one and the longest, ms.
MAX_ATTEMPTS, FIRST, LONGEST = 6, 5_000, 5 * 60_000
#: A message that nobody said anything about is asked for again after this long, ms.
PATIENCE = 3 * 60_000

#: Failures after which trying again may help.
_PASSING = frozenset({"timeout", "rate_limited", "http_5xx", "unavailable"})
_WANTED = re.compile(
    rb'"kind":"(?:approval_requested|notified|decided|finished|cancelled|timed_out)"'
)
_KEY = "asked/"


class NoticeStage:
    """Topic RUNS to EFFECTS; the state holds the open questions that have channels, by run."""

    name = "notices"
    topic = Topics.RUNS
    stateful = True

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._again: dict[tuple[str, int], int] = {}

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """Raises BadInput for what is no run event."""
        batch = Batch()
        for record in records:
            outputs = None
            if _WANTED.search(record.value):
                outputs = self._take(_event(record), state, now)
            if outputs is None:
                batch.filtered["no_question"] += 1
                continue
            batch.sent += 1
            batch.outputs += outputs
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """Messages whose time has come (again): a worker that has done one already says so."""
        due: list[Outgoing] = []
        seen: dict[tuple[str, int], int] = {}
        for run_id, step, question, id, notice in _open(state):
            mark = (id, notice["attempt"])
            last = self._again.get(mark)
            if notice["due"] <= now and (last is None or now - last >= PATIENCE):
                due.append(self._sent(run_id, step, question, id, notice, now))
                seen[mark] = now
            elif last is not None:
                seen[mark] = last
        if due or seen:
            self._again = {**self._again, **seen}
        if len(self._again) > len(seen) + 10_000:
            self._again = seen
        return due

    def _take(self, event: RunEvent, state: State, now: int) -> list[Outgoing] | None:
        """What an event leads to; None if it concerns no question with channels."""
        asked: dict[str, Any] = deepcopy(state.get(_KEY + event.run_id, {}))
        match event.kind:
            case "approval_requested":
                outputs = self._asked(event, asked, now)
            case "notified":
                outputs = [] if _note(event, asked, now) else None
            case "decided" | "cancelled" | "timed_out" if event.step:
                outputs = None if asked.pop(event.step, None) is None else []
            case _:
                outputs = [] if asked else None
                asked = {}
        if outputs is None:
            return None
        if asked:
            state[_KEY + event.run_id] = asked
        else:
            state.pop(_KEY + event.run_id, None)
        return outputs

    def _asked(self, event: RunEvent, asked: dict[str, Any], now: int) -> list[Outgoing] | None:
        question = question_of(event, asked.get(event.step), now + PATIENCE)
        if question is None:
            return None
        asked[event.step] = question
        return [
            self._sent(event.run_id, event.step, question, id, notice, now)
            for id, notice in question["notices"].items()
        ]

    def _sent(
        self,
        run_id: str,
        step: str,
        question: dict[str, Any],
        id: str,
        notice: dict[str, Any],
        now: int,
    ) -> Outgoing:
        effect = effect_of(run_id, step, question, id, notice, self._mode, now)
        key = effect.target.encode()
        return Outgoing(Topics.EFFECTS, effect.encode(), key=key, timestamp=now)


def _event(record: Record) -> RunEvent:
    try:
        return RunEvent.decode(record.value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadInput(
            "run_event", f"this is no run event: {first['loc']}: {first['msg']}"
        ) from None


def _open(state: State) -> Iterator[tuple[str, str, dict[str, Any], str, dict[str, Any]]]:
    """Messages without a last word: run, step, question, id and what is known of it."""
    for key in state:
        if key.startswith(_KEY):
            for step, question in state[key].items():
                for id, notice in question["notices"].items():
                    yield key.removeprefix(_KEY), step, question, id, notice


def _note(event: RunEvent, asked: dict[str, Any], now: int) -> bool:
    """Take what became of a message; whether it is news of one that is open."""
    notices: dict[str, Any] = asked.get(event.step, {}).get("notices", {})
    id, attempt = event.data.get("effect", ""), event.data.get("attempt", 0)
    notice = notices.get(id)
    if notice is None or attempt != notice["attempt"]:
        return False
    failure = event.data.get("failure") or {}
    passing = event.data.get("status") == EffectStatus.FAILED and failure.get("kind") in _PASSING
    if not passing or attempt >= MAX_ATTEMPTS:
        del notices[id]
        if event.data.get("status") not in (EffectStatus.OK, EffectStatus.DRY_RUN):
            why = failure.get("message", "no reason given")
            logger.error(
                "run %s asks people and %s was not told: %s; `tocsin approvals list` has it",
                event.run_id, notice["channel"], why,
            )  # fmt: skip
        return True
    wait = min(FIRST << (attempt - 1), LONGEST)
    notice["attempt"] = attempt + 1
    notice["due"] = now + max(wait, failure.get("retry_after") or 0)
    return True
