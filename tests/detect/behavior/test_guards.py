"""What keeps a profile from being taught: each test fails without its guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from detect.behavior import deciding, profile, volume
from detect.behavior.calibrate import Calibration
from detect.behavior.deciding import Decider, Scene
from detect.behavior.detectors.volume import DRIFTS
from detect.behavior.observation import SLICE, Entity, Observation
from detect.behavior.options import Options
from detect.behavior.population import Population
from detect.behavior.profile import Profile
from detect.behavior.volume import Level, Volume
from tests.detect.behavior.events import DAY, HOUR, MONDAY

if TYPE_CHECKING:
    from collections.abc import Mapping

ADA = Entity("default", "user", "ada")


def seen(at: int, values: Mapping[str, str] | None = None, bytes_out: float = 0) -> Observation:
    """A slice of ada's with these values of features; `country` is short for its feature."""
    names = {"country": "source.geo.country"}
    counts = {names.get(name, name): {value: [1.0, -1]} for name, value in (values or {}).items()}
    counts["logon.success"] = {"192.0.2.1": [1.0, -1]}
    sums: dict[str, float] = {"events": 3}
    if bytes_out:
        sums["bytes.out"] = bytes_out
    return Observation(ADA, at - at % SLICE, at, at, counts=counts, sums=sums)


class World:
    """One entity, everybody else, and a decider without detectors of its own."""

    def __init__(self) -> None:
        self.decider = Decider((), Options())
        self.scene = Scene(Profile.empty(MONDAY), Population(), None)
        self.calibrations: dict[str, Calibration] = {}

    def take(self, observation: Observation) -> None:
        self.scene.population.roll(observation.start)
        made = self.decider.decide(
            observation, self.scene, lambda name: self.calibrations.setdefault(name, Calibration())
        )
        assert not list(made)

    def days(self, first: int, last: int, **values: str) -> None:
        for day in range(first, last):
            self.take(seen(MONDAY + day * DAY + 9 * HOUR, values))


def test_what_surprises_is_learned_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    def after_three_days() -> float:
        world = World()
        world.days(0, 20, country="DE")
        world.days(20, 23, country="KP")
        return world.scene.profile.weight("source.geo.country", "KP")

    assert after_three_days() < 0.35
    monkeypatch.setattr(deciding, "GUARD", 99.0)
    assert after_three_days() > 2.5


def test_what_surprises_does_not_become_usual_for_everybody() -> None:
    world = World()
    world.days(0, 20, country="DE")
    world.days(20, 23, country="KP")
    assert world.scene.population.weight("source.geo.country", "KP") == 0


def test_a_day_counts_once() -> None:
    world = World()
    world.days(0, 8, country="DE")
    for minute in range(0, 400, 10):  # all day long, new to the user but not to others
        world.scene.population.add("source.geo.country", "NL")
        world.take(seen(MONDAY + 8 * DAY + minute * 60_000, {"country": "NL"}))
    assert world.scene.profile.weight("source.geo.country", "NL") <= 1.0
    hours = world.scene.profile.hours
    assert max(hours) <= 2.0


def test_amounts_are_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def after_a_huge_day() -> float:
        level = Level()
        for _ in range(30):
            level.learn(1_000, 0.07)
        level.learn(1e12, 0.07)
        return level.location

    assert after_a_huge_day() < 3.1
    monkeypatch.setattr(volume, "CLIP", 1e9)
    assert after_a_huge_day() > 3.5


def _drift(daily: Mapping[int, float]) -> list[int]:
    """The days on which a drift would be told, of bytes by day."""
    told = []
    about = Profile.empty(MONDAY)
    (detector,) = DRIFTS
    for day, amount in daily.items():
        observation = seen(MONDAY + day * DAY + HOUR, bytes_out=amount)
        found = detector.score(observation, about, None)  # type: ignore[arg-type]
        told += [day for anomaly in found if anomaly.score >= detector.spec.floor]
        about.update(observation)
    return told


def test_a_moved_baseline_is_told_by_the_slow_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    steady = {day: 1e6 * (1 + 0.3 * (day % 3)) for day in range(30)}
    poisoned = {day: 1e6 * 1.09**day for day in range(60)}
    assert _drift(steady) == []
    told = _drift(poisoned)
    assert told
    assert poisoned[told[0]] < 1e6 * 60
    monkeypatch.setattr(volume, "_SLOW", 0.5)  # a reference as fast as what it is to hold
    assert len(_drift(poisoned)) < len(told) / 2


def test_nothing_is_learned_while_an_incident_is_open() -> None:
    world = World()
    world.days(0, 10, country="DE")
    world.scene.profile.frozen = MONDAY + 20 * DAY
    world.days(10, 19, country="FR", process="dump.exe")
    assert world.scene.profile.weight("source.geo.country", "FR") == 0
    assert world.scene.profile.weight("process", "dump.exe") == 0
    world.days(21, 22, country="FR")
    assert world.scene.profile.weight("source.geo.country", "FR") > 0


def test_what_is_seldom_is_forgotten_in_weeks() -> None:
    world = World()
    world.days(0, 10, country="DE")
    before = world.scene.profile.weight("source.geo.country", "DE")
    world.scene.profile.decay(MONDAY + (9 + 14) * DAY)
    assert world.scene.profile.weight("source.geo.country", "DE") == pytest.approx(before / 2, 0.01)


def test_a_profile_has_bounds_and_comes_back() -> None:
    about = Profile.empty(MONDAY)
    for at in range(3_000):
        moment = MONDAY + at * HOUR
        values = {f: f"{f}-{at * 7 % 1_000:04}-{'x' * 40}" for f in ("device", "object", "process")}
        about.update(seen(moment, values, at * 1e6))
        assert len(about.maps.get("process", {})) <= profile.MAX_OF_FEATURE
    text = about.encode()
    assert len(text) <= 2_500
    assert about.evicted
    again = Profile.decode(text)
    assert again.encode() == text
    assert again.volumes["bytes.out"] == Volume.unpack(about.volumes["bytes.out"].pack())
