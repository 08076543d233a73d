"""Far more than usual, and a baseline that is being moved: amounts of an hour and of a day."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import TYPE_CHECKING

from detect.behavior.detector import DAY, Anomaly, Part, Plain, Spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Fewest finished hours that an hour is compared with; fewest days of a drift.
LEAST_HOURS, LEAST_DAYS = 24, 14
#: The slow reference moves so slowly that less than this (log10) is weather: 2.5 times as much.
DRIFT = 0.4


@dataclass(frozen=True, slots=True)
class HighVolume(Plain):
    """An hour with far more than the entity's own hours; `least` is what is never too much."""

    spec: Spec
    measure: str
    unit: str
    least: float

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """How many scales above the entity's own hours."""
        amount = observation.sum(self.measure)
        volume = profile.volumes.get(self.measure)
        if not amount or volume is None or volume.hourly.count < LEAST_HOURS:
            return
        hour = volume.now(observation.start, amount)[0]
        score = volume.hourly.score(hour)
        if hour < self.least:
            score = min(score, self.spec.floor / 2)
        usual = 10**volume.hourly.location - 1
        yield Anomaly(
            self.spec.name,
            score=max(score, 0.0),
            at=observation.first,
            what=f"had {hour:,.0f} {self.unit} in an hour",
            parts=(Part(f"{self.unit} in an hour", f"{hour:,.0f}", f"{usual:,.0f}"),),
            baseline=volume.daily.count,
            confidence=profile.confidence(observation.start),
        )


@dataclass(frozen=True, slots=True)
class Drift(Plain):
    """The usual day of the last week against the slow reference: somebody moves the baseline.

    Once a day, with the first slice of a new day.
    """

    spec: Spec
    measures: tuple[tuple[str, str], ...]

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """How far, in scales of the reference, the last week lies above it."""
        if observation.start // DAY == profile.last // DAY:
            return
        best: tuple[float, str, float, float, int] | None = None
        for measure, unit in self.measures:
            volume = profile.volumes.get(measure)
            if volume is None or volume.slow.count < LEAST_DAYS:
                continue
            now, before = volume.recent(), 10**volume.slow.location - 1
            off = log10(1 + now) - volume.slow.location
            score = off / max(volume.slow.scale, 0.15) if off > DRIFT else 0.0
            if best is None or score > best[0]:
                best = (score, unit, now, before, volume.slow.count)
        if best is None:
            return
        score, unit, now, before, days = best
        yield Anomaly(
            self.spec.name,
            score=score,
            at=observation.first,
            what=f"has moved from {before:,.0f} to {now:,.0f} {unit} a day, little by little",
            parts=(Part(f"{unit} a day", f"{now:,.0f}", f"{before:,.0f}"),),
            baseline=days,
            confidence=profile.confidence(observation.start),
        )


def _busy(
    name: str,
    title: str,
    kind: str,
    inputs: tuple[str, ...],
    techniques: tuple[str, ...],
    least: int,
    *,
    budget: float,
    floor: float,
    cold: float,
    description: str,
) -> HighVolume:
    """Events of an entity in an hour."""
    spec = Spec(
        name=name,
        title=title,
        kinds=frozenset({kind}),
        inputs=inputs,
        techniques=techniques,
        level="low",
        budget=budget,
        floor=floor,
        cold=cold,
        parameters={"least events": f"{least} an hour", "least baseline": "24 hours"},
        description=description,
    )
    return HighVolume(spec, "events", "events", least)


HIGH = (
    _busy(
        "high_count_events_for_a_log_source",
        "Log source says far more than usual",
        "log",
        ("tocsin.source", "@timestamp"),
        ("T1499", "T1562"),
        200,
        budget=0.5,
        floor=3.0,
        cold=6.0,
        description="The rate of a source of logs is far above its own hours.",
    ),
    _busy(
        "high_count_events_for_a_host",
        "Host is far busier than usual",
        "host",
        ("host.name", "@timestamp"),
        ("T1496",),
        100,
        budget=0.5,
        floor=4.0,
        cold=8.0,
        description="A host does far more in an hour than it ever does.",
    ),
)

DRIFTS = (
    Drift(
        Spec(
            name="baseline_drift",
            title="Usual behaviour is being moved slowly",
            kinds=frozenset({"user", "host", "key"}),
            inputs=("source.bytes", "file.path", "event.category"),
            techniques=("T1020", "T1029"),
            level="medium",
            budget=0.5,
            floor=2.5,
            cold=4.0,
            refractory=7 * DAY,
            parameters={"slow reference": "180 days", "least move": "2.5 times", "days": "14"},
            description="The usual amount of the last weeks lies far above the slow reference.",
        ),
        (("bytes.out", "bytes sent"), ("objects", "files"), ("events", "events")),
    ),
)
