"""Approvals as people see them, put together from run events: pure.

What counts is decided by the run; this is a picture of it, made from the store's copies.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tocsin.ids import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Kinds of run events that say how approvals stand.
KINDS = (
    "started",
    "approval_requested",
    "answered",
    "decided",
    "cancelled",
    "timed_out",
    "finished",
)


@dataclass(frozen=True, slots=True)
class Question:
    """One approval of a run.

    `state` is open, approved, denied, or over (the run ended first). `plan` is the hash of what is
    asked now, `actions` what would be done, `answers` all that came, counted or not, oldest first.
    Instants are ms; `alert` and `playbook` are known once the run's beginning was looked up.
    """

    id: str
    run_id: str
    step: str
    asked: int
    due: int = 0
    message: str = ""
    note: str = ""
    plan: str = ""
    group: str = ""
    quorum: int = 1
    excluded: tuple[str, ...] = ()
    actions: tuple[Mapping[str, Any], ...] = ()
    channels: tuple[str, ...] = ()
    escalated: bool = False
    answers: tuple[Mapping[str, Any], ...] = ()
    state: str = "open"
    reason: str = ""
    playbook: str = ""
    mode: str = ""
    alert_id: str = ""
    alert: Mapping[str, Any] = field(default_factory=dict)

    @property
    def approved_by(self) -> tuple[str, ...]:
        """Who has approved the plan that is asked now."""
        return tuple(
            str(each.get("by", ""))
            for each in self.answers
            if each.get("applied") and each.get("decision") == "approved"
        )

    def answer(self, id: str) -> Mapping[str, Any] | None:
        """What is recorded of the answer with this id."""
        return next((each for each in self.answers if each.get("answer") == id), None)


def question_id(run_id: str, step: str) -> str:
    """The id of the approval at a step of a run."""
    return digest("approval", run_id, step)


def questions(events: Iterable[Mapping[str, Any]]) -> list[Question]:
    """All approvals that `events` of any runs tell of, oldest first; the order does not matter."""
    found: dict[tuple[str, str], Question] = {}
    over: dict[str, str] = {}
    begun: dict[str, Mapping[str, Any]] = {}
    for event in sorted(events, key=_order):
        run_id, step = str(event.get("run_id", "")), str(event.get("step") or "")
        kind, data = event.get("kind"), _mapping(event.get("data"))
        if kind == "finished" or (kind == "cancelled" and not step):
            over[run_id] = str(data.get("reason") or data.get("outcome") or kind)
            continue
        if kind == "started":
            begun[run_id] = data
            over.pop(run_id, None)  # it has started again: its questions are asked anew
            for again in [key for key in found if key[0] == run_id]:
                del found[again]
            continue
        known = found.get((run_id, step))
        if kind == "approval_requested":
            known = known or Question(question_id(run_id, step), run_id, step, _number(event, "at"))
            found[run_id, step] = _asked(known, data)
        elif known is not None:
            found[run_id, step] = _changed(known, str(kind), data, _number(event, "at"))
    return [
        replace(each, state="over", reason=over[each.run_id])
        if each.state == "open" and each.run_id in over
        else each
        for each in (began(one, begun.get(one.run_id, {})) for one in found.values())
    ]


def began(question: Question, data: Mapping[str, Any]) -> Question:
    """The question with what its run's `started` event says."""
    if not data:
        return question
    return replace(
        question,
        playbook=f"{data.get('playbook', '')} v{data.get('version', '')}",
        mode=str(data.get("mode", "")),
        alert_id=str(data.get("alert", "")),
    )


def _order(event: Mapping[str, Any]) -> tuple[str, int]:
    return str(event.get("run_id", "")), _number(event, "seq")


def _asked(known: Question, data: Mapping[str, Any]) -> Question:
    """The question as it is asked now: for the first time, of others, or about another plan."""
    plan = str(data.get("plan", "")) or known.plan
    message = str(data.get("message", ""))
    changed = bool(known.plan) and plan != known.plan
    return replace(
        known,
        plan=plan,
        message=known.message or message,
        note=message if changed else known.note,
        group=str(data.get("group", "")) or known.group,
        quorum=_number(data, "quorum") or known.quorum,
        excluded=_texts(data.get("excluded")) or known.excluded,
        channels=_texts(data.get("channels")) or known.channels,
        actions=tuple(_mapping(each) for each in _items(data.get("actions"))) or known.actions,
        due=_number(data, "due"),
        escalated=known.escalated or bool(data.get("escalated")),
        answers=tuple({**each, "applied": False} for each in known.answers)
        if changed
        else known.answers,
    )


def _changed(known: Question, kind: str, data: Mapping[str, Any], at: int) -> Question:
    if kind == "answered":
        return replace(known, answers=(*known.answers, {**data, "at": at}))
    if kind == "decided":
        decision, reason = str(data.get("decision", "over")), str(data.get("reason", ""))
        return replace(known, state=decision, reason=reason)
    return replace(known, state="over", reason=str(data.get("reason", "")) or kind)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in _items(value))


def _number(value: Mapping[str, Any], key: str) -> int:
    found = value.get(key)
    return found if isinstance(found, int) else 0
