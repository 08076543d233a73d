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
    """A history with so many ordinary entities and a heap of odd ones a day."""
    made = Calibration()
    for day in range(days):
        made.roll(START + day * DAY)
        for n in range(low):
            made.add(n % 10 / 10, f"low{n}")
        for n in range(high):
            for _ in range(5):
                made.add(8.5, f"odd{n}")
    made.roll(START + days * DAY)
    return made


def test_a_heap_of_equal_scores_is_as_frequent_as_it_is() -> None:
    """Of seven equal ones a day half are expected above, however far from the rest they lie."""
    heap = calibrated(10, 1_000, 7)
    assert 2.5 < heap.expected(8.5) < 4.5
    assert 5 < heap.expected(8.0) < 9
    assert heap.expected(12.0) < 1
    assert calibrated(10, 1_000, 0).expected(8.5) < 0.1


def test_what_was_told_lately_is_taken_off_the_budget() -> None:
    """After a burst only what is rarer passes; what a quiet time saved is spent again, bounded."""
    made = calibrated(12, 300, 0)
    due = made.affordable(1.0)
    assert due == 4.0
    for n in range(20):
        made.tell(9.0, f"user{n}")
    assert made.affordable(1.0) < 0.5
    made.roll(START + 40 * DAY)
    assert 2.0 < made.affordable(1.0) <= 4.0
    assert Calibration.unpack(made.pack()).affordable(1.0) == made.affordable(1.0)


def test_days_of_learning_save_nothing_up() -> None:
    """A detector that becomes ready does not spend at once what it could not tell before."""
    made = calibrated(4, 300, 0)
    assert made.ready
    assert made.affordable(1.0) < 2.5


def test_a_burst_is_bounded_though_nobody_scored_as_high_before() -> None:
    """A program that comes to fifty hosts on one day is told of some, not of fifty."""
    made, told = calibrated(20, 300, 0), 0
    for n in range(50):
        if made.expected(9.0, f"host{n}") <= made.affordable(0.5):
            made.tell(9.0, f"host{n}")
            told += 1
        made.add(9.0, f"host{n}")
    assert 1 <= told <= 12


def test_an_entity_that_is_odd_all_day_counts_once() -> None:
    """A hundred slices of one host are one alert, and make nobody else seem usual."""
    made = Calibration()
    for day in range(10):
        made.roll(START + day * DAY)
        for _ in range(100):
            made.add(30.0, "agent")
    made.roll(START + 10 * DAY)
    assert 0.3 < made.expected(30.0, "other") < 0.8


def test_it_is_told_again_when_it_has_grown_by_as_much_as_the_detector_says() -> None:
    """A flood that doubles is worth another look although one was just told."""
    made = Calibration()
    made.tell(4.0, "portal")
    assert not made.grown(4.9, "portal", 1.0)
    assert made.grown(5.0, "portal", 1.0)
    assert not made.grown(50.0, "portal", 0.0)
    assert not made.grown(50.0, "other", 1.0)


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
