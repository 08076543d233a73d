"""Where people are told of a question, and in which words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.clock import iso
from tocsin.contracts import Effect, Inquiry
from tocsin.ids import digest
from tocsin.text import printable

if TYPE_CHECKING:
    from tocsin.contracts import Mode, RunEvent

#: What a channel begins with, and the verb that a connector serves it by.
VERBS = {
    "slack": "notify.slack",
    "teams": "notify.teams",
    "email": "notify.email",
    "webhook": "notify.webhook",
}
#: Actions that a message lists; the question itself has all.
MAX_ACTIONS = 20
#: Longest text of a question, and of a line of its plan, characters.
MAX_TEXT, MAX_LINE = 2_000, 300


def question_of(
    event: RunEvent, before: dict[str, Any] | None, patience: int
) -> dict[str, Any] | None:
    """The question as an `approval_requested` event asks it, with a message for each channel.

    `before` is the question that was open at that step: what the event leaves out stands as it was.
    `patience` is until when somebody should have said that a message went out, ms. None if there
    is no channel.
    """
    before = before or {}
    data = event.data
    channels = [str(each) for each in data.get("channels") or before.get("channels", ())]
    known = [each for each in dict.fromkeys(channels) if each.partition(":")[0] in VERBS]
    if not known:
        return None
    message, first = str(data.get("message", "")), str(before.get("message", ""))
    return {
        "channels": known,
        "message": (first or message)[:MAX_TEXT],
        "note": message[:MAX_TEXT] if first and message and message != first else "",
        "plan": data.get("plan") or before.get("plan", ""),
        "group": data.get("group") or before.get("group", ""),
        "quorum": data.get("quorum") or before.get("quorum", 1),
        "actions": (data.get("actions") or before.get("actions", []))[:MAX_ACTIONS],
        "due": data.get("due", 0),
        "again": bool(before),
        "escalated": bool(data.get("escalated")),
        "notices": {
            digest("notice", event.id, channel): {"channel": channel, "attempt": 1, "due": patience}
            for channel in known
        },
    }


def effect_of(
    run_id: str,
    step: str,
    question: dict[str, Any],
    id: str,
    notice: dict[str, Any],
    mode: Mode,
    now: int,
) -> Effect:
    """The effect that tells one channel; the same for every attempt but for its number."""
    kind, _, name = notice["channel"].partition(":")
    inputs: dict[str, Any] = {"channel": name, "message": text(run_id, step, question)}
    if kind == "email":
        inputs["subject"] = _line(f"Approval needed: {question['message']}", 150)
    if kind == "webhook":
        told = ("plan", "group", "quorum", "actions", "due", "escalated", "message")
        inputs["data"] = {"run": run_id, "step": step, **{key: question[key] for key in told}}
    return Effect(
        id=id,
        run_id=run_id,
        step=step,
        attempt=notice["attempt"],
        verb=VERBS[kind],
        target=name,
        inputs=inputs,
        mode=mode,
        requested=now,
        inquiry=Inquiry(plan=question["plan"], due=question["due"]),
    )


def text(run_id: str, step: str, question: dict[str, Any]) -> str:
    """The message in plain text; what came from outside is cut, and without invisible marks."""
    head = "Approval needed"
    if question["escalated"]:
        head = "Approval needed, and nobody has answered yet"
    elif question["again"]:
        head = "Approval needed again"
    lines = [f"{head}: {_line(question['message'], MAX_TEXT)}"]
    if question["note"]:
        lines.append(_line(question["note"], MAX_TEXT))
    lines += ["", "It would:", *(f"- {_action(each)}" for each in question["actions"])]
    if not question["actions"]:
        lines[-1] = "It would neither contain nor destroy anything."
    needed = f"{question['quorum']} of {_line(question['group'], 100)}"
    lines += [
        "",
        f"Asked: {needed}, until {iso(question['due'])}",
        f"Run {run_id}, step {_line(step, 100)}, plan {question['plan'][:12]}",
    ]
    return "\n".join(lines)


def _action(action: dict[str, Any]) -> str:
    target = action.get("target") or "(target not known yet)"
    hold = action.get("hold")
    lasting = f" for {hold // 60_000} min" if isinstance(hold, int) and hold else ""
    return _line(f"{action.get('verb', '')} {target}{lasting}", MAX_LINE)


def _line(value: object, longest: int) -> str:
    """Text as one line: no control, no right-to-left marks, no line of its own."""
    return printable(" ".join(str(value).split()))[:longest]
