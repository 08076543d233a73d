"""What a report shows, as plain values: decided here, so that templates only place it.

Input is what a run knows (ids, steps, events) and the alert's ECS document; any part may be
missing or shortened, and then the report says less, never nothing.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from responders.report_times import (
    OWN_VERB,
    fingerprint,
    measured,
    pending,
    place,
    remaining,
)
from tocsin.clock import iso, parse_iso

#: Longest lists and text of a report; the rest is counted.
MAX_EVIDENCE = 100
MAX_TIMELINE = 300
MAX_VALUES = 50
MAX_TEXT = 4_000

#: The last instant that can be written as a date, ms.
_LATEST = 253_402_300_800_000

_LEVELS = ((90, "critical"), (70, "high"), (40, "medium"), (20, "low"), (0, "informational"))

#: How a step's status is told, and its colour class.
_STATUS = {
    "ok": ("done", "good"),
    "failed": ("failed", "bad"),
    "timed_out": ("timed out", "bad"),
    "unknown": ("unknown, a person must look", "bad"),
    "refused": ("refused by a guard", "warn"),
    "dry_run": ("dry run, not done", "dry"),
    "skipped": ("skipped", "quiet"),
    "cancelled": ("cancelled", "quiet"),
    "running": ("under way", "quiet"),
    "waiting": ("waiting to be tried again", "warn"),
    "pending": ("not begun", "quiet"),
}

_WOULD = {
    "call": "would have been carried out",
    "join": "would have joined a containment that is already in force",
    "extend": "would have extended a containment that is already in force",
}


def view(case: str, title: str, run: dict[str, Any], alert: dict[str, Any]) -> dict[str, Any]:
    """Everything the templates use."""
    own = _dict(_dict(alert, "tocsin"), "alert")
    rule = _dict(alert, "rule")
    severity = _number(_dict(alert, "event").get("severity"))
    raw = [each for each in _mappings(run, "steps") if each.get("verb") != OWN_VERB]
    steps = [_step(each) for each in raw]
    actions = [step for step in steps if step["verb"]]
    shown: dict[str, Any] = {
        "case": case,
        "title": title or rule.get("name") or "Incident",
        "severity": severity,
        "level": next(name for least, name in _LEVELS if severity >= least),
        "rule": {
            "id": rule.get("id", ""),
            "name": rule.get("name", ""),
            "description": rule.get("description", ""),
            "author": ", ".join(map(str, _list(rule, "author"))),
            "license": rule.get("license", ""),
        },
        "message": alert.get("message", ""),
        "alert_id": own.get("id", ""),
        "count": _number(own.get("count")),
        "first_seen": _time(own.get("first_seen")),
        "last_seen": _time(own.get("last_seen")),
        "attack": _attack(_dict(alert, "threat")),
        "entities": [_entity(each) for each in _mappings(own, "entities")],
        "reasons": [_reason(each) for each in _mappings(own, "reasons")],
        "evidence": [_evidence(each) for each in _mappings(own, "evidence")[:MAX_EVIDENCE]],
        "false_positives": list(map(str, _list(_dict(own, "rule"), "falsepositives"))),
        "run": {
            "id": run.get("id", case),
            "playbook": run.get("playbook", ""),
            "version": run.get("version", ""),
            "hash": run.get("hash", ""),
            "started": _time(run.get("started")),
            "outcome": run.get("outcome") or "under way when this was written",
            "reason": run.get("reason", ""),
        },
        "actions": actions,
        "undo": [step for step in actions if step["held_until"]],
        "refused": [step for step in actions if step["status"] == "refused"],
        "imagined": [step for step in actions if step["status"] == "dry_run"],
        "pending": pending(steps),
        "remaining": remaining(raw),
        "times": measured(_instant(own.get("first_seen")), run, raw),
        "timeline": _timeline(own, run),
    }
    shown["summary"] = _summary(shown)
    cleaned: dict[str, Any] = _visible(shown)
    return cleaned


def _summary(shown: dict[str, Any]) -> list[str]:
    """A few sentences for someone who reads nothing else."""
    who = ", ".join(
        f"{each['name']} {', '.join(each['values'][:3])}" for each in shown["entities"][:3]
    )
    seen = f"{shown['count']} event{'s' if shown['count'] != 1 else ''}"
    first = f"The rule “{shown['rule']['name'] or 'unknown'}” matched {seen}"
    if shown["first_seen"]:
        first += f" between {shown['first_seen']} and {shown['last_seen']} UTC"
    sentences = [f"{first}. Severity {shown['severity']} of 100 ({shown['level']})."]
    if who:
        sentences.append(f"Concerned: {who}.")
    done = [s for s in shown["actions"] if s["status"] == "ok"]
    if done:
        sentences.append("Done: " + "; ".join(_deed(step) for step in done) + ".")
    if shown["imagined"]:
        deeds = "; ".join(f"{s['verb']} on {s['target']}" for s in shown["imagined"])
        sentences.append(f"Dry run, nothing of this was done: {deeds}.")
    if shown["refused"]:
        deeds = "; ".join(f"{s['verb']} on {s['target']}" for s in shown["refused"])
        sentences.append(f"Refused by guards: {deeds}.")
    wrong = [s for s in shown["actions"] if s["status"] in ("failed", "unknown", "timed_out")]
    if wrong:
        deeds = "; ".join(f"{s['verb']} on {s['target']}" for s in wrong)
        sentences.append(f"Needs a person, it did not work: {deeds}.")
    if shown["pending"]:
        waiting = "; ".join(_waiting(step) for step in shown["pending"])
        sentences.append(f"Not over yet: {waiting}.")
    return sentences


def _waiting(step: dict[str, Any]) -> str:
    return f"{step['verb']} on {step['target']}" if step["verb"] else str(step["id"])


def _deed(step: dict[str, Any]) -> str:
    deed = f"{step['verb']} on {step['target']}"
    return f"{deed}, until {step['held_until']} UTC" if step["held_until"] else deed


def _step(step: dict[str, Any]) -> dict[str, Any]:
    status = str(step.get("status", "pending"))
    told, tone = _STATUS.get(status, (status, "quiet"))
    if status == "waiting" and not step.get("verb"):
        told = "waiting for a decision"
    failure = _dict(step, "failure")
    # What remains open has a place of its own.
    hidden = ("residual", "residual_seconds")
    output = {key: v for key, v in _dict(step, "output").items() if key not in hidden}
    detail = step.get("reason") or failure.get("message") or ""
    if status == "dry_run":
        detail = _WOULD.get(str(output.get("would")), "would have been carried out")
    return {
        "id": step.get("id", ""),
        "verb": step.get("verb", ""),
        "target": step.get("target", ""),
        "status": status,
        "told": told,
        "tone": tone,
        "detail": detail,
        "attempt": step.get("attempt", 0),
        "output": [] if status == "dry_run" else _facts(output),
        "verdicts": [
            {"guard": v.get("guard", ""), "reason": v.get("reason", "")}
            for v in _mappings(step, "verdicts")
            if not v.get("allowed", True)
        ],
        "held_until": _time(step.get("held_until")) if status == "ok" else "",
        "started": _time(step.get("started")),
        "ended": _time(step.get("ended")),
    }


def _facts(output: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """An answer as flat facts, the empty ones left out."""
    facts: list[tuple[str, str]] = []
    for key, value in output.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            facts += _facts(value, f"{name}.")
        elif isinstance(value, list):
            if value:
                facts.append((name, ", ".join(str(each) for each in value[:MAX_VALUES])))
        elif value is not None and value != "":
            facts.append((name, str(value)))
    return facts[:MAX_VALUES]


def _attack(threat: dict[str, Any]) -> list[dict[str, str]]:
    """Tactics and techniques with the page that explains them."""
    tactic, technique = _dict(threat, "tactic"), _dict(threat, "technique")
    found = [
        {"id": str(each), "name": str(name), "url": f"https://attack.mitre.org/tactics/{each}/"}
        for each, name in zip(_list(tactic, "id"), _list(tactic, "name"), strict=False)
    ]
    for each in (*_list(technique, "id"), *_list(_dict(technique, "subtechnique"), "id")):
        path = str(each).replace(".", "/")
        url = f"https://attack.mitre.org/techniques/{path}/"
        found.append({"id": str(each), "name": "", "url": url})
    return found


def _entity(entity: dict[str, Any]) -> dict[str, Any]:
    values = [str(value) for value in _list(entity, "values")]
    return {
        "name": entity.get("name", ""),
        "values": values[:MAX_VALUES],
        "more": max(len(values) - MAX_VALUES, 0),
    }


def _reason(reason: dict[str, Any]) -> dict[str, str]:
    keys = ("selection", "field", "value", "modifier", "expected")
    return {key: str(reason.get(key) or "") for key in keys}


def _evidence(evidence: dict[str, Any]) -> dict[str, str]:
    original = str(evidence.get("original") or "")
    return {
        "at": _time(evidence.get("at"), exact=True),
        "origin": str(evidence.get("origin", "")),
        **place(str(evidence.get("origin", ""))),
        "sha256": fingerprint(original),
        "event_id": str(evidence.get("event_id", "")),
        "original": original,
    }


def _timeline(own: dict[str, Any], run: dict[str, Any]) -> list[dict[str, str]]:
    """Events by their own clock and ours by Tocsin's, in one order."""
    entries: list[tuple[int, dict[str, str]]] = []
    for each in _mappings(own, "evidence"):
        when = _instant(each.get("at"))
        what = str(each.get("original") or each.get("event_id") or "event")
        entries.append((when, {"at": _time(when, exact=True), "clock": "event", "what": what}))
    for each in _mappings(run, "events"):
        when = _instant(each.get("at"))
        words = [str(each.get("kind", "")).replace("_", " "), str(each.get("step") or "")]
        detail = _dict(each, "data")
        told = (detail.get(key) for key in ("reason", "message", "status", "outcome", "target"))
        words += [text for text in told if isinstance(text, str)]
        what = " · ".join(word for word in words if word)
        entries.append((when, {"at": _time(when, exact=True), "clock": "tocsin", "what": what}))
    entries.sort(key=lambda entry: entry[0])
    return [entry for _, entry in entries[:MAX_TIMELINE]]


def _instant(value: object) -> int:
    if isinstance(value, int):
        return value
    try:
        return parse_iso(str(value))
    except ValueError:
        return 0


def _time(value: object, *, exact: bool = False) -> str:
    """A time for people, UTC; `exact` with milliseconds. "" for what is no time."""
    instant = _instant(value)
    if not 0 < instant < _LATEST:
        return ""
    day, _, clock = iso(instant).removesuffix("Z").partition("T")
    return f"{day} {clock if exact else clock[:8]}"


def _visible(value: Any) -> Any:
    """Text without characters that hide or reorder others; they are shown by their number."""
    match value:
        case str():
            text = value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + " … (shortened)"
            return "".join(_shown(character) for character in text)
        case dict():
            return {key: _visible(each) for key, each in value.items()}
        case list() | tuple():
            return [_visible(each) for each in value]
        case _:
            return value


def _shown(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co"):
        return character
    return f"\\u{{{ord(character):04x}}}"


def _dict(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _list(value: dict[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _mappings(value: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return [each for each in _list(value, key) if isinstance(each, dict)]


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
