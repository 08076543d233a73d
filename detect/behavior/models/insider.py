"""Users' days unlike other days, and what analysts said of such days.

A forest (scikit-learn's IsolationForest, scored as flat arrays) over the detectors' scores and what
was done, with the distance above usual amounts, learns from the earlier days and is calibrated on
the later ones, which it did not know. From fifty verdicts on (`tocsin alerts verdict`), of both
kinds, a logistic regression of the same features says whether a day is like those that were
incidents or like those that were not; it is used if it ranked the later verdicts no worse than the
forest alone, and can move a score by OPINION digits at most.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from math import log
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from detect.behavior.models.calibration import Calibration
from detect.behavior.models.days import FEATURES
from detect.behavior.models.drift import reference
from detect.behavior.models.forest import Forest, of_isolation_forest
from detect.behavior.models.metrics import auc, ranking
from tocsin.errors import ConfigError
from tocsin.ids import content_hash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Doubles = np.ndarray[Any, np.dtype[np.float64]]

KIND = "insider"
#: Share of the days, and of the verdicts, that is learned from; the rest is later and measures.
EARLIER = 0.7
#: Fewest days; fewest verdicts, and of each kind, that are listened to.
MIN_DAYS, MIN_VERDICTS, MIN_OF_KIND = 100, 50, 5
#: Most that verdicts move a score, decimal digits.
OPINION = 1.5
_TREES, _INVERSE_PENALTY = 100, 0.1
#: Most rows and longest line of a file.
MAX_ROWS, _LONGEST = 1_000_000, 4_096
SCHEMA = content_hash({"kind": KIND, "features": FEATURES, "opinion": OPINION})


class Rows(NamedTuple):
    """Days in the order of time: (days, FEATURES), their numbers, and what was said of them.

    `said` is 1 for an incident, 0 for none, -1 where nobody said anything.
    """

    table: Doubles
    days: list[int]
    said: np.ndarray[Any, np.dtype[np.int8]]

    @property
    def verdicts(self) -> int:
        """How many days have a verdict."""
        return int((self.said >= 0).sum())


class Opinion(NamedTuple):
    """What is unusual about a day, and what verdicts make of it.

    `odd` are the features farthest above usual ones, each with its amount and the usual one;
    `digits` what `verdicts` verdicts add to the score, and `features` what speaks most for that.
    """

    odd: tuple[tuple[str, float, float], ...]
    digits: float
    features: tuple[str, ...]
    verdicts: int


@dataclass(frozen=True)
class InsiderModel:
    """A trained model; `weights` are of FEATURES, standardised, and are zero without verdicts."""

    forest: Forest
    divisor: float
    calibration: Calibration
    centre: Doubles
    spread: Doubles
    weights: Doubles
    bias: float
    verdicts: int
    version: str = ""

    def score(self, rows: Any) -> Doubles:
        """Decimal digits: the surprise of each day, and what verdicts add to it."""
        table = np.asarray(getattr(rows, "table", rows), np.float64).reshape(-1, len(FEATURES))
        return self.surprise(table) + self.digits(table)

    def surprise(self, rows: Any) -> Doubles:
        """-log10 of the share of later days that are as odd; verdicts do not count here."""
        return self.calibration.surprise(self.odd(np.asarray(rows, np.float64)))

    def opinion(self, row: Sequence[float]) -> Opinion:
        """What is unusual about one day, and what analysts' verdicts make of it."""
        table = np.asarray([row], np.float64)
        digits = float(self.digits(table)[0])
        parts = ((table[0] - self.centre) / self.spread * self.weights) * np.sign(digits)
        order = [int(at) for at in np.argsort(-parts, kind="stable") if parts[at] > 0]
        above = (table[0] - self.centre) / self.spread
        most = [int(at) for at in np.argsort(-above, kind="stable")[:2] if above[at] > 1]
        odd = tuple((FEATURES[at], float(table[0][at]), float(self.centre[at])) for at in most)
        said = tuple(FEATURES[at] for at in order[:3])
        return Opinion(odd, round(digits, 3), said, self.verdicts)

    def odd(self, table: Doubles) -> Doubles:
        """How unlike the earlier days each is: the forest, and how far it is above usual amounts.

        A forest cannot tell how far beyond all it knows a day lies; the distance can.
        """
        forest = 2.0 ** (-self.forest.sums(table.astype(np.float32)) / self.divisor)
        above = np.maximum(0.0, (table - self.centre) / self.spread)
        odd: Doubles = 10 * forest + np.log1p(np.sqrt((above**2).sum(axis=1)))
        return odd

    def digits(self, table: Doubles) -> Doubles:
        """What verdicts add to the score of each day, decimal digits, within OPINION."""
        logits = (table - self.centre) / self.spread @ self.weights + self.bias
        digits: Doubles = np.clip(logits / log(10), -OPINION, OPINION)
        return digits


def read(path: Path) -> Rows:
    """Lines of JSON, gzip or not: {"day": number, "row": [FEATURES], "said": true|false|null}."""
    found = []
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        for count, line in enumerate(file, 1):
            if count > MAX_ROWS:
                raise ConfigError(f"{path}: more than {MAX_ROWS:,} days")
            try:
                told = orjson.loads(line[:_LONGEST])
                row = [float(each) for each in told["row"]]
                found.append((int(told["day"]), row, told.get("said")))
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                raise ConfigError(f"{path}:{count}: no day: {error}") from None
            if len(row) != len(FEATURES):
                raise ConfigError(f"{path}:{count}: a day has {len(FEATURES)} numbers")
    return rows_of(found)


def rows_of(found: Sequence[tuple[int, Sequence[float], bool | None]]) -> Rows:
    """Days (number, row, what was said) in the order of time; the order given does not show."""
    ranked = sorted(found, key=lambda day: (day[0], list(day[1]), str(day[2])))
    table = np.array([row for _, row, _ in ranked], np.float64).reshape(-1, len(FEATURES))
    if not np.isfinite(table).all():
        raise ConfigError("a day with a value that is no number")
    said = [-1 if each is None else int(each) for _, _, each in ranked]
    return Rows(table, [day for day, _, _ in ranked], np.array(said, np.int8))


def split(rows: Rows) -> int:
    """The first row of the later part; days are not cut. Raises ConfigError for a single day."""
    if not rows.days or rows.days[0] == rows.days[-1]:
        raise ConfigError("users' days of several days are needed")
    day = rows.days[int(len(rows.days) * EARLIER)]
    at = rows.days.index(day)
    return at or rows.days.index(next(d for d in rows.days if d > day))


def train(rows: Rows, hold_back: Sequence[str] = (), seed: int = 0) -> tuple[Any, dict[str, Any]]:
    """Arrays of a model, and what its manifest says of how it was measured on the later days.

    What is measured is a model of the earlier days alone; the one that is made knows them all.
    """
    if hold_back:
        raise ConfigError("insider learns from days: there is nothing to hold back")
    if len(rows.days) < MIN_DAYS:
        raise ConfigError(f"at least {MIN_DAYS} users' days are needed, there are {len(rows.days)}")
    cut = split(rows)
    before, _ = _learned(Rows(rows.table[:cut], rows.days[:cut], rows.said[:cut]), seed)
    fitted, heard = _learned(rows, seed)
    usual = rows.table[cut:][rows.said[cut:] != 1]
    columns = {"surprise": fitted.surprise(usual).tolist(), **measures(usual)}
    about = {
        "reference": {name: reference(values) for name, values in columns.items()},
        "metrics": figures(before, rows, cut),
        "held_out": f"days from {rows.days[cut]}, {content_hash(rows.table[cut:].tolist())[:16]}",
        "trained": {"days": len(rows.days), "first": rows.days[0], "last": rows.days[-1]},
        "verdicts": heard,
        "seed": seed,
    }
    return _arrays(fitted), about


def opened(arrays: Any, version: str) -> InsiderModel:
    """The model of verified arrays; raises ValueError where they are of another shape."""
    size = (len(FEATURES),)
    if any(arrays[name].shape != size for name in ("centre", "spread", "verdicts.weights")):
        raise ValueError("the weights are of other features")
    if not (arrays["spread"] > 0).all():
        raise ValueError("a spread that is not above zero")
    return InsiderModel(
        Forest.of_arrays(arrays, "forest."),
        float(arrays["divisor"][0]),
        Calibration.of_arrays(arrays),
        arrays["centre"],
        arrays["spread"],
        arrays["verdicts.weights"],
        float(arrays["verdicts.bias"][0]),
        int(arrays["verdicts.bias"][1]),
        version,
    )


def evaluate(model: InsiderModel, rows: Rows, seed: int = 0) -> dict[str, Any]:
    """Figures over days; those that were called incidents are to be found."""
    return figures(model, rows, 0)


def figures(model: InsiderModel, rows: Rows, cut: int) -> dict[str, Any]:
    """How the days from `cut` on look: the share of usual ones that is told, incidents found."""
    table, said = rows.table[cut:], rows.said[cut:]
    told = model.surprise(table[said != 1]) >= 2.0
    found: dict[str, Any] = {
        "days": len(table),
        "told_at_0.01": round(float(told.mean()), 4) if len(told) else 0.0,
    }
    if (said == 1).any() and (said != 1).any():
        found |= ranking(model.score(table), said == 1)
    return found


def measures(rows: Any) -> dict[str, list[float]]:
    """What is watched of days beside their scores: every feature."""
    table = np.asarray(getattr(rows, "table", rows), np.float64)
    return {name: table[:, at].tolist() for at, name in enumerate(FEATURES)}


def _learned(rows: Rows, seed: int) -> tuple[InsiderModel, dict[str, Any]]:
    """A forest of the earlier days, calibrated on the later ones, and what verdicts made of it."""
    cut = split(rows)
    earlier, later = (table[said != 1] for table, said in _halves(rows, cut))
    if not len(earlier) or not len(later):
        raise ConfigError("there are no days without incident to learn from")
    forest, divisor = _fitted(earlier, seed)
    plain = _model(forest, divisor, later, earlier)
    (weights, bias), heard = _heard(rows, plain)
    return replace(plain, weights=weights, bias=bias, verdicts=rows.verdicts), heard


def _halves(rows: Rows, cut: int) -> tuple[tuple[Doubles, Any], tuple[Doubles, Any]]:
    return (rows.table[:cut], rows.said[:cut]), (rows.table[cut:], rows.said[cut:])


def _fitted(table: Doubles, seed: int) -> tuple[Forest, float]:
    from sklearn.ensemble import IsolationForest

    fitted = IsolationForest(n_estimators=_TREES, random_state=seed)
    return of_isolation_forest(fitted.fit(table.astype(np.float32)))


def _model(forest: Forest, divisor: float, later: Doubles, earlier: Doubles) -> InsiderModel:
    """A model that no verdict has moved, calibrated on the later days."""
    centre, spread = np.median(earlier, axis=0), earlier.std(axis=0)
    spread = np.where(spread > 0.05, spread, 1.0)
    none = np.zeros(len(FEATURES))
    flat = Calibration.of_scores(np.zeros(1))
    plain = InsiderModel(forest, divisor, flat, centre, spread, none, 0.0, 0)
    return replace(plain, calibration=Calibration.of_scores(plain.odd(later)))


def _heard(rows: Rows, plain: InsiderModel) -> tuple[tuple[Doubles, float], dict[str, Any]]:
    """Weights of verdicts, and what is to be told of them; none where they are not listened to."""
    none = (np.zeros(len(FEATURES)), 0.0)
    judged = np.flatnonzero(rows.said >= 0)
    table, said = rows.table[judged], rows.said[judged] == 1
    told: dict[str, Any] = {"count": len(judged), "incidents": int(said.sum()), "used": False}
    if len(judged) < MIN_VERDICTS:
        return none, {**told, "why": f"{MIN_VERDICTS} are needed"}
    if min(int(said.sum()), int((~said).sum())) < MIN_OF_KIND:
        return none, {**told, "why": f"{MIN_OF_KIND} of each kind are needed"}
    cut = int(len(judged) * EARLIER)
    later = said[cut:]
    if later.all() or not later.any() or said[:cut].all() or not said[:cut].any():
        return none, {**told, "why": "the later ones are all of one kind"}
    weights, bias = _logistic(plain, table[:cut], said[:cut])
    odd = plain.surprise(table[cut:])
    moved = replace(plain, weights=weights, bias=bias).digits(table[cut:])
    before, after = auc(odd, later), auc(odd + moved, later)
    told |= {"auc_without": round(before, 4), "auc_with": round(after, 4)}
    if after < before:
        return none, {**told, "why": "they ranked the later ones worse"}
    return _logistic(plain, table, said), {**told, "used": True}


def _logistic(plain: InsiderModel, table: Doubles, said: Any) -> tuple[Doubles, float]:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=_INVERSE_PENALTY, class_weight="balanced", max_iter=500)
    fitted.fit((table - plain.centre) / plain.spread, said)
    weights: Doubles = fitted.coef_[0].astype(np.float64)
    return weights, float(fitted.intercept_[0])


def _arrays(model: InsiderModel) -> dict[str, Any]:
    return {
        **model.forest.arrays("forest."),
        "divisor": np.array([model.divisor]),
        **model.calibration.arrays(),
        "centre": model.centre,
        "spread": model.spread,
        "verdicts.weights": model.weights,
        "verdicts.bias": np.array([model.bias, float(model.verdicts)]),
    }
