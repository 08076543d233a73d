"""Flat forests score as scikit-learn does, one row at a time and in batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest, RandomForestClassifier

from detect.behavior.models.forest import Forest, of_isolation_forest, of_random_forest

DRAW = np.random.default_rng(7)
#: Values that stand on both sides of many thresholds, and exactly on some.
ROWS = np.round(DRAW.normal(size=(600, 6)), 1).astype(np.float32)
FITTED = IsolationForest(n_estimators=20, max_samples=128, random_state=0).fit(ROWS)


def test_an_isolation_forest_scores_as_scikit_learn_does() -> None:
    forest, divisor = of_isolation_forest(FITTED)
    theirs = FITTED.score_samples(ROWS)
    assert np.abs(-(2.0 ** (-forest.sums(ROWS) / divisor)) - theirs).max() < 1e-6
    alone = np.array([forest.sums(row[None])[0] for row in ROWS[:40]])
    assert np.abs(-(2.0 ** (-alone / divisor)) - theirs[:40]).max() < 1e-6


def test_trees_that_see_some_of_the_columns_only() -> None:
    fitted = IsolationForest(n_estimators=10, max_features=0.5, random_state=1).fit(ROWS)
    forest, divisor = of_isolation_forest(fitted)
    ours = -(2.0 ** (-forest.sums(ROWS) / divisor))
    assert np.abs(ours - fitted.score_samples(ROWS)).max() < 1e-6


def test_a_random_forest_scores_as_scikit_learn_does() -> None:
    label = ROWS[:, 0] + ROWS[:, 1] > 0.3
    fitted = RandomForestClassifier(n_estimators=10, max_depth=7, random_state=0).fit(ROWS, label)
    ours = of_random_forest(fitted).sums(ROWS)
    assert np.abs(ours - fitted.predict_proba(ROWS)[:, 1]).max() < 1e-6


def test_constant_rows_make_a_forest_of_leaves() -> None:
    fitted = IsolationForest(n_estimators=3, random_state=0).fit(np.ones((50, 2)))
    forest, divisor = of_isolation_forest(fitted)
    theirs = fitted.score_samples(ROWS[:100, :2])
    assert np.abs(-(2.0 ** (-forest.sums(ROWS[:100, :2]) / divisor)) - theirs).max() < 1e-6


def test_a_forest_comes_back_from_its_arrays() -> None:
    forest, _ = of_isolation_forest(FITTED)
    again = Forest.of_arrays(forest.arrays("trees."), "trees.")
    assert np.abs(again.sums(ROWS) - forest.sums(ROWS)).max() < 1e-4
    assert {array.itemsize for array in forest.arrays().values()} <= {2, 4}


@pytest.mark.parametrize(
    ("name", "value"), [("left", 10**6), ("right", 0), ("feature", -1), ("roots", 10**6)]
)
def test_nodes_that_point_astray_are_refused(name: str, value: int) -> None:
    arrays: dict[str, Any] = of_isolation_forest(FITTED)[0].arrays()
    arrays[name] = arrays[name].copy()
    arrays[name][-1] = value
    with pytest.raises(ValueError, match="do not fit together"):
        Forest.of_arrays(arrays)
