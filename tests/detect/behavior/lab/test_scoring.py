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
    }  # fmt: skip


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
