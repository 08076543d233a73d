"""The scoring of the anomaly benchmark by hand, and a detector that sees a change once."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from detect.behavior.models.nab import (
    Costs,
    Series,
    at,
    costs,
    position_value,
    read,
    row_values,
    swept,
)
from detect.behavior.models.series import SeriesDetector
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SERIES = Series("x", np.zeros(100), ((40, 49), (80, 84)))
COSTS = Costs()


def scored(*rows: int) -> list[Any]:
    scores = np.zeros(100)
    scores[list(rows)] = 1.0
    return [scores]


def test_a_row_is_worth_what_the_rules_say() -> None:
    worth, inside = row_values(SERIES, COSTS)
    assert worth[39] == -0.11, "before any window a false alarm costs all"
    assert worth[40] == pytest.approx(1.0), "the left edge is the best"
    # The right edge of ten rows: a tenth of a width before the end.
    assert worth[49] == pytest.approx((2 / (1 + math.exp(-0.5)) - 1) / position_value(-1.0))
    assert worth[50] == pytest.approx(0.11 * (2 / (1 + math.exp(5 / 9)) - 1))
    assert worth[79] == -0.11, "more than three widths behind"
    assert inside[40] == inside[49] == 0
    assert inside[80] == 1
    assert inside[50] == -1


def test_silence_is_nothing_and_perfection_a_hundred() -> None:
    assert swept([SERIES], scored(), COSTS).score == 0
    perfect = swept([SERIES], scored(40, 80), COSTS)
    assert perfect.score == pytest.approx(100)
    assert (perfect.found, perfect.windows, perfect.false) == (2, 2, 0)


def test_only_the_best_detection_of_a_window_counts_and_probation_does_not() -> None:
    assert at([SERIES], scored(40, 44, 49, 80), COSTS, 1).score == pytest.approx(100)
    assert at([SERIES], scored(3, 14, 40, 80), COSTS, 1).score == pytest.approx(100)
    assert at([SERIES], scored(15, 40, 80), COSTS, 1).raw == pytest.approx(2 - 0.11)


def test_the_threshold_is_the_best_for_all_files_together() -> None:
    scores = np.zeros(100)
    scores[[40, 80]] = 0.7
    scores[[20, 30]] = 0.6
    assert swept([SERIES], [scores], COSTS).threshold == 0.7
    assert at([SERIES], [scores], COSTS, 0.6).raw == pytest.approx(2 - 0.22)


def test_a_directory_is_read_as_it_is_published(tmp_path: Path) -> None:
    start = datetime(2026, 1, 1)
    for name in ("data/a", "labels", "config"):
        (tmp_path / name).mkdir(parents=True)
    lines = [f"{start + timedelta(minutes=5 * n)},{n}" for n in range(30)]
    (tmp_path / "data/a/b.csv").write_text("timestamp,value\n" + "\n".join(lines), "utf-8")
    window = ["2026-01-01 00:50:00.000000", "2026-01-01 01:10:00.000000"]
    labels = tmp_path / "labels" / "combined_windows.json"
    labels.write_text(json.dumps({"a/b.csv": [window]}), "utf-8")
    matrix = {"tpWeight": 1, "fnWeight": 2, "fpWeight": 0.5, "tnWeight": 1}
    profiles = {"low": {"CostMatrix": matrix}}
    (tmp_path / "config/profiles.json").write_text(json.dumps(profiles), "utf-8")
    (found,) = read(tmp_path)
    assert found.windows == ((10, 14),)
    assert found.values[29] == 29
    assert costs(tmp_path, "low") == Costs(1, 0.5, 2)
    with pytest.raises(ConfigError, match="no profile 'high'; there are low"):
        costs(tmp_path, "high")
    labels.write_text('{"../b.csv": []}', "utf-8")
    with pytest.raises(ConfigError, match="outside"):
        read(tmp_path)


def wave(count: int, seed: int = 1) -> Any:
    noise = np.random.default_rng(seed).normal(scale=0.05, size=count)
    return np.sin(np.arange(count) / 8) + noise


def told(values: Any, probation: int = 150) -> list[int]:
    detector = SeriesDetector(probation)
    return [n for n, value in enumerate(values.tolist()) if detector.update(value).told]


def test_a_change_is_told_soon_and_once() -> None:
    values = wave(700)
    usual = told(values)
    values[500:520] += 3
    alarms = [n for n in told(values) if n >= 500]
    assert alarms
    assert alarms[0] < 510
    assert len([n for n in alarms if n < 530]) == 1, "the detector rests after an alarm"
    assert len(usual) <= 700 * 0.01


def test_what_comes_later_changes_nothing_told_before() -> None:
    values = wave(500)
    values[300:310] -= 2
    assert [n for n in told(values) if n < 400] == told(values[:400])


def test_a_constant_series_tells_its_first_change() -> None:
    values = np.full(400, 5.0)
    values[300] = 6.0
    assert told(values)[:1] == [300]


def test_memory_is_bounded_and_nothing_is_told_in_the_probation() -> None:
    detector = SeriesDetector(100)
    for value in np.random.default_rng(2).normal(size=99):
        assert detector.update(float(value)).told == 0
    with pytest.raises(ValueError, match="at least 100"):
        SeriesDetector(99)
