"""Models: how fast forests score (a batch, one row), names and payloads; how long loading takes.

All on rows made here; figures are per second of CPU time of one thread.
"""

from __future__ import annotations

import random
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from detect.behavior.models import dga, kinds, payload, payload_made
from detect.behavior.models.artifact import decode
from detect.behavior.models.forest import of_isolation_forest
from detect.behavior.models.series import SeriesDetector
from detect.behavior.models.signing import SigningKey, TrustedKeys

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
ROWS, FEATURES, SINGLE, TEXTS = 50_000, 40, 300, 5_000


def run() -> list[dict[str, Any]]:
    """A row for each figure."""
    return [*_forests(), *_texts(), _series()]


def _forests() -> list[dict[str, Any]]:
    from sklearn.ensemble import IsolationForest

    table = np.random.default_rng(1).normal(size=(ROWS, FEATURES)).astype(np.float32)
    fitted = IsolationForest(n_estimators=100, random_state=0).fit(table[:10_000])
    forest, divisor = of_isolation_forest(fitted)
    ours = -(2.0 ** (-forest.sums(table) / divisor))
    apart = float(np.abs(ours - fitted.score_samples(table)).max())
    single = [table[n : n + 1] for n in range(SINGLE)]
    batch = _seconds(lambda: forest.sums(table))
    theirs = _seconds(lambda: fitted.score_samples(table))
    one = _seconds(lambda: [forest.sums(row) for row in single])
    return [
        {
            "bench": "models: isolation forest of 100 trees, 40 features, a batch",
            "rows_per_second": round(ROWS / batch),
            "scikit_learn_rows_per_second": round(ROWS / theirs),
            "farthest_from_scikit_learn": apart,
        },
        {
            "bench": "models: the same forest, one row at a time",
            "milliseconds": round(one / SINGLE * 1e3, 4),
        },
    ]


def _texts() -> list[dict[str, Any]]:
    draw = random.Random(1)  # noqa: S311
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [
        "".join(draw.choices(letters, k=draw.randrange(5, 20))) + ".example" for _ in range(TEXTS)
    ]
    families = [("benign", "made")[number % 2] for number in range(TEXTS)]
    texts = [*payload_made.normal(TEXTS // 2, 1), *payload_made.attacks(TEXTS // 2, 2)]
    types = ["norm"] * (TEXTS // 2) + ["made"] * (TEXTS // 2)
    key = SigningKey.made()
    rows: tuple[tuple[str, Any, list[str]], ...] = (
        ("dga", dga.Rows(names[:400], families[:400]), names),
        ("payload", payload.Rows(texts[::20], types[::20]), texts),
    )
    return [_kind(name, known, asked, key) for name, known, asked in rows]


def _kind(name: str, known: Any, asked: list[str], key: SigningKey) -> dict[str, Any]:
    data = kinds.trained(kinds.KINDS[name], known, key)
    trusted = TrustedKeys([key.public])
    model = kinds.opened(decode(data, trusted, kinds.SCHEMAS))
    loading = _seconds(lambda: kinds.opened(decode(data, trusted, kinds.SCHEMAS)))
    return {
        "bench": f"models: {name}",
        "texts_per_second": round(len(asked) / _seconds(lambda: model.score(asked))),
        "load_milliseconds": round(loading * 1e3, 2),
        "bytes": len(data),
    }


def _series() -> dict[str, Any]:
    values = np.random.default_rng(2).normal(size=2_000).tolist()

    def once() -> None:
        detector = SeriesDetector(750)
        for value in values:
            detector.update(value)

    return {"bench": "models: series", "values_per_second": round(len(values) / _seconds(once))}


def _seconds(work: Callable[[], object]) -> float:
    """The median of ROUNDS, CPU seconds."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return statistics.median(taken)
