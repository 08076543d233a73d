"""Forests of scikit-learn as flat arrays: the same scores, without scikit-learn and per row.

A tree is laid out as arrays over its nodes; a leaf is its own child, so that every row takes the
same number of steps. One row goes through all trees at once; a batch goes through one tree at a
time, in blocks that stay in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Floats = np.ndarray[Any, np.dtype[np.float32]]
    Doubles = np.ndarray[Any, np.dtype[np.float64]]
    Ints = np.ndarray[Any, np.dtype[np.int32]]

#: Rows of a block: its columns and positions stay in a second-level cache.
_BLOCK = 8192
#: Fewest rows that go tree by tree; fewer go through all trees at once.
_MANY = 64


@dataclass(frozen=True)
class Forest:
    """Sums over trees of what their leaves hold.

    `feature`, `threshold`, `left`, `right` (absolute), `value` over the nodes of all trees;
    `roots` where each tree begins; `depth` the steps of the deepest. A row goes left where its
    feature (as float32, as in scikit-learn) is at most the threshold.
    """

    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Any
    roots: Ints
    depth: int

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray[Any, Any]], prefix: str = "") -> Forest:
        """What `arrays` made; raises ValueError where nodes point outside or backwards."""
        parts = {name: arrays[f"{prefix}{name}"] for name in _PARTS}
        size = len(parts["feature"])
        nodes = np.arange(size)
        left, right, roots = parts["left"], parts["right"], parts["roots"]
        forward = (left > nodes) & (right > nodes) | (left == nodes) & (right == nodes)
        if not (
            {len(parts[name]) for name in _PARTS[:5]} == {size}
            and forward.all()
            and max(left.max(initial=0), right.max(initial=0), roots.max(initial=0)) < size
            and parts["feature"].min(initial=0) >= 0
            and roots.min(initial=0) >= 0
        ):
            raise ValueError("the nodes of a forest do not fit together")
        return cls(**parts, depth=int(arrays[f"{prefix}depth"][0]))

    def arrays(self, prefix: str = "") -> dict[str, np.ndarray[Any, Any]]:
        """The forest as it goes into a model file."""
        parts = {
            f"{prefix}{name}": getattr(self, name).astype(_STORED.get(name, np.int32))
            for name in _PARTS
        }
        return {**parts, f"{prefix}depth": np.array([self.depth], np.int32)}

    def sums(self, rows: Floats) -> Doubles:
        """For each row the sum of its leaves' values; `rows` is (rows, features), finite."""
        table = np.ascontiguousarray(rows, np.float32)
        if len(table) < _MANY:
            return np.array([self._one(row) for row in table], np.float64)
        total = np.empty(len(table))
        for first in range(0, len(table), _BLOCK):
            block = table[first : first + _BLOCK]
            total[first : first + _BLOCK] = self._block(block)
        return total

    def _one(self, row: Floats) -> float:
        """All trees at once: one step is a handful of numpy calls over the trees."""
        feature, cut, children, value = self._packed
        at = self._roots
        for _ in range(self.depth):
            over = row.take(feature.take(at)) > cut.take(at)
            at = children.take(at + at + over)
        return float(value.take(at).sum(dtype=np.float64))

    def _block(self, block: Floats) -> Doubles:
        """One tree after the other, all rows a level at a time."""
        flat = block.ravel()
        start = np.arange(len(block), dtype=np.intp) * block.shape[1]
        total = np.zeros(len(block))
        feature, cut, children, value = self._packed
        for root, steps in zip(self.roots.tolist(), self._steps, strict=True):
            at = np.full(len(block), root, np.intp)
            for _ in range(steps):
                over = flat.take(start + feature.take(at)) > cut.take(at)
                at = children.take(at + at + over)
            total += value.take(at)
        return total

    @cached_property
    def _packed(self) -> tuple[Any, Floats, Any, Doubles]:
        children = np.empty(2 * len(self.feature), np.intp)
        children[0::2], children[1::2] = self.left, self.right
        return self.feature.astype(np.intp), self.threshold, children, self.value

    @cached_property
    def _roots(self) -> Any:
        return self.roots.astype(np.intp)

    @cached_property
    def _steps(self) -> list[int]:
        """Steps that each tree needs."""
        ends = [*self.roots.tolist()[1:], len(self.feature)]
        return [self._deepest(int(r), int(e)) for r, e in zip(self.roots, ends, strict=True)]

    def _deepest(self, root: int, end: int) -> int:
        depth = np.zeros(end - root, np.int64)
        for node in range(root, end):  # a child comes after its parent
            if self.left[node] != node:
                depth[[self.left[node] - root, self.right[node] - root]] = depth[node - root] + 1
        return int(depth.max())


#: Types in a file, where they are not those of indices.
_STORED: dict[str, type[np.generic]] = {
    "feature": np.int16,
    "threshold": np.float32,
    "value": np.float32,
}
_PARTS = ("feature", "threshold", "left", "right", "value", "roots")


def of_trees(
    trees: Sequence[Any], values: Sequence[Doubles], features: Sequence[Any] | None = None
) -> Forest:
    """A forest of scikit-learn's `tree_` objects, with the value that each node adds.

    `features` per tree maps its columns to those of a row, where trees see only some.
    """
    parts: dict[str, list[Any]] = {name: [] for name in _PARTS}
    start = depth = 0
    for number, (tree, value) in enumerate(zip(trees, values, strict=True)):
        nodes = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        column = np.where(leaf, 0, tree.feature)
        if features is not None:
            column = np.asarray(features[number])[column]
        parts["feature"].append(column)
        parts["threshold"].append(_floor(np.where(leaf, 0.0, tree.threshold)))
        parts["left"].append(np.where(leaf, nodes, tree.children_left) + start)
        parts["right"].append(np.where(leaf, nodes, tree.children_right) + start)
        parts["value"].append(value)
        parts["roots"].append([start])
        start += tree.node_count
        depth = max(depth, int(tree.max_depth))
    kinds = {"threshold": np.float32, "value": np.float64}
    joined: dict[str, Any] = {
        n: np.concatenate(p).astype(kinds.get(n, np.int32)) for n, p in parts.items()
    }
    return Forest(**joined, depth=depth)


def of_isolation_forest(fitted: Any) -> tuple[Forest, float]:
    """The forest of a fitted IsolationForest, and what its sum is divided by.

    `-2 ** (-sums / divisor)` is scikit-learn's `score_samples` (Liu, Ting, Zhou 2008: a leaf adds
    its depth and the mean depth of a tree of as many samples as ended there).
    """
    trees = [estimator.tree_ for estimator in fitted.estimators_]
    values = [_depths(tree) + mean_depth(tree.n_node_samples) - 1.0 for tree in trees]
    mean = mean_depth(np.array([fitted._max_samples]))[0]
    return of_trees(trees, values, fitted.estimators_features_), float(len(trees) * mean)


def of_random_forest(fitted: Any) -> Forest:
    """A fitted RandomForestClassifier of two classes: the sum is the probability of the second."""
    trees = [estimator.tree_ for estimator in fitted.estimators_]
    shares = (tree.value[:, 0, :] for tree in trees)
    return of_trees(trees, [s[:, 1] / s.sum(axis=1) / len(trees) for s in shares])


def mean_depth(samples: Any) -> Doubles:
    """Mean depth of an unsuccessful search in a binary tree of that many samples."""
    n = np.asarray(samples, np.float64)
    many = np.maximum(n, 3.0)
    long = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(n <= 1, 0.0, np.where(n <= 2, 1.0, long))


def _floor(thresholds: Doubles) -> Floats:
    """The largest float32 not above each: a float32 is over one exactly if over the other."""
    cut = thresholds.astype(np.float32)
    return np.where(cut > thresholds, np.nextafter(cut, np.float32(-np.inf)), cut)


def _depths(tree: Any) -> Doubles:
    """Depth of each node, the root's being one, as scikit-learn counts."""
    depth = np.ones(tree.node_count)
    for node in range(tree.node_count):
        if tree.children_left[node] >= 0:
            depth[[tree.children_left[node], tree.children_right[node]]] = depth[node] + 1
    return depth
