"""Web parameters that carry an attack: n-grams of the decoded text and of its skeleton."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detect.behavior.models import payload_made
from detect.behavior.models.calibration import Calibration
from detect.behavior.models.drift import reference
from detect.behavior.models.linear import Inputs, Linear, View, fit, matrix
from detect.behavior.models.metrics import at_threshold, by_group, folds, ranking
from detect.behavior.models.payload_text import FEATURES, WORDS, parts, seen
from tocsin.errors import ConfigError
from tocsin.ids import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    Doubles = np.ndarray[Any, np.dtype[np.float64]]

KIND = "payload"
VIEWS = (View("plain", (1, 2, 3, 4), 17), View("skeleton", (1, 2, 3, 4, 5), 17))
SCHEMA = content_hash(
    {"kind": KIND, "views": [list(v) for v in VIEWS], "words": WORDS, "measured": FEATURES}
)

NORMAL = "norm"
#: Labels of public collections that mean "no attack".
_NORMAL_LABELS = frozenset({"norm", "normal", "benign", "valid", "legitimate", "0", "good"})
_TEXTS = ("payload", "sentence", "query", "text", "pattern", "url", "value", "request")
_LABELS = ("attack_type", "type", "label", "class")
#: Longest field and most rows of a file.
_MAX_FIELD, MAX_ROWS = 1_000_000, 2_000_000
#: Parameters of our own making for training, of each kind; inverse strength of the penalty.
_MADE, _INVERSE_PENALTY, _FOLDS = 6_000, 10.0, 5


class Rows(NamedTuple):
    """Texts and the type of attack in them, NORMAL for none."""

    texts: list[str]
    types: list[str]


def read(path: Path) -> Rows:
    """A CSV with a header: a column of texts (`payload` …), one of labels (`attack_type` …).

    Or lines `text⇥label` in a file named .tsv. gzip or not. Raises ConfigError.
    """
    csv.field_size_limit(_MAX_FIELD)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", errors="replace", newline="") as file:
        if path.name.removesuffix(".gz").endswith(".tsv"):
            pairs = (line.rstrip("\r\n").rpartition("\t")[::2] for line in file)
            return _rows(path, pairs)
        table = csv.DictReader(file)
        columns = {name.strip().lower(): name for name in table.fieldnames or ()}
        text = next((columns[name] for name in _TEXTS if name in columns), None)
        label = next((columns[name] for name in _LABELS if name in columns), None)
        if text is None:
            raise ConfigError(f"{path}: none of the columns {', '.join(_TEXTS)}")
        return _rows(path, ((row[text], row[label] if label else NORMAL) for row in table))


def _rows(path: Path, pairs: Iterable[tuple[str | Any, str | Any]]) -> Rows:
    texts, types = [], []
    for text, label in pairs:
        texts.append(text or "")
        name = (label or "").strip()
        types.append(NORMAL if name.lower() in _NORMAL_LABELS else name or NORMAL)
        if len(texts) > MAX_ROWS:
            raise ConfigError(f"{path}: more than {MAX_ROWS:,} rows")
    return Rows(texts, types)


def inputs(texts: Iterable[str]) -> Inputs:
    """Texts as the model sees them."""
    looked = [seen(text) for text in texts]
    measured = np.array([one.measured for one in looked], np.float64).reshape(-1, len(FEATURES))
    return Inputs(([one.plain for one in looked], [one.skeleton for one in looked]), measured)


def measures(texts: Sequence[str]) -> dict[str, list[float]]:
    """What is watched of parameters beside their scores: FEATURES of each."""
    rows = [seen(text).measured for text in texts]
    return {name: [row[at] for row in rows] for at, name in enumerate(FEATURES)}


class PayloadModel:
    """A trained model."""

    def __init__(self, linear: Linear, calibration: Calibration, version: str = "") -> None:
        self.linear = linear
        self.calibration = calibration
        self.version = version

    def score(self, texts: Sequence[str]) -> Doubles:
        """Log odds of an attack: of the text, or if higher, of a value in its query string."""
        cut = [parts(text) for text in texts]
        every = self.linear.logits(inputs(part for one in cut for part in one))
        starts = np.cumsum([0, *(len(one) for one in cut)])[:-1]
        return np.maximum.reduceat(every, starts) if len(texts) else every

    def surprise(self, texts: Sequence[str]) -> Doubles:
        """-log10 of the share of normal parameters that score as high."""
        return self.calibration.surprise(self.score(texts))


def train(rows: Rows, hold_back: Sequence[str] = (), seed: int = 0) -> tuple[Any, dict[str, Any]]:
    """Arrays of a model, and what its manifest says of how it was measured.

    `hold_back` are types of attack that nothing is learned from. The figures are cross-validated:
    each row is scored by a model that did not know it.
    """
    kept = [i for i, name in enumerate(rows.types) if name not in hold_back]
    texts, types = [rows.texts[i] for i in kept], [rows.types[i] for i in kept]
    attack = np.array([name != NORMAL for name in types])
    if attack.all() or not attack.any():
        raise ConfigError("needs both normal parameters and attacks")
    ours = [*payload_made.normal(_MADE, seed), *payload_made.attacks(_MADE, seed + 1)]
    ours = payload_made.placed(ours, seed + 2)
    table = matrix(VIEWS, inputs([*texts, *ours, *payload_made.placed(texts, seed + 3)]))
    label = np.concatenate([attack, np.arange(2 * _MADE) >= _MADE, attack])
    known, total = len(texts), len(label)
    scores = np.zeros(known)
    for rest, held in folds(known, _FOLDS, seed):
        learned = np.concatenate(
            [rest, np.arange(known, known + 2 * _MADE), rest + known + 2 * _MADE]
        )
        model = fit(VIEWS, table[learned], label[learned], _INVERSE_PENALTY)
        weights = np.append(model.weights, model.measured)
        scores[held] = table[held] @ weights + model.bias
    model = fit(VIEWS, table, label, _INVERSE_PENALTY)
    made = payload_made.placed(payload_made.normal(_MADE, seed + 4), seed + 5)
    fresh = PayloadModel(model, Calibration.of_scores(scores)).score(made)
    usual = np.append(scores[~attack], fresh)
    calibration = Calibration.of_scores(usual)
    normal = [text for text, wrong in zip(texts, attack, strict=True) if not wrong]
    columns = {"surprise": calibration.surprise(usual).tolist(), **measures([*normal, *made])}
    about = {
        "reference": {name: reference(values) for name, values in columns.items()},
        "metrics": _figures(scores, types, calibration),
        "held_out": f"fifths, {content_hash(sorted(texts))[:16]}",
        "trained": {"rows": known, "made": total - 2 * known, "types": dict(Counter(types))},
        "seed": seed,
    }
    return {**model.arrays(), **calibration.arrays()}, about


def opened(arrays: Any, version: str) -> PayloadModel:
    """The model of verified arrays; raises ValueError where they are of another shape."""
    linear = Linear.of_arrays(VIEWS, len(FEATURES), arrays)
    return PayloadModel(linear, Calibration.of_arrays(arrays), version)


def evaluate(model: PayloadModel, rows: Rows, seed: int = 0) -> dict[str, Any]:
    """Figures over the rows; the threshold is the trained one for one false alarm in a thousand."""
    return _figures(model.score(rows.texts), rows.types, model.calibration)


def _figures(scores: Doubles, types: Sequence[str], calibration: Calibration) -> dict[str, Any]:
    attack = np.array([name != NORMAL for name in types])
    threshold = calibration.threshold(0.001)
    return {
        **ranking(scores, attack),
        "at_trained_threshold": at_threshold(scores, attack, threshold),
        "told_by_type": by_group(scores, [*types], threshold),
    }
