"""From scores to p-values: how many of the normal rows of training scored at least as high.

Conformal within what was seen; above its upper twentieth a generalised Pareto tail of excesses
(peaks over threshold, fitted by probability-weighted moments: Hosking and Wallis 1987).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    Doubles = np.ndarray[Any, np.dtype[np.float64]]

#: Points of the distribution that are kept.
POINTS = 512
#: Share of the scores that the tail is fitted to, and the fewest that make one.
_TAIL, _ENOUGH = 0.05, 50
#: Heaviest tail that is believed: a heavier one has no mean.
_MAX_SHAPE = 0.9
#: Smallest p-value told: less is not knowledge.
LEAST = 1e-9


@dataclass(frozen=True)
class Calibration:
    """The upper tail of normal scores: `cuts` ascending, each with the share at or above it."""

    cuts: Doubles
    shares: Doubles
    start: float
    tail: float
    scale: float
    shape: float

    @classmethod
    def of_scores(cls, scores: Doubles) -> Calibration:
        """Of scores of normal rows that the model was not trained on (or left out one by one)."""
        ranked = np.sort(np.asarray(scores, np.float64))
        chosen = np.unique(np.linspace(0, len(ranked) - 1, POINTS).astype(int))
        at_or_above = len(ranked) - np.searchsorted(ranked, ranked[chosen], side="left")
        shares = (at_or_above + 1) / (len(ranked) + 1)
        start = float(np.quantile(ranked, 1 - _TAIL))
        excess = ranked[ranked > start] - start
        scale, shape = _pareto(excess)
        tail = (len(excess) + 1) / (len(ranked) + 1)
        return cls(ranked[chosen], shares, start, tail, scale, shape)

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> Calibration:
        """What `arrays` made."""
        start, tail, scale, shape = arrays["calibration.tail"].tolist()
        cuts, shares = arrays["calibration.cuts"], arrays["calibration.shares"]
        if len(cuts) != len(shares) or not len(cuts):
            raise ValueError("the calibration does not fit together")
        return cls(cuts, shares, start, tail, scale, shape)

    def arrays(self) -> dict[str, Doubles]:
        """The calibration as it goes into a model file."""
        return {
            "calibration.cuts": self.cuts,
            "calibration.shares": self.shares,
            "calibration.tail": np.array([self.start, self.tail, self.scale, self.shape]),
        }

    def p_values(self, scores: Any) -> Doubles:
        """The chance of a normal row to score that high, at least LEAST."""
        values = np.atleast_1d(np.asarray(scores, np.float64))
        place = np.searchsorted(self.cuts, values, side="right") - 1
        seen = np.where(place < 0, 1.0, self.shares[np.maximum(place, 0)])
        if self.scale > 0:
            steps = np.maximum(values - self.start, 0.0) / self.scale
            if abs(self.shape) < 1e-6:
                above = np.exp(-steps)
            else:
                above = np.maximum(1.0 + self.shape * steps, 0.0) ** (-1.0 / self.shape)
            seen = np.where(values > self.start, self.tail * above, np.maximum(seen, self.tail))
        return np.clip(seen, LEAST, 1.0)

    def surprise(self, scores: Any) -> Doubles:
        """-log10 of the p-values."""
        return -np.log10(self.p_values(scores))

    def threshold(self, share: float) -> float:
        """The score that this share of normal rows reaches."""
        low, high = float(self.cuts[0]), float(self.cuts[-1]) + 1.0
        while self.p_values(high)[0] > share and high < 1e12:
            high += abs(high) + 1.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if self.p_values(middle)[0] > share else (low, middle)
        return high


def _pareto(excess: Doubles) -> tuple[float, float]:
    """Scale and shape (positive is heavy) of a generalised Pareto; (0, 0) for too few."""
    if len(excess) < _ENOUGH or excess.max() <= 0:
        return 0.0, 0.0
    ranked = np.sort(excess)
    weight = (len(ranked) - np.arange(len(ranked)) - 0.65) / len(ranked)
    mean, moment = float(ranked.mean()), float((weight * ranked).mean())
    if mean <= 2 * moment:
        return mean, 0.0
    shape = 2.0 - mean / (mean - 2 * moment)
    shape = float(np.clip(shape, -0.5, _MAX_SHAPE))
    return max(mean * (1.0 - shape), 1e-12), shape
