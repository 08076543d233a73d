"""What a rule file says about the rule itself: identity, hash, author, how it alerts."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from detect.model import DEFAULT_ALERT_WINDOW, DEFAULT_DEDUP, AlertPolicy
from tocsin.config import parse_duration
from tocsin.contracts import Rule
from tocsin.ids import content_hash

if TYPE_CHECKING:
    from sigma.rule import SigmaRuleBase

#: Keys that do not change what a rule does, and so do not change its hash (nor its alerts' ids).
NOT_HASHED = frozenset({"tests"})

#: Characters of the content hash that stand in for a missing id.
HASH_ID = 32

_POLICY_KEYS = {"dedup", "window", "severity", "alert"}
_INT64 = range(-(2**63), 2**63)


def plain(value: Any) -> Any:
    """The value as JSON can hold it: dates as text, keys as text, huge numbers as text."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int) and value not in _INT64:
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return repr(value)


def rule_hash(content: dict[str, Any]) -> str:
    """SHA-256 of the canonical content."""
    return content_hash(plain({k: v for k, v in content.items() if k not in NOT_HASHED}))


def identity(parsed: SigmaRuleBase, digest: str) -> str:
    """The id of a rule: its own, else its name, else the beginning of its content hash."""
    return str(parsed.id or parsed.name or digest[:HASH_ID])


def rule_of(
    parsed: SigmaRuleBase,
    rule_id: str,
    digest: str,
    kind: Literal["sigma", "correlation"] = "sigma",
) -> Rule:
    """The rule as findings carry it; one without a level counts as medium."""
    return Rule.model_validate(
        {
            "id": rule_id,
            "name": parsed.title,
            "hash": digest,
            "level": "medium" if parsed.level is None else str(parsed.level),
            "type": kind,
            "author": parsed.author or "",
            "license": parsed.license or "",
            "description": parsed.description or "",
            "references": tuple(map(str, parsed.references)),
            "tags": tuple(map(str, parsed.tags)),
            "falsepositives": tuple(map(str, parsed.falsepositives)),
        }
    )


def policy_of(content: dict[str, Any]) -> tuple[AlertPolicy, bool]:
    """How findings of the rule become alerts, and whether it alerts itself.

    Raises ValueError naming the mistake in the rule's `tocsin` mapping.
    """
    given = content.get("tocsin") or {}
    if not isinstance(given, dict) or not set(given) <= _POLICY_KEYS:
        raise ValueError("tocsin may have dedup, window, severity and alert")
    dedup = given.get("dedup", DEFAULT_DEDUP)
    if not isinstance(dedup, list | tuple) or not all(isinstance(f, str) and f for f in dedup):
        raise ValueError("tocsin.dedup is a list of ECS field names")
    window = parse_duration(given.get("window", DEFAULT_ALERT_WINDOW))
    if not isinstance(window, int) or isinstance(window, bool) or window <= 0:
        raise ValueError("tocsin.window is a duration above zero, such as 30m")
    severity = given.get("severity", 0)
    if not isinstance(severity, int) or isinstance(severity, bool) or not 0 <= severity <= 100:
        raise ValueError("tocsin.severity is a number from 0 to 100; 0 takes the level's")
    alert = given.get("alert", True)
    if not isinstance(alert, bool):
        raise ValueError("tocsin.alert is true or false")
    return AlertPolicy(tuple(dedup), window, severity), alert
