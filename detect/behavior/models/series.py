"""Odd stretches of a series of numbers (requests, bytes, load), value by value, nothing ahead.

Two looks at the newest values, each against the series' own past:

* *shape*: the last DIMENSION values as a point; the sum of its distances to the NEIGHBOURS nearest
  earlier points, in the metric of their spread, ranked among earlier such sums (conformal nearest
  neighbours: Burnaev and Ishimtsev, 2016);
* *mixture*: how the last WINDOW values spread over bins of the first ones; told when no mixture
  seen before could have drawn them (relative entropy against chi-square: Wang et al., 2011).

After an alarm the detector rests for a while: the same trouble is one alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

DIMENSION, NEIGHBOURS, WINDOW, BINS = 19, 27, 52, 5
#: The rank from which a shape is told, and that a new mixture needs besides.
ODD, SUSPICIOUS = 0.9965, 0.9
#: Chi-square's 99th percentile with BINS - 1 degrees of freedom.
_NEW = 13.2767
#: What a bin that a mixture never filled adds to the relative entropy, for each value in it.
_UNSEEN = 5.0
#: Share of the probation that the detector rests after an alarm; most mixtures kept.
REST, MAX_MIXTURES = 0.2, 256
#: Fewest values of a probation: enough points for NEIGHBOURS, and a window.
LEAST = 100


@dataclass(frozen=True, slots=True)
class Step:
    """What one value says: `rank` of its shape (0 to 1), whether its mixture is `new`, `told`.

    `told` is 0 where nothing is told (nothing odd, resting, or the probation), else the rank, and
    1 for a new mixture.
    """

    rank: float
    new: bool
    told: float


class SeriesDetector:
    """One series; bounded memory (two probations of values and one of scores).

    `probation` values are learned from before anything is told.
    """

    def __init__(self, probation: int) -> None:
        if probation < LEAST:
            raise ValueError(f"at least {LEAST} values are learned from")
        self._probation = probation
        self._values = np.zeros(4 * probation)
        self._filled = self._seen = 0
        self._metric = np.eye(DIMENSION)
        self._scores: Any = None
        self._oldest = 0
        self._until = -1
        self._mixtures: list[Any] = []
        self._low = self._step = 0.0

    def update(self, value: float) -> Step:
        """Take in the next value; values that are no number must be left out by the caller."""
        self._append(value)
        if self._seen < self._probation:
            return Step(0.0, False, 0.0)
        if self._seen == self._probation:
            self._begin()
        rank, new = self._shape(), self._mixture()
        told = 0.0
        if (rank >= ODD or (new and rank >= SUSPICIOUS)) and self._seen > self._until:
            told = 1.0 if new else rank
            self._until = self._seen + int(self._probation * REST)
        return Step(rank, new, told)

    def _append(self, value: float) -> None:
        if self._filled == len(self._values):
            kept = 2 * self._probation + DIMENSION
            self._values[:kept] = self._values[-kept:]
            self._filled = kept
        self._values[self._filled] = value
        self._filled += 1
        self._seen += 1

    def _begin(self) -> None:
        """What the probation teaches: the range of the bins, and the first mixtures."""
        first = self._values[: self._probation]
        self._low = float(first.min())
        spread = float(first.max()) - self._low
        self._step = spread / BINS if spread > 0 else 1.0
        for end in range(WINDOW, self._probation):
            self._mixture(first[end - WINDOW : end])

    def _points(self) -> Any:
        """The earlier points that shapes are compared with."""
        past = min(self._seen, 2 * self._probation)
        start = self._filled - past
        values = self._values[start : start + self._probation - 1]
        return np.lib.stride_tricks.sliding_window_view(values, DIMENSION)

    def _shape(self) -> float:
        points = self._points()
        if self._seen % self._probation in (0, self._probation // 2):
            self._measure(points)
        if self._scores is None:
            self._scores = np.array([self._apart(points, point, 1) for point in points])
        score = self._apart(points, self._values[self._filled - DIMENSION : self._filled], 0)
        rank = float((self._scores < score).mean())
        self._scores[self._oldest] = score
        self._oldest = (self._oldest + 1) % len(self._scores)
        return rank

    def _measure(self, points: Any) -> None:
        """The metric of the points; that of before where they have none (constant series)."""
        try:
            self._metric = np.linalg.inv(points.T @ points)
        except np.linalg.LinAlgError:
            return

    def _apart(self, points: Any, point: Any, own: int) -> float:
        """Sum of the distances to the nearest points, `own` is 1 where the point is among them."""
        difference = points - point
        distances = np.einsum("ij,ij->i", difference @ self._metric, difference)
        return float(np.partition(distances, NEIGHBOURS)[: NEIGHBOURS + own].sum())

    def _mixture(self, values: Any = None) -> bool:
        if values is None:
            values = self._values[self._filled - WINDOW : self._filled]
        # One bin on either side for values that the probation never reached.
        bins = np.clip(np.ceil((values - self._low) / self._step), -1, BINS + 1) + 1
        shares = np.bincount(bins.astype(np.int64), minlength=BINS + 3) / WINDOW
        new = not self._mixtures or self._distance(shares) >= _NEW
        if new:
            self._mixtures = [*self._mixtures[-MAX_MIXTURES + 1 :], shares]
        return new

    def _distance(self, shares: Any) -> float:
        """Twice the log likelihood ratio of a window's shares, from the nearest mixture."""
        known = np.array(self._mixtures)
        ratio = np.where(known > 0, shares / np.where(known > 0, known, 1.0), 1.0)
        logarithm = np.log(np.where(shares > 0, ratio, 1.0))
        terms = np.where((shares > 0) & (known <= 0), _UNSEEN * shares, shares * logarithm)
        return float(2 * WINDOW * terms.sum(axis=1).min())
