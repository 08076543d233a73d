"""Figures of merit of a score: how well it ranks, and what it finds at few false alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Flags = np.ndarray[Any, np.dtype[np.bool_]]

#: False alarm rates at which `ranking` says what is found.
RATES = (0.001, 0.01, 0.05)


def roc(scores: Floats, attack: Flags) -> tuple[Floats, Floats]:
    """False and true positive rates as the threshold falls; equal scores fall together.

    Raises ValueError where attacks or normal rows are missing.
    """
    if not attack.any() or attack.all():
        raise ValueError("figures need rows of both kinds, attacks and normal ones")
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], attack[order]
    last = np.append(ranked[1:] != ranked[:-1], True)
    true, false = np.cumsum(hits)[last], np.cumsum(~hits)[last]
    return np.append(0.0, false / false[-1]), np.append(0.0, true / true[-1])


def auc(scores: Floats, attack: Flags) -> float:
    """Area under the ROC curve; ties count half."""
    false, true = roc(scores, attack)
    return float(np.trapezoid(true, false))


def tpr_at(scores: Floats, attack: Flags, rate: float) -> float:
    """Share of attacks found by the lowest threshold with at most `rate` false alarms."""
    false, true = roc(scores, attack)
    return float(true[np.searchsorted(false, rate, side="right") - 1])


def ranking(scores: Floats, attack: Flags) -> dict[str, float]:
    """AUC, and the share found at the false alarm rates of RATES."""
    found = {f"tpr_at_{rate:g}": round(tpr_at(scores, attack, rate), 4) for rate in RATES}
    return {"auc": round(auc(scores, attack), 4), **found}


def at_threshold(scores: Floats, attack: Flags, threshold: float) -> dict[str, float]:
    """Precision, recall, F1 and false alarm rate of scores above a threshold."""
    told = scores > threshold
    hits = int((told & attack).sum())
    false, missed = int(told.sum()) - hits, int(attack.sum()) - hits
    return {
        "threshold": round(float(threshold), 6),
        "precision": round(hits / max(hits + false, 1), 4),
        "recall": round(hits / max(hits + missed, 1), 4),
        "f1": round(2 * hits / max(2 * hits + false + missed, 1), 4),
        "fpr": round(false / max(int((~attack).sum()), 1), 4),
    }


def by_group(scores: Floats, groups: list[str], threshold: float) -> dict[str, float]:
    """Share above the threshold of each group, by name."""
    names = np.array(groups)
    return {name: _share(scores[names == name], threshold) for name in sorted(set(groups))}


def folds(rows: int, count: int, seed: int) -> Iterator[tuple[Any, Any]]:
    """Indices to train on and to test on, `count` times; each row is tested once."""
    order = np.random.default_rng(seed).permutation(rows)
    for part in range(count):
        held = np.zeros(rows, bool)
        held[order[part::count]] = True
        yield np.flatnonzero(~held), np.flatnonzero(held)


def _share(scores: Floats, threshold: float) -> float:
    return round(float((scores > threshold).mean()), 4)
