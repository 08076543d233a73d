"""What a report measures and what it says is left: times, pending steps, what remains open."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

#: A report does not report on itself.
OWN_VERB = "case.report"

_PENDING = ("running", "waiting", "pending")
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def measured(first_event: int, run: dict[str, Any], steps: list[dict[str, Any]]) -> dict[str, Any]:
    """How long it took to detect, contain and resolve, each {ms, told}; ms None if it is not known.

    Detected: from the first event (its own clock) to the start of the run (ours). Contained: from
    there until the last containment was in force. Resolved: until the run ended.
    """
    started, ended = _number(run.get("started")), _ended(run)
    held = [_number(each.get("ended")) or _number(each.get("started"))
            for each in steps if each.get("status") == "ok" and each.get("held_until")]  # fmt: skip
    detected = started - first_event if started and first_event else None
    contained = max(held) - started if held and started else None
    resolved = ended - started if ended and started else None
    return {
        "detect": _span(detected, "no event or no start is known"),
        "contain": _span(contained, "nothing was contained"),
        "resolve": _span(resolved, "under way when this was written"),
    }


def pending(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps that are not over, the report's own left out."""
    return [each for each in steps if each["status"] in _PENDING and each["verb"] != OWN_VERB]


def remaining(steps: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What is still open after what was done, in the words of the connectors."""
    found = []
    for each in steps:
        output = each.get("output")
        if each.get("status") != "ok" or not isinstance(output, dict):
            continue
        if not (told := str(output.get("residual") or "")):
            continue
        seconds = output.get("residual_seconds")
        limit = f" At most {duration(seconds * 1000)}." if isinstance(seconds, int) else ""
        what = f"{each.get('verb', '')} on {each.get('target', '')}"
        found.append({"what": what, "told": told + limit})
    return found


def fingerprint(original: str) -> str:
    """SHA-256 of a record's text as UTF-8, by which it is found again in the log; "" for none."""
    return sha256(original.encode("utf-8", "surrogatepass")).hexdigest() if original else ""


def place(origin: str) -> dict[str, str]:
    """Topic, partition and offset of a raw record (`topic/partition/offset`)."""
    topic, _, rest = origin.partition("/")
    partition, _, offset = rest.rpartition("/")
    return {"topic": topic, "partition": partition, "offset": offset}


def duration(milliseconds: int) -> str:
    """A span in two units at most: "2 h 5 min", "31 s", "420 ms"."""
    if milliseconds < 1_000:
        return f"{milliseconds} ms"
    parts: list[str] = []
    rest = milliseconds
    for size, name in _UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {name}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts))


def _span(milliseconds: int | None, unknown: str) -> dict[str, Any]:
    if milliseconds is None:
        return {"ms": None, "told": unknown}
    if milliseconds < 0:
        return {"ms": milliseconds, "told": "before the first event: clocks differ"}
    return {"ms": milliseconds, "told": duration(milliseconds)}


def _ended(run: dict[str, Any]) -> int:
    """When the run ended; 0 while it is under way."""
    events = run.get("events")
    if not run.get("outcome") or not isinstance(events, list):
        return 0
    return max((_number(each.get("at")) for each in events if isinstance(each, dict)), default=0)


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
