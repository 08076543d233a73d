"""The Numenta Anomaly Benchmark's scoring, written from its published rules.

Lavin and Ahmad (2015): a detection in a window around an anomaly earns up to one, the more the
earlier; a detection elsewhere costs, the less the nearer behind a window; a missed window costs
one. One threshold for all files is chosen so that the sum is greatest, and the sum is told as a
percentage between a detector that is silent and one that is perfect. The first part of a file
(15 %, at most 750 rows) is a probation in which nothing counts.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import datetime
from math import exp, inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detect.behavior.models.series import LEAST, SeriesDetector
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    Doubles = np.ndarray[Any, np.dtype[np.float64]]

#: Share of a file that is probation, and the rows of the longest file that it is a share of.
_PROBATION, _LONGEST = 0.15, 5_000
#: Beyond this many widths behind a window a false alarm costs all.
_FAR = 3.0
#: Most rows of a file, and files of a directory.
MAX_ROWS, MAX_FILES = 1_000_000, 1_000


@dataclass(frozen=True, slots=True)
class Costs:
    """A profile's weights of hits, false alarms and misses."""

    hit: float = 1.0
    false: float = 0.11
    miss: float = 1.0


@dataclass(frozen=True, slots=True)
class Series:
    """A file: values in order, and the first and last row of each labelled window."""

    name: str
    values: Doubles
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """Rows in which nothing counts."""
        return int(min(_PROBATION * len(self.values), _PROBATION * _LONGEST))


@dataclass(frozen=True, slots=True)
class Result:
    """`score` in percent, the raw sum, the threshold, and what is at or above it."""

    score: float
    raw: float
    threshold: float
    found: int
    windows: int
    false: int


def read(directory: Path) -> list[Series]:
    """All files named in labels/combined_windows.json; raises ConfigError and OSError."""
    path = directory / "labels" / "combined_windows.json"
    with path.open(encoding="utf-8") as file:
        labels = json.load(file)
    if not isinstance(labels, dict) or len(labels) > MAX_FILES:
        raise ConfigError(f"{path}: an object of at most {MAX_FILES} files is expected")
    found = []
    for name in sorted(labels):
        if ".." in name or name.startswith("/"):
            raise ConfigError(f"{path}: {name!r} is outside of the directory")
        found.append(_series(directory / "data" / name, name, labels[name]))
    return found


def costs(directory: Path, profile: str) -> Costs:
    """The weights of a profile in config/profiles.json."""
    path = directory / "config" / "profiles.json"
    with path.open(encoding="utf-8") as file:
        profiles = json.load(file)
    if profile not in profiles:
        raise ConfigError(f"{path}: no profile {profile!r}; there are {', '.join(profiles)}")
    weights = profiles[profile]["CostMatrix"]
    return Costs(weights["tpWeight"], weights["fpWeight"], weights["fnWeight"])


def detected(series: Series) -> Doubles:
    """What our detector tells of each row, 0 for nothing; each value is seen once, in order."""
    detector = SeriesDetector(max(series.probation, LEAST))
    return np.array([detector.update(value).told for value in series.values.tolist()])


def evaluate(directory: Path, profile: str = "standard") -> dict[str, Any]:
    """Our detector's figures: by NAB's rule, and told as it comes, without choosing a threshold."""
    found, weights = read(directory), costs(directory, profile)
    scores = [detected(series) for series in found]
    best = swept(found, scores, weights)
    plain = at(found, scores, weights, np.nextafter(0.0, 1.0))
    return {
        "profile": profile,
        "score": round(best.score, 2),
        "raw": round(best.raw, 4),
        "threshold": best.threshold,
        "windows": best.windows,
        "windows_found": best.found,
        "false_alarms": best.false,
        "without_choosing_a_threshold": round(plain.score, 2),
        "files": len(found),
        "rows": sum(len(series.values) for series in found),
    }


def swept(found: Sequence[Series], scores: Sequence[Doubles], weights: Costs) -> Result:
    """The result at the threshold that is best for all files together."""
    return max(_falling(_joined(found, scores, weights), weights), key=lambda result: result.raw)


def at(
    found: Sequence[Series], scores: Sequence[Doubles], weights: Costs, threshold: float
) -> Result:
    """The result at a threshold: rows that score as much are detections."""
    joined = _joined(found, scores, weights)
    kept = joined.scores >= threshold
    above = _Rows(joined.scores[kept], joined.worth[kept], joined.inside[kept], joined.windows)
    return [*_falling(above, weights)][-1]


def position_value(position: float) -> float:
    """What a detection is worth: -1 at a window's left edge is nearly 1, 0 at its right edge is 0.

    Positions are in widths of the window; far behind it a detection is worth -1.
    """
    return -1.0 if position > _FAR else 2.0 / (1.0 + exp(5.0 * position)) - 1.0


def row_values(series: Series, weights: Costs) -> tuple[Doubles, Any]:
    """What a detection at each row is worth, and the number of its window (-1 outside)."""
    size = len(series.values)
    worth, inside = np.full(size, -weights.false), np.full(size, -1)
    best = position_value(-1.0)
    for number, (first, last) in enumerate(series.windows):
        width = last - first + 1
        for row in range(first, last + 1):
            worth[row] = weights.hit * position_value(-(last - row + 1) / width) / best
            inside[row] = number
        following = series.windows[number + 1 :]
        for row in range(last + 1, following[0][0] if following else size):
            worth[row] = weights.false * position_value((row - last) / max(width - 1, 1))
    return worth, inside


class _Rows(NamedTuple):
    """Score, worth and window (-1 for none) of all rows that count, and how many windows are."""

    scores: Doubles
    worth: Doubles
    inside: Any
    windows: int


def _joined(found: Sequence[Series], scores: Sequence[Doubles], weights: Costs) -> _Rows:
    kept, values, windows, count = [], [], [], 0
    for series, score in zip(found, scores, strict=True):
        worth, inside = row_values(series, weights)
        first = series.probation
        kept.append(score[first:])
        values.append(worth[first:])
        windows.append(np.where(inside[first:] >= 0, inside[first:] + count, -1))
        count += len(series.windows)
    return _Rows(np.concatenate(kept), np.concatenate(values), np.concatenate(windows), count)


def _falling(rows: _Rows, weights: Costs) -> Iterator[Result]:
    """The results as the threshold falls, from silence on; equal scores fall together."""
    earned = [-weights.miss] * rows.windows
    silent, perfect = -weights.miss * rows.windows, weights.hit * rows.windows
    total, false, hit = silent, 0, 0
    yield Result(0.0, silent, inf, 0, rows.windows, 0)
    order = np.argsort(-rows.scores, kind="stable").tolist()
    for place, row in enumerate(order):
        worth, window = float(rows.worth[row]), int(rows.inside[row])
        if window < 0:
            total += worth
            false += 1
        elif worth > earned[window]:
            hit += earned[window] == -weights.miss
            total += worth - earned[window]
            earned[window] = worth
        if place + 1 == len(order) or rows.scores[order[place + 1]] != rows.scores[row]:
            score = 100 * (total - silent) / (perfect - silent)
            threshold = float(rows.scores[row])
            yield Result(score, total, threshold, hit, rows.windows, false)


def _series(path: Path, name: str, labels: Any) -> Series:
    times, values = [], []
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows, None)
        for number, row in enumerate(rows, 2):
            if number > MAX_ROWS:
                raise ConfigError(f"{path}: more than {MAX_ROWS:,} rows")
            try:
                times.append(datetime.fromisoformat(row[0]))
                values.append(float(row[1]))
            except (ValueError, IndexError) as error:
                raise ConfigError(f"{path}:{number}: {error}") from None
    windows = []
    for start, end in labels:
        first, last = datetime.fromisoformat(start), datetime.fromisoformat(end)
        rows_in = [row for row, at in enumerate(times) if first <= at <= last]
        if rows_in:
            windows.append((rows_in[0], rows_in[-1]))
    return Series(name, np.array(values), tuple(windows))
