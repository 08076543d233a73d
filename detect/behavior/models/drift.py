"""Whether what a model sees still looks like what it was trained on.

The population stability index compares shares of bins: below 0.1 nothing happened, above 0.25 the
population is another one (the thresholds that credit scoring has used for decades).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Floats = np.ndarray[Any, np.dtype[np.float64]]

WATCH, DRIFTED = 0.1, 0.25
#: Bins of a reference, and the least share of one: an empty bin must not make it infinite.
BINS, _LEAST = 10, 1e-4
#: Fewest rows that say anything.
MIN_ROWS = 200


@dataclass(frozen=True, slots=True)
class Drift:
    """One figure that moved: `name`, its stability index, and "stable", "watch" or "drifted"."""

    name: str
    psi: float

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.psi < WATCH:
            return "stable"
        return "watch" if self.psi < DRIFTED else "drifted"


def reference(values: Floats) -> dict[str, list[float]]:
    """Edges of equally full bins and the shares in them, as JSON for the manifest."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    return {"edges": [round(float(e), 9) for e in edges], "shares": _shares(values, edges)}


def psi(values: Floats, known: Mapping[str, Sequence[float]]) -> float:
    """Population stability index of `values` against a reference."""
    now = np.maximum(_shares(values, np.asarray(known["edges"])), _LEAST)
    then = np.maximum(known["shares"], _LEAST)
    return float(((now - then) * np.log(now / then)).sum())


def drifts(
    columns: Mapping[str, Floats], known: Mapping[str, Mapping[str, Sequence[float]]]
) -> list[Drift]:
    """All that is known of `columns` (scores and features), the worst first.

    Nothing where there are fewer than MIN_ROWS rows.
    """
    found = [
        Drift(name, round(psi(values, known[name]), 4))
        for name, values in columns.items()
        if name in known and len(values) >= MIN_ROWS
    ]
    return sorted(found, key=lambda drift: -drift.psi)


def over_budget(alerts: int, days: float, budget: float) -> float:
    """Alerts a day as a multiple of the budget; 0.5 to 2 is as it should be."""
    return alerts / max(days, 1e-9) / max(budget, 1e-9)


def _shares(values: Floats, edges: Floats) -> list[float]:
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return [round(float(share), 9) for share in counts / max(len(values), 1)]
