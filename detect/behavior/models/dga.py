"""Domain names that an algorithm made: character n-grams and a logistic model.

One name says little, ten names of one host much: `host_score` is the mean over a host's names.
Algorithms that put dictionary words together are missed; `evaluate` names the families.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detect.behavior.models.calibration import Calibration
from detect.behavior.models.drift import reference
from detect.behavior.models.linear import Inputs, Linear, View, fit, matrix
from detect.behavior.models.metrics import auc, folds, ranking, tpr_at
from tocsin.errors import ConfigError
from tocsin.ids import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    Doubles = np.ndarray[Any, np.dtype[np.float64]]

KIND = "dga"
VIEWS = (View("name", (1, 2, 3, 4), 18),)
SCHEMA = content_hash(
    {"kind": KIND, "views": [list(view) for view in VIEWS], "text": "lower, no final dot, 64 bytes"}
)

#: The family that is none.
BENIGN = "benign"
#: Names of one host that are scored together, and simulated hosts of `host_level`.
NAMES, HOSTS = 10, 2_000
#: A family whose simulated hosts are found less often than this at 1 % false alarms is missed.
MISSED = 0.5
_LONGEST = 64
#: Inverse strength of the penalty; parts that families are held back in.
_INVERSE_PENALTY, _FOLDS = 5.0, 5
#: Most rows and longest line of a file that are read.
MAX_ROWS = 5_000_000


class Rows(NamedTuple):
    """Names and their families, BENIGN among them."""

    names: list[str]
    families: list[str]


def read(path: Path) -> Rows:
    """A file of `name⇥family` lines (gzip or not); without a second column all are benign."""
    names, families = [], []
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        for line in file:
            name, _, family = line.rstrip("\r\n").partition("\t")
            if name:
                names.append(name)
                families.append(family.strip() or BENIGN)
            if len(names) > MAX_ROWS:
                raise ConfigError(f"{path}: more than {MAX_ROWS:,} names")
    return Rows(names, families)


def inputs(names: Iterable[str]) -> Inputs:
    """Names as the model sees them; the last 64 bytes of longer ones."""
    texts = [n.lower().rstrip(".").encode("utf-8", "replace")[-_LONGEST:] for n in names]
    return Inputs((texts,), np.zeros((len(texts), 0)))


def measures(names: Sequence[str]) -> dict[str, list[float]]:
    """What is watched of names beside their scores: lengths and shares of characters."""
    lower = [name.lower().rstrip(".") for name in names]
    sizes = [max(len(name), 1) for name in lower]
    return {
        "length": [float(size) for size in sizes],
        "labels": [float(name.count(".") + 1) for name in lower],
        "digits": [sum(map(str.isdecimal, n)) / s for n, s in zip(lower, sizes, strict=True)],
        "distinct": [len(set(n)) / s for n, s in zip(lower, sizes, strict=True)],
        "vowels": [sum(map(n.count, "aeiou")) / s for n, s in zip(lower, sizes, strict=True)],
    }


class DgaModel:
    """A trained model."""

    def __init__(self, linear: Linear, calibration: Calibration, version: str = "") -> None:
        self.linear = linear
        self.calibration = calibration
        self.version = version

    def score(self, names: Sequence[str]) -> Doubles:
        """Log odds of being generated, of each name."""
        return self.linear.logits(inputs(names))

    def surprise(self, names: Sequence[str]) -> Doubles:
        """-log10 of the share of popular names that score as high."""
        return self.calibration.surprise(self.score(names))

    def host_score(self, names: Sequence[str]) -> float:
        """The mean over a host's different names; higher is worse."""
        return float(self.score(names).mean())


def train(rows: Rows, hold_back: Sequence[str] = (), seed: int = 0) -> tuple[Any, dict[str, Any]]:
    """Arrays of a model, and what its manifest says of how it was measured.

    `hold_back` are families that nothing is learned from. The figures in the manifest come from
    models of their own, each without a fifth of the families and of the popular names.
    """
    if unknown := set(hold_back) - set(rows.families):
        raise ConfigError(f"there is no family {min(unknown)} in the data")
    kept = [i for i, family in enumerate(rows.families) if family not in hold_back]
    families = [rows.families[i] for i in kept]
    names = [rows.names[i] for i in kept]
    table = matrix(VIEWS, inputs(names))
    attack = np.array([family != BENIGN for family in families])
    if attack.all() or not attack.any():
        raise ConfigError(f"needs both {BENIGN} names and generated ones")
    unseen = _unseen(table, names, families, attack, seed)
    model = fit(VIEWS, table, attack, _INVERSE_PENALTY)
    calibration = Calibration.of_scores(unseen[~attack])
    benign = [name for name, wrong in zip(names, attack, strict=True) if not wrong]
    columns = {"surprise": calibration.surprise(unseen[~attack]).tolist(), **measures(benign)}
    about = {
        "reference": {name: reference(values) for name, values in columns.items()},
        "metrics": ranking(unseen, attack) | _host_figures(unseen, families, seed),
        "held_out": f"families by fifths, {content_hash(sorted(names))[:16]}",
        "trained": {"names": len(names), "families": sorted(set(families) - {BENIGN})},
        "seed": seed,
    }
    return {**model.arrays(), **calibration.arrays()}, about


def opened(arrays: Any, version: str) -> DgaModel:
    """The model of verified arrays; raises ValueError where they are of another shape."""
    linear = Linear.of_arrays(VIEWS, 0, arrays)
    return DgaModel(linear, Calibration.of_arrays(arrays), version)


def evaluate(model: DgaModel, rows: Rows, seed: int = 0) -> dict[str, Any]:
    """Figures over names, over simulated hosts, and by family; thresholds from training."""
    scores = model.score(rows.names)
    attack = np.array([family != BENIGN for family in rows.families])
    told: dict[str, Any] = ranking(scores, attack)
    told |= _host_figures(scores, rows.families, seed)
    threshold = model.calibration.threshold(0.01)
    told["at_trained_threshold"] = {
        "tpr": round(float((scores[attack] > threshold).mean()), 4),
        "fpr": round(float((scores[~attack] > threshold).mean()), 4),
    }
    return told


def _unseen(
    table: Any, names: Sequence[str], families: Sequence[str], attack: Any, seed: int
) -> Doubles:
    """Scores of all rows by models that knew neither the row nor its family.

    With fewer families than parts, rows are held back, not families.
    """
    distinct = sorted(set(families) - {BENIGN})
    scores = np.zeros(len(names))
    if len(distinct) < _FOLDS:
        parts = [held for _, held in folds(len(names), _FOLDS, seed)]
    else:
        order = np.random.default_rng(seed).permutation(len(distinct))
        part = {distinct[place]: number % _FOLDS for number, place in enumerate(order.tolist())}
        own = np.random.default_rng(seed + 1).integers(0, _FOLDS, len(names))
        of = np.array([part.get(f, -1) for f in families])
        of = np.where(of < 0, own, of)
        parts = [np.flatnonzero(of == number) for number in range(_FOLDS)]
    for held in parts:
        rest = np.ones(len(names), bool)
        rest[held] = False
        model = fit(VIEWS, table[rest], attack[rest], _INVERSE_PENALTY)
        scores[held] = table[held][:, :] @ np.append(model.weights, model.measured) + model.bias
    return scores


def _host_figures(scores: Doubles, families: Sequence[str], seed: int) -> dict[str, Any]:
    """Hosts that ask for NAMES names of one family, against hosts with as many benign names."""
    draw = np.random.default_rng(seed)
    named = np.array(families)
    benign = scores[named == BENIGN]
    usual = _hosts(benign, draw, HOSTS * 5)
    found, hosts, single = {}, [], {}
    for family in sorted(set(families) - {BENIGN}):
        own = scores[named == family]
        simulated = _hosts(own, draw, HOSTS)
        both = np.append(usual, simulated)
        found[family] = round(tpr_at(both, np.arange(len(both)) >= len(usual), 0.01), 4)
        mixed = np.append(benign, own)
        single[family] = round(auc(mixed, np.arange(len(mixed)) >= len(benign)), 4)
        hosts.append(simulated)
    every = np.concatenate([usual, *hosts])
    return {
        "host_tpr_at_0.01": round(tpr_at(every, np.arange(len(every)) >= len(usual), 0.01), 4),
        "host_tpr_at_0.01_by_family": found,
        "auc_by_family": single,
        "missed_families": [family for family, share in found.items() if share < MISSED],
    }


def _hosts(scores: Doubles, draw: Any, count: int) -> Doubles:
    means: Doubles = scores[draw.integers(0, len(scores), (count, NAMES))].mean(axis=1)
    return means
