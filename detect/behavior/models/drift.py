"""Whether what a model sees still looks like what it was trained on.

The population stability index compares shares of bins: below 0.1 nothing happened, above 0.25 the
population is another one (the thresholds that credit scoring has used for decades). Bins are those
of a reference that training leaves in the manifest: the scores of normal rows that the model did
not know, and what is measured of them. Plain Python: what only shows drift needs no numpy.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WATCH, DRIFTED = 0.1, 0.25
#: Bins of a reference, and the least share of one: an empty bin must not make it infinite.
BINS, _LEAST = 10, 1e-3
#: Fewest rows that say anything.
MIN_ROWS = 200
#: Alerts a day, as a multiple of the budget, from which there are too many.
OVER = 2.0

#: Edges of bins, and the shares of rows in them (one more than edges), as JSON.
Reference = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Drift:
    """One figure: `name`, its stability index, of how many rows, and what to make of it."""

    name: str
    psi: float
    rows: int

    @property
    def verdict(self) -> str:
        """In a word: "stable", "watch", "drifted", or "too few" rows to say."""
        if self.rows < MIN_ROWS:
            return "too few"
        if self.psi < WATCH:
            return "stable"
        return "watch" if self.psi < DRIFTED else "drifted"


def reference(values: Iterable[float]) -> Reference:
    """Edges of equally full bins and the shares in them; raises ValueError for no values."""
    ranked = sorted(float(each) for each in values)
    if not ranked:
        raise ValueError("a reference needs values")
    cuts = {ranked[len(ranked) * part // BINS] for part in range(1, BINS)}
    edges = sorted(round(cut, 6) for cut in cuts)
    found = counted(ranked, edges)
    return {"edges": edges, "shares": [round(count / len(ranked), 6) for count in found]}


def counted(values: Iterable[float], edges: Sequence[float]) -> list[int]:
    """How many values are in each bin."""
    found = [0] * (len(edges) + 1)
    for value in values:
        # Edges are rounded; a value that made one is in the bin that it ends.
        found[bisect_left(edges, round(value, 6))] += 1
    return found


def psi(counts: Sequence[float], shares: Sequence[float]) -> float:
    """Population stability index of counts against the shares of a reference."""
    total = sum(counts)
    if total <= 0:
        return 0.0
    moved = 0.0
    for count, share in zip(counts, shares, strict=True):
        now, then = max(count / total, _LEAST), max(share, _LEAST)
        moved += (now - then) * log(now / then)
    return round(moved, 4)


def drifts(columns: Mapping[str, Sequence[float]], known: Mapping[str, Reference]) -> list[Drift]:
    """All that is known of `columns` (scores and features), the worst first."""
    found = []
    for name, values in columns.items():
        if (of := known.get(name)) is not None:
            moved = psi(counted(values, of["edges"]), of["shares"])
            found.append(Drift(name, moved, len(values)))
    return sorted(found, key=lambda drift: -drift.psi)


def over_budget(alerts: float, days: float, budget: float) -> float:
    """Alerts a day as a multiple of the budget; 0.5 to 2 is as it should be."""
    return alerts / max(days, 1e-9) / max(budget, 1e-9)
