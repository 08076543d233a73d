"""Scores become alerts at the rate that was asked for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from detect.behavior import risk
from detect.behavior.calibrate import Calibration, capped
from tests.detect.behavior.events import DAY, HOUR, MONDAY


@pytest.mark.parametrize("budget", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("shape", ["exponential", "normal"])
def test_the_budget_is_met_within_a_factor_of_two(budget: float, shape: str) -> None:
    draw = np.random.default_rng(5)
    calibration, told = Calibration(), 0
    for day in range(60):
        scores = draw.exponential(0.8, 300) if shape == "exponential" else draw.normal(3, 1, 300)
        for at, score in enumerate(scores):
            entity = f"user{at % 100}"
            calibration.roll(MONDAY + day * DAY + at)
            if calibration.ready and (
                calibration.expected(score, entity) <= calibration.affordable(budget)
            ):
                told += day >= 10
                calibration.tell(score, entity)
            calibration.add(score, entity)
    assert 0.5 * budget <= told / 50 <= 2 * budget


def test_p_falls_with_the_score_and_is_never_zero() -> None:
    calibration = Calibration()
    for at in range(1_000):
        calibration.roll(MONDAY + at * HOUR)
        calibration.add(at % 40 / 10)
    ps = [calibration.p(score / 10) for score in range(120)]
    assert all(one >= other > 0 for one, other in pairwise(ps))
    assert ps[0] > 0.95


def test_what_was_counted_comes_back() -> None:
    calibration = Calibration()
    for at in range(50):
        calibration.roll(MONDAY + at * 6 * HOUR)
        calibration.add(at / 7)
    assert Calibration.unpack(calibration.pack()).pack() == calibration.pack()
    assert calibration.ready
    assert not Calibration().ready
    assert Calibration().p(9.0) == 1.0


def test_what_was_kept_before_budgets_counted_entities_is_read() -> None:
    """An older history had a number there: its scores stay, the budget is learned anew."""
    calibration = Calibration()
    for at in range(50):
        calibration.roll(MONDAY + at * 6 * HOUR)
        calibration.add(at / 7, f"user{at}")
    old = Calibration.unpack([*calibration.pack()[:-1], 0.7])
    assert old.total == pytest.approx(calibration.total)
    assert not old.ready


def test_risk_halves_in_two_days_and_names_what_it_is_of() -> None:
    sum_of = risk.add({}, MONDAY, 4.0, "impossible_travel")
    sum_of = risk.add(sum_of, MONDAY + 2 * DAY, 1.0, "a rule")
    assert risk.value(sum_of, MONDAY + 2 * DAY) == pytest.approx(3.0)
    assert [part[0] for part in sum_of["p"]] == ["impossible_travel", "a rule"]
    assert risk.value({}, MONDAY) == 0
    assert risk.worth(capped(0.5)) == 0 < risk.worth(capped(1e-9)) == 4.5
    assert risk.worth_of_severity(99) > risk.worth_of_severity(47) > risk.worth_of_severity(10)
