"""Scoring: what is found, when, and what is noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from detect.behavior.lab import labels
from detect.behavior.lab.company import DAY, HOUR, MINUTE
from detect.behavior.lab.labels import Label
from detect.behavior.lab.scoring import Told, score
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

T = 100 * DAY


def label(id: str, entity: str, *, deadline: int = 0) -> Label:
    return Label(
        id, "theft", T, T + HOUR, {"user": (entity,)}, ("travel",), ("T1078",), deadline, 3
    )


def told(detector: str, at: int, *entities: str) -> Told:
    return Told(detector, at, frozenset(entities))


def test_found_by_the_right_detector_on_the_right_entity_in_time() -> None:
    """Early, late, other detectors and other people do not count as found."""
    truth = [label("theft-1", "ana"), label("theft-2", "ben"), label("theft-3", "cleo")]
    found = [
        told("travel", T + 20 * MINUTE, "ana"),
        told("travel", T - HOUR, "ben"),  # before it began
        told("volume", T + HOUR, "ben"),  # not what should see it, but no noise either
        told("travel", T + HOUR + 2 * DAY, "cleo"),  # long after
    ]
    report = score(truth, found, {"travel": 1.0, "quiet": 2.0}, T - 5 * DAY, T + 5 * DAY)
    row = report.scenarios[0].row()
    assert (row["attacks"], row["found"], row["minutes"]) == (3, 1, 20.0)
    assert row["missed"] == ["theft-2", "theft-3"]
    noise = {each.detector: each.row() for each in report.detectors}
    assert noise["travel"]["false_a_day"] == 0.2
    assert noise["travel"]["true"] == 1
    assert noise["volume"]["true"] == 1
    assert noise["quiet"] == {
        "detector": "quiet", "budget": 2.0, "false_a_day": 0.0, "of_budget": 0.0, "true": 0,
        "certain": False, "asked": True, "within": False,
    }  # fmt: skip


def test_a_budget_is_to_be_spent_but_by_detectors_that_are_certain() -> None:
    """Half to twice of it; a certain one may stay silent, and one never asked is not judged."""
    found = [told("hours", T + each * HOUR, f"user{each}") for each in range(6)]
    found += [told("rare", T + each * HOUR, "dan") for each in range(9)]
    budgets = {"hours": 1.0, "rare": 1.0, "quiet": 1.0, "travel": 1.0, "names": 1.0}
    report = score([], found, budgets, T, T + 4 * DAY, certain={"travel"}, unasked={"names"})
    assert {each.detector: each.row()["within"] for each in report.detectors} == {
        "hours": True, "rare": False, "quiet": False, "travel": True, "names": None,
    }  # fmt: skip


def test_an_account_that_a_sprayer_got_into_is_attacked_for_a_day() -> None:
    """Of very many touched the others are, soon after, people like any."""
    many = tuple(f"user{each}" for each in range(40))
    truth = [
        Label("s-1", "spraying", T, T + HOUR, {"user": many}, ("spray",), (), entered=("user7",))
    ]
    later = [told("travel", T + 10 * HOUR, "user7"), told("travel", T + 10 * HOUR, "user8")]
    report = score(truth, later, {"travel": 1.0}, T, T + 4 * DAY)
    assert [each.entities for each in report.false] == [frozenset({"user8"})]
    assert Label.of(truth[0].body()) == truth[0]


def test_noise_is_counted_within_the_judged_time_only() -> None:
    """What is told while everything is still new is not held against the budget."""
    found = [told("travel", T - 9 * DAY, "dan"), told("travel", T, "dan"), told("travel", T, "eve")]
    report = score([], found, {"travel": 1.0}, T - DAY, T + DAY)
    assert len(report.false) == 2
    assert report.detectors[0].row()["of_budget"] == 1.0


def test_a_deadline_must_be_met() -> None:
    """Poisoning that is seen after the baseline accepted it was not found."""
    truth = [label("theft-1", "ana", deadline=T + 30 * MINUTE)]
    late = score(truth, [told("travel", T + 40 * MINUTE, "ana")], {}, T, T + DAY)
    timely = score(truth, [told("travel", T + 20 * MINUTE, "ana")], {}, T, T + DAY)
    assert (late.scenarios[0].found, timely.scenarios[0].found) == (0, 1)


def test_labels_survive_a_file_and_a_broken_one_names_its_line(tmp_path: Path) -> None:
    """JSON lines, and back."""
    path = tmp_path / "labels.jsonl"
    truth = [label("theft-1", "ana"), label("theft-2", "ben", deadline=7)]
    labels.write(path, truth)
    assert labels.read(path) == truth
    path.write_bytes(path.read_bytes() + b'{"id": "x"}\n')
    with pytest.raises(BadInput, match=r"labels\.jsonl:3"):
        labels.read(path)
