"""Network flows unlike the normal ones: near neighbours, and a forest.

Either gives a score, each score becomes a p-value among the normal flows of training, and their
logarithms are added with WEIGHTS:

* the mean distance to the five nearest normal flows, numbers as logarithms;
* the probability, by a random forest, that a flow is one whose columns were drawn independently of
  each other from normal flows (Breiman's unsupervised forest): single values may be usual and
  their combination not.

Only normal rows are learned from. This finds what is unlike a network's past, not intrusions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from detect.behavior.models.calibration import Calibration
from detect.behavior.models.drift import reference
from detect.behavior.models.flow_features import CATEGORIES, NORMAL, NUMBERS, Rows, Scales, read
from detect.behavior.models.forest import Forest, of_random_forest
from detect.behavior.models.metrics import at_threshold, by_group, ranking
from tocsin.errors import ConfigError
from tocsin.ids import content_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    Doubles = np.ndarray[Any, np.dtype[np.float64]]
    Floats = np.ndarray[Any, np.dtype[np.float32]]

__all__ = ["KIND", "SCHEMA", "FlowModel", "Rows", "evaluate", "opened", "read", "train"]

KIND = "flow"
NEIGHBOURS = 5
WEIGHTS = (1.0, 0.3)
#: The share of normal training flows that is above the threshold, and above another that is told.
ALARMS, USUAL_ALARMS = 0.04, 0.05
SCHEMA = content_hash(
    {"kind": KIND, "columns": [NUMBERS, CATEGORIES], "k": NEIGHBOURS, "weights": WEIGHTS}
)
#: Rows whose distances are in memory at a time.
_BLOCK = 512
#: Most normal flows that are kept as neighbours.
MAX_KEPT = 20_000
_TREES, _LEAF, _SHUFFLES = 100, 3, 4
_PARTS = ("near", "forest")


@dataclass(frozen=True)
class FlowModel:
    """A trained model: normal flows (`logarithms`, `codes`), the forest, the ascending scores of
    the normal flows in either, and the thresholds of ALARMS and USUAL_ALARMS."""

    scales: Scales
    logarithms: np.ndarray[Any, np.dtype[np.float16]]
    codes: np.ndarray[Any, np.dtype[np.uint8]]
    forest: Forest
    ranked: tuple[Doubles, ...]
    calibration: Calibration
    threshold: float
    usual: float
    version: str = ""

    def score(self, rows: Rows) -> Doubles:
        """How unlike normal flows each row is; higher is less like them."""
        scales = self.scales
        codes = scales.codes(rows.categories)
        found = _space(scales, scales.logarithms(rows.numbers), codes)
        near = _mean_distance(self._known, found, NEIGHBOURS)
        return _combined(self.ranked, (near, self.forest.sums(_plain(rows.numbers, codes))))

    def surprise(self, rows: Rows) -> Doubles:
        """-log10 of the share of normal flows that score as high."""
        return self.calibration.surprise(self.score(rows))

    @cached_property
    def _known(self) -> Floats:
        return _space(self.scales, self.logarithms, self.codes)


def train(rows: Rows, hold_back: Sequence[str] = (), seed: int = 0) -> tuple[Any, dict[str, Any]]:
    """Arrays of a model, and what its manifest says of how it was measured.

    Rows that are not labelled "normal" are used for the figures only; normal rows are scored as
    if each had not been there (nearest neighbours but itself, trees that did not see it).
    """
    if hold_back:
        raise ConfigError("flow learns from normal rows only: there is nothing to hold back")
    normal = np.array([label == NORMAL for label in rows.labels])
    if normal.sum() < 100:
        raise ConfigError(f"at least 100 rows labelled {NORMAL!r} are needed")
    known = _chosen(rows, np.flatnonzero(normal), seed)
    scales = Scales.of_normal(known)
    codes = scales.codes(known.categories)
    logarithms = scales.logarithms(known.numbers)
    forest, drawn = _fitted(_plain(known.numbers, codes), seed)
    space = _space(scales, logarithms, codes)
    scores = (_mean_distance(space, space, NEIGHBOURS, own=True), drawn)
    ranked = tuple(np.sort(part) for part in scores)
    own = _combined(ranked, scores)
    calibration = Calibration.of_scores(own)
    thresholds = np.quantile(own, (1 - ALARMS, 1 - USUAL_ALARMS))
    model = FlowModel(
        *(scales, logarithms, codes, forest, ranked, calibration),
        *(float(thresholds[0]), float(thresholds[1])),
    )
    arrays = {
        **scales.arrays(),
        "logarithms": logarithms,
        "codes": codes,
        **forest.arrays("forest."),
        **{f"ranked.{n}": part.astype(np.float32) for n, part in zip(_PARTS, ranked, strict=True)},
        **calibration.arrays(),
        "thresholds": thresholds,
    }
    columns = {"surprise": calibration.surprise(own).tolist(), **measures(known)}
    about = {
        "reference": {name: reference(values) for name, values in columns.items()},
        "metrics": _measured(model, rows, normal, own),
        "held_out": f"attacks, {int((~normal).sum())} rows, normal rows left out one by one",
        "trained": {"rows": len(known.labels), "label": NORMAL},
        "seed": seed,
    }
    return arrays, about


def measures(rows: Rows) -> dict[str, list[float]]:
    """What is watched of flows beside their scores: their numbers, by column."""
    table = rows.numbers.T.tolist()
    return {f"column_{at + 1}": values for at, values in zip(NUMBERS, table, strict=True)}


def opened(arrays: Any, version: str) -> FlowModel:
    """The model of verified arrays; raises ValueError where they do not fit together."""
    scales = Scales.of_arrays(arrays)
    shape = (len(arrays["codes"]), len(NUMBERS))
    if arrays["logarithms"].shape != shape or arrays["thresholds"].shape != (2,):
        raise ValueError("the normal flows do not fit together")
    return FlowModel(
        scales,
        arrays["logarithms"],
        arrays["codes"],
        Forest.of_arrays(arrays, "forest."),
        tuple(arrays[f"ranked.{name}"].astype(np.float64) for name in _PARTS),
        Calibration.of_arrays(arrays),
        float(arrays["thresholds"][0]),
        float(arrays["thresholds"][1]),
        version,
    )


def evaluate(model: FlowModel, rows: Rows, seed: int = 0) -> dict[str, Any]:
    """Figures over labelled rows; the threshold is the q96 of the normal rows of training."""
    scores = model.score(rows)
    attack = np.array([label != NORMAL for label in rows.labels])
    return {
        **ranking(scores, attack),
        "at_trained_q96": at_threshold(scores, attack, model.threshold),
        "at_trained_q95": at_threshold(scores, attack, model.usual),
        "told_by_label": by_group(scores, rows.labels, model.threshold),
    }


def _chosen(rows: Rows, indices: Any, seed: int) -> Rows:
    if len(indices) > MAX_KEPT:
        indices = np.sort(np.random.default_rng(seed).choice(indices, MAX_KEPT, replace=False))
    chosen = indices.tolist()
    return Rows(
        rows.numbers[indices],
        [rows.categories[i] for i in chosen],
        [rows.labels[i] for i in chosen],
    )


def _space(scales: Scales, logarithms: Any, codes: Any) -> Floats:
    """Coordinates: logarithms; of the categories protocol and flag, standardised.

    The service is left to the forest: a usual flow of a service that is rare is not far away.
    """
    kinds = [scales.one_hot(codes, column) for column in (0, 2)]
    return np.hstack([logarithms.astype(np.float32), *kinds], dtype=np.float32)


def _mean_distance(known: Floats, rows: Floats, count: int, *, own: bool = False) -> Doubles:
    """Mean distance to the nearest `count` of `known`; with `own` not counting a row itself."""
    squares = (known**2).sum(axis=1)
    means = np.empty(len(rows))
    for first in range(0, len(rows), _BLOCK):
        block = rows[first : first + _BLOCK]
        apart = squares - 2.0 * (block @ known.T) + (block**2).sum(axis=1)[:, None]
        if own:
            size = np.arange(len(block))
            apart[size, size + first] = np.inf
        nearest = np.partition(apart, count - 1, axis=1)[:, :count]
        means[first : first + len(block)] = np.sqrt(np.maximum(nearest, 0)).mean(axis=1)
    return means


def _plain(numbers: Doubles, codes: Any) -> Floats:
    """Rows for the forest: numbers as they are, categories by how frequent they are."""
    return np.hstack([numbers, codes]).astype(np.float32)


def _fitted(table: Floats, seed: int) -> tuple[Forest, Doubles]:
    """A forest that tells rows from rows of independent columns, and its scores of the rows.

    A row's score is of the trees that were not fitted to it.
    """
    from sklearn.ensemble import RandomForestClassifier

    draw = np.random.default_rng(seed)
    shuffled = [
        np.column_stack([draw.permutation(column) for column in table.T]) for _ in range(_SHUFFLES)
    ]
    both = np.vstack([table, *shuffled])
    fitted = RandomForestClassifier(
        n_estimators=_TREES,
        min_samples_leaf=_LEAF,
        class_weight="balanced",
        oob_score=True,
        random_state=seed,
    )
    fitted.fit(both, np.arange(len(both)) >= len(table))
    left_out = fitted.oob_decision_function_[: len(table), 1]
    return of_random_forest(fitted), np.nan_to_num(left_out, nan=0.5)


def _combined(ranked: tuple[Doubles, ...], scores: tuple[Doubles, ...]) -> Doubles:
    total = np.zeros(len(scores[0]))
    for weight, known, part in zip(WEIGHTS, ranked, scores, strict=True):
        above = len(known) - np.searchsorted(known, part, side="left")
        total -= weight * np.log((above + 1) / (len(known) + 1))
    return total


def _measured(model: FlowModel, rows: Rows, normal: Any, own: Doubles) -> dict[str, Any]:
    if normal.all():
        return {}
    attacks = model.score(_chosen(rows, np.flatnonzero(~normal), 0))
    scores = np.append(own, attacks)
    return dict(ranking(scores, np.arange(len(scores)) >= len(own)))
