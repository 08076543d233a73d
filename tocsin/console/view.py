"""What the page shows, made from the store's documents: pure, and content with any document.

A row is a plain dict for the template. Documents hold hostile text and may lack anything: what is
missing shows as nothing, never as an error that hides the rest of the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.clock import iso, parse_iso
from tocsin.contracts import LeaseState
from tocsin.ids import canonical_json
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tocsin.console.questions import Question

Row = dict[str, Any]

#: Longest text of a cell, characters.
MAX_TEXT = 300

#: Lowest severity of each name, highest first; the names are Sigma's levels.
LEVELS = ((90, "critical"), (70, "high"), (40, "medium"), (20, "low"), (0, "info"))

#: Alerts below this severity are folded by rule: dozens of them would push out the rest.
FOLDED_BELOW = 40

#: How a step stands after an event of that kind; others do not change it.
_STEPS = {
    "requested": "running",
    "attempted": "running",
    "retry_scheduled": "waiting",
    "approval_requested": "waiting",
    "waiting": "waiting",
    "decided": "ok",
    "let": "ok",
    "succeeded": "ok",
    "skipped": "skipped",
    "failed": "failed",
    "refused": "refused",
    "dry_run": "dry run",
    "unknown": "unknown",
    "timed_out": "failed",
    "cancelled": "cancelled",
}

#: What a line about an event says of its data, in this order.
_SAID = (
    "playbook", "mode", "verb", "target", "by", "decision", "outcome", "message", "group",
    "reason", "comment", "alert",
)  # fmt: skip

#: Lines of evidence that an approval shows.
MAX_EVIDENCE = 5

#: The colour of a lease by its state.
_LEASE_TONES = {
    "active": "held", "asking": "waiting", "undo_failed": "failed", "undoing": "running",
}  # fmt: skip
#: The colour of an event in a timeline.
_TONES = {
    "succeeded": "ok", "decided": "ok", "finished": "completed", "failed": "failed",
    "refused": "refused", "unknown": "unknown", "timed_out": "failed", "cancelled": "cancelled",
    "approval_requested": "waiting", "waiting": "waiting", "retry_scheduled": "waiting",
    "requested": "running", "attempted": "running", "answered": "low",
}  # fmt: skip

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def span(milliseconds: int) -> str:
    """A length of time in its largest units, no seconds beside minutes: `3 h 59 min`."""
    left = max(0, milliseconds) // 1000
    parts: list[str] = []
    for unit, seconds in _UNITS:
        count, left = divmod(left, seconds)
        if count and not (parts and unit == "s"):
            parts.append(f"{count} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"


def moment(at: object, now: int) -> Row:
    """An instant (ms or RFC 3339): exact, and how long ago, or until, it is."""
    try:
        instant = parse_iso(at) if isinstance(at, str) else int(at)  # type: ignore[call-overload]
        exact = iso(instant)
    except (TypeError, ValueError, OverflowError, OSError):
        return {"iso": "", "text": "", "ahead": False}
    if instant > now:
        return {"iso": exact, "text": f"in {span(instant - now)}", "ahead": True}
    passed = now - instant
    text = "just now" if passed < 2_000 else f"{_largest(passed)} ago"
    return {"iso": exact, "text": text, "ahead": False}


def _largest(milliseconds: int) -> str:
    return " ".join(span(milliseconds).split()[:2])


def level(severity: object) -> str:
    """The name of a severity (0..100)."""
    number = severity if isinstance(severity, int) else 0
    return next(name for lowest, name in LEVELS if number >= lowest)


def alerts(documents: Iterable[Mapping[str, Any]], now: int) -> list[Row]:
    """Alerts in the order given; those of little weight are one row a rule."""
    rows: list[Row] = []
    folded: dict[str, Row] = {}
    for row in (alert(document, now) for document in documents):
        first = folded.get(row["rule"]) if row["severity"] < FOLDED_BELOW else None
        if first is not None:
            first["more"] += 1
            first["count"] += row["count"]
            continue
        if row["severity"] < FOLDED_BELOW:
            folded[row["rule"]] = row
        rows.append(row)
    return rows


def alert(document: Mapping[str, Any], now: int) -> Row:
    """An alert: how bad, when, what, how often; `more` counts those folded into it."""
    severity = _get(document, "event", "severity")
    count = _get(document, "tocsin", "alert", "count")
    rule = _text(_get(document, "rule", "name"))
    return {
        "level": level(severity),
        "severity": severity if isinstance(severity, int) else 0,
        "at": moment(_get(document, "tocsin", "alert", "last_seen"), now),
        "rule": rule,
        "message": _text(document.get("message")).removeprefix(f"{rule}: "),
        "techniques": [_text(t) for t in _list(_get(document, "threat", "technique", "id"))[:4]],
        "count": count if isinstance(count, int) else 0,
        "more": 0,
        "id": _text(_get(document, "tocsin", "alert", "id")),
    }


def leases(documents: Iterable[Mapping[str, Any]], now: int) -> list[Row]:
    """Leases, those in force first."""
    rows = [_lease(document, now) for document in documents]
    return sorted(rows, key=lambda row: not row["live"])


def _lease(document: Mapping[str, Any], now: int) -> Row:
    state = _text(document.get("state"))
    live = state != LeaseState.RELEASED
    expires = moment(document.get("expires"), now)
    return {
        "state": state.replace("_", " "),
        "tone": _LEASE_TONES.get(state, "done"),
        "live": live,
        "verb": _text(document.get("verb")),
        "target": _text(document.get("target")),
        "holders": len(_list(document.get("holders"))),
        "ends": expires if live else moment(document.get("changed"), now),
        "failure": _text(_get(document, "failure", "message")),
    }


def runs(events: Iterable[Mapping[str, Any]], rules: Mapping[str, str], now: int) -> list[Row]:
    """Runs with their steps, newest first, from run events newest first.

    `rules` maps alert ids to the names of their rules. A run whose beginning is no longer among
    `events` shows what is known of it.
    """
    by_run: dict[str, list[Mapping[str, Any]]] = {}
    for event in events:
        by_run.setdefault(_text(event.get("run_id")), []).append(event)
    return [_run(name, list(reversed(those)), rules, now) for name, those in by_run.items()]


def _run(name: str, events: list[Mapping[str, Any]], rules: Mapping[str, str], now: int) -> Row:
    # The act stage's own events have seq -1 and arrive between those of the run.
    row: Row = {
        "id": name,
        "playbook": "",
        "mode": "",
        "rule": "",
        "outcome": "running",
        "reason": "",
        "at": moment(events[0].get("at"), now),
        "took": "",
        "steps": {},
    }
    for event in events:
        data = event.get("data")
        data = data if isinstance(data, dict) else {}
        kind, step = _text(event.get("kind")), _text(event.get("step"))
        if kind == "started":
            row["playbook"] = f"{_text(data.get('playbook'))} v{_text(data.get('version'))}"
            row["mode"] = _text(data.get("mode"))
            row["rule"] = rules.get(_text(data.get("alert")), "")
            row["at"] = moment(event.get("at"), now)
        elif kind == "finished":
            row["outcome"] = _text(data.get("outcome"))
            row["reason"] = _text(data.get("reason"))
            duration = data.get("duration")
            row["took"] = _duration(duration) if isinstance(duration, int) else ""
        elif step and kind in _STEPS:
            row["steps"][step] = _step(_STEPS[kind], data, row["steps"].get(step))
    return row


def _step(state: str, data: Mapping[str, Any], before: Row | None) -> Row:
    """The latest state of a step; the target is known from its request on."""
    target = _text(data.get("target")) or (before["target"] if before else "")
    failure = _text(_get(data, "failure", "message")) or _text(data.get("reason"))
    return {"state": state, "target": target, "why": failure}


def told(event: Mapping[str, Any]) -> str:
    """What an event says beyond its kind and step, in one line."""
    data = event.get("data")
    data = data if isinstance(data, dict) else {}
    parts = [_text(data.get(key)) for key in _SAID if data.get(key)]
    if failure := _text(_get(data, "failure", "message")):
        parts.append(failure)
    if event.get("kind") == "answered" and not data.get("applied"):
        parts.append("not counted")
    refused = [
        v for v in _list(data.get("verdicts")) if isinstance(v, dict) and not v.get("allowed")
    ]
    parts += [f"{_text(v.get('guard'))}: {_text(v.get('reason'))}" for v in refused]
    if isinstance(due := data.get("due"), int):
        parts.append(f"until {iso(due)}")
    if isinstance(late := data.get("late_by"), int) and late > 1_000:
        parts.append(f"{span(late)} late")
    return " \N{MIDDLE DOT} ".join(parts)


def timeline(events: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The events of one run in order, each with the time since the one before."""
    rows: list[Row] = []
    before = 0
    for event in events:
        at = event.get("at")
        at = at if isinstance(at, int) else 0
        kind = _text(event.get("kind"))
        rows.append(
            {
                "iso": iso(at),
                "gap": _duration(at - before) if before and at > before else "",
                "kind": kind.replace("_", " "),
                "tone": _TONES.get(kind, "info"),
                "step": _text(event.get("step")),
                "told": told(event),
            }
        )
        before = at
    return rows


def question(asked: Question, now: int) -> Row:
    """An approval: what is asked, what would be done, why, who has answered."""
    alert_row = alert(asked.alert, now) if asked.alert else None
    return {
        "id": asked.id,
        "state": asked.state,
        "reason": _text(asked.reason),
        "message": _text(asked.message),
        "note": _text(asked.note),
        "run": asked.run_id,
        "step": _text(asked.step),
        "playbook": _text(asked.playbook),
        "mode": asked.mode,
        "group": _text(asked.group),
        "quorum": asked.quorum,
        "excluded": [_text(each) for each in asked.excluded],
        "escalated": asked.escalated,
        "due": moment(asked.due, now),
        "asked": moment(asked.asked, now),
        "plan": asked.plan,
        "approved": list(asked.approved_by),
        "actions": [_action(each) for each in asked.actions],
        "answers": [_answer(each, now) for each in asked.answers],
        "alert": alert_row,
        "entities": _entities(asked.alert),
        "evidence": [
            _text(each.get("original"))
            for each in _list(_get(asked.alert, "tocsin", "alert", "evidence"))
            if isinstance(each, dict) and each.get("original")
        ][:MAX_EVIDENCE],
    }


def _action(action: Mapping[str, Any]) -> Row:
    hold = action.get("hold")
    return {
        "step": _text(action.get("step")),
        "verb": _text(action.get("verb")),
        "target": _text(action.get("target")),
        "hold": span(hold) if isinstance(hold, int) and hold else "",
        "known": bool(action.get("known")),
        "inputs": [(_text(name), _value(value)) for name, value in _items_of(action.get("inputs"))],
    }


def _items_of(inputs: object) -> list[tuple[Any, Any]]:
    """The inputs that have a value."""
    found = inputs.items() if isinstance(inputs, dict) else ()
    return [(name, value) for name, value in found if value not in ("", None)]


def _value(value: object) -> str:
    """An input as one line of text."""
    return _text(value if isinstance(value, str) else canonical_json(value).decode())


def _answer(answer: Mapping[str, Any], now: int) -> Row:
    return {
        "by": _text(answer.get("by")),
        "decision": _text(answer.get("decision")),
        "counted": bool(answer.get("applied")),
        "why": _text(answer.get("reason")),
        "comment": _text(answer.get("comment")),
        "at": moment(answer.get("at"), now),
    }


def _entities(document: Mapping[str, Any]) -> list[str]:
    """Addresses, users and hosts of an alert."""
    kinds = ("ip", "user", "hosts")
    return [_text(one) for kind in kinds for one in _list(_get(document, "related", kind))][:12]


def _duration(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < 1_000 else span(milliseconds)


def dead_letter(document: Mapping[str, Any], now: int) -> Row:
    """A dead letter without its bytes."""
    return {
        "id": _text(document.get("id"))[:12],
        "at": moment(document.get("at"), now),
        "stage": _text(document.get("stage")),
        "code": _text(document.get("code")),
        "reason": _text(document.get("reason")),
        "origin": _text(document.get("origin")),
    }


def _get(document: Mapping[str, Any], *path: str) -> Any:
    value: Any = document
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _list(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _text(value: object) -> str:
    """Any value as one harmless, bounded line; nothing for None."""
    if value is None:
        return ""
    text = printable(str(value)[: MAX_TEXT + 1])
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
