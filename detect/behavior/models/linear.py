"""A logistic model over hashed n-grams of several views of a text, and a few measured features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detect.behavior.models.ngrams import grams, unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Doubles = np.ndarray[Any, np.dtype[np.float64]]

#: Texts whose n-grams are in memory at a time.
_CHUNK = 20_000


class View(NamedTuple):
    """How a text is cut: n-grams of `lengths` bytes in 2**bits columns."""

    name: str
    lengths: tuple[int, ...]
    bits: int


class Inputs(NamedTuple):
    """Texts as the model sees them: one list for each view, and (texts, features) numbers."""

    texts: tuple[Sequence[bytes], ...]
    measured: Doubles


@dataclass(frozen=True)
class Linear:
    """Weights: `weights` of all views' columns one after the other, then of what is measured."""

    views: tuple[View, ...]
    weights: np.ndarray[Any, np.dtype[np.float32]]
    measured: Doubles
    bias: float

    @classmethod
    def of_arrays(cls, views: tuple[View, ...], features: int, arrays: Mapping[str, Any]) -> Linear:
        """What `arrays` made; raises ValueError for weights of other views."""
        if arrays["weights"].shape != (columns(views),) or arrays["measured"].shape != (features,):
            raise ValueError("the weights are of other features")
        return cls(views, arrays["weights"], arrays["measured"], float(arrays["bias"][0]))

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """The model as it goes into a file."""
        return {
            "weights": self.weights,
            "measured": self.measured,
            "bias": np.array([self.bias]),
        }

    def logits(self, inputs: Inputs) -> Doubles:
        """The log odds of each text."""
        size = len(inputs.measured)
        total = inputs.measured @ self.measured + self.bias
        start = 0
        for view, texts in zip(self.views, inputs.texts, strict=True):
            for first in range(0, size, _CHUNK):
                chunk = texts[first : first + _CHUNK]
                found = unit(grams(chunk, view.lengths, view.bits), len(chunk))
                part = self.weights[start + found.columns] * found.counts
                total[first : first + len(chunk)] += np.bincount(
                    found.rows, part, minlength=len(chunk)
                )
            start += 1 << view.bits
        return total


def columns(views: tuple[View, ...]) -> int:
    """Columns of all views together."""
    return sum(1 << view.bits for view in views)


def matrix(views: tuple[View, ...], inputs: Inputs) -> Any:
    """The inputs as a sparse matrix (scipy) for training."""
    from scipy.sparse import csr_matrix, hstack

    size = len(inputs.measured)
    parts = []
    for view, texts in zip(views, inputs.texts, strict=True):
        found = unit(grams(texts, view.lengths, view.bits), size)
        parts.append(
            csr_matrix((found.counts, (found.rows, found.columns)), shape=(size, 1 << view.bits))
        )
    return hstack([*parts, csr_matrix(inputs.measured.astype(np.float32))], format="csr")


def fit(views: tuple[View, ...], table: Any, attack: Any, inverse_penalty: float) -> Linear:
    """Logistic regression (scikit-learn, L2, both classes of the same weight)."""
    from sklearn.linear_model import LogisticRegression

    split = columns(views)
    # Most columns of a small set are empty: an optimiser over them all takes many times as long.
    used = np.flatnonzero(table.getnnz(axis=0))
    fitted = LogisticRegression(C=inverse_penalty, class_weight="balanced", max_iter=300)
    fitted.fit(table[:, used], attack)
    weights = np.zeros(table.shape[1])
    weights[used] = fitted.coef_[0]
    return Linear(
        views,
        weights[:split].astype(np.float32),
        weights[split:],
        float(fitted.intercept_[0]),
    )
