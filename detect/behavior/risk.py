"""The risk of an entity: a decaying sum of what was unusual about it, and of what rules found.

Each anomaly adds its surprise, -log10 of its p-value less ORDINARY and at most CAP; each finding of
a rule adds by its severity. What adds up is worth a look although no single part was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detect.behavior.calibrate import CAP
from detect.behavior.detector import HOUR

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Half-life, ms.
HALF_LIFE = 48 * HOUR
#: Surprise that adds nothing: one score in thirty is as high.
ORDINARY = 1.5
#: Most parts that are remembered, and least risk that is.
MAX_PARTS, _FORGOTTEN = 6, 0.05
#: What a rule's finding adds, by severity from 0 to 100.
_BY_SEVERITY = ((90, 4.0), (70, 2.5), (40, 1.0), (0, 0.3))


def value(risk: Mapping[str, Any], at: int) -> float:
    """The risk at `at` (ms)."""
    if not risk:
        return 0.0
    faded: float = risk["v"] * 0.5 ** (max(0, at - risk["t"]) / HALF_LIFE)
    return faded


def add(risk: Mapping[str, Any], at: int, amount: float, what: str) -> dict[str, Any]:
    """The risk after something was found; `what` names it (a detector, a rule).

    One thing adds at most CAP, however often: risk is many things, not one that goes on.
    """
    now = value(risk, at)
    parts: dict[str, float] = {}
    for name, worth, then in risk.get("p", ()):
        faded = worth * 0.5 ** (max(0, at - then) / HALF_LIFE)
        if faded > _FORGOTTEN:
            parts[name] = parts.get(name, 0.0) + faded
    amount = max(0.0, min(amount, CAP - parts.get(what, 0.0)))
    parts[what] = parts.get(what, 0.0) + amount
    top = sorted(parts.items(), key=lambda part: (-part[1], part[0]))[:MAX_PARTS]
    told = [[name, round(worth, 2), at] for name, worth in top]
    return {"v": round(now + amount, 3), "t": at, "p": told}


def worth(surprise: float) -> float:
    """What an anomaly of that surprise (-log10 p) adds."""
    return max(0.0, min(surprise, CAP) - ORDINARY)


def worth_of_severity(severity: int) -> float:
    """What a rule's finding adds."""
    return next(amount for least, amount in _BY_SEVERITY if severity >= least)
