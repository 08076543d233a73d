"""A budget is kept where scores lie in heaps, come in bursts, or go on and on."""

from __future__ import annotations

from detect.behavior.calibrate import Calibration
from detect.behavior.detectors.spraying import PasswordSpraying
from detect.behavior.detectors.travel import ImpossibleTravel
from detect.behavior.lab.company import DAY, HOUR, MINUTE, START
from detect.behavior.lab.documents import logon, numbered
from detect.behavior.lab.places import hostile
from detect.behavior.options import Options
from detect.behavior.replaying import Replay


def calibrated(days: int, low: int, high: int) -> Calibration:
    """A history with so many ordinary scores and a heap of high ones a day."""
    made = Calibration()
    for day in range(days):
        made.roll(START + day * DAY)
        for n in range(low):
            made.add(n % 10 / 10)
        for _ in range(high):
            made.add(8.5)
    made.roll(START + days * DAY)
    return made


def test_a_heap_of_equal_scores_is_as_frequent_as_it_is() -> None:
    """Seven a day are expected seven times a day, however far from the rest they lie."""
    heap = calibrated(10, 1_000, 7)
    assert 4 < heap.expected(8.5) < 10
    assert heap.expected(12.0) < 1
    assert calibrated(10, 1_000, 0).expected(8.5) < 0.1


def test_what_was_told_lately_is_taken_off_the_budget() -> None:
    """After a burst only what is rarer passes; after some quiet days twice the budget does."""
    made = calibrated(5, 300, 0)
    assert made.affordable(1.0) == 2.0
    made.pressure += 4
    assert made.affordable(1.0) == 0.4
    made.roll(START + 7 * DAY)
    assert 0.9 < made.affordable(1.0) < 1.1
    assert Calibration.unpack(made.pack()).affordable(1.0) == made.affordable(1.0)


def test_an_incident_that_goes_on_counts_once() -> None:
    """A sprayer who tries all day makes one score of history, not one for each slice."""
    network = hostile(1, 7)
    events = [
        numbered(logon(at, f"user{n}", network, ok=False), f"e{n}")
        for n, at in enumerate(range(START, START + 20 * HOUR, 2 * MINUTE))
    ]
    replay = Replay([PasswordSpraying(), ImpossibleTravel()], Options())
    told = [*replay.take(events), *replay.end()]
    assert [finding.rule.id for finding in told] == ["behavior.password_spraying"]
    assert replay.memory.calibration("password_spraying").total <= 2
