"""Impossible travel: two logons farther apart than anybody travels in the time between them."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt
from typing import TYPE_CHECKING

from detect.behavior.detector import HOUR, Anomaly, Part, Plain, Spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation, Place
    from detect.behavior.profile import Profile

#: Faster than an airliner (km/h), nearer than this (km) is jitter of databases, and the radius of
#: a place whose database says none (km).
SPEED, DISTANCE, RADIUS = 1_000.0, 500.0, 50.0
#: Longest time between two logons that are compared, ms.
_LONGEST = 24 * HOUR
_EARTH = 6_371.0


def kilometers(one: Place, other: Place) -> float:
    """Great-circle distance (haversine)."""
    phi, psi = radians(one.lat), radians(other.lat)
    half = sin((psi - phi) / 2) ** 2
    half += cos(phi) * cos(psi) * sin(radians(other.lon - one.lon) / 2) ** 2
    return 2 * _EARTH * asin(min(1.0, sqrt(half)))


def apart(one: Place, other: Place) -> float:
    """Least distance, km: each may be anywhere within its accuracy radius."""
    return max(0.0, kilometers(one, other) - (one.radius or RADIUS) - (other.radius or RADIUS))


class ImpossibleTravel(Plain):
    """Speed between successive logons from places that are not the site's own egress."""

    spec = Spec(
        name="impossible_travel",
        title="Impossible travel",
        kinds=frozenset({"user"}),
        inputs=("user.name", "source.ip", "source.geo.location", "event.outcome"),
        techniques=("T1078",),
        level="high",
        budget=0.5,
        floor=SPEED,
        cold=SPEED,
        refractory=12 * HOUR,
        calibrated=False,
        parameters={
            "greatest speed": "1000 km/h",
            "least distance": "500 km beyond both accuracy radii",
            "longest time between": "24 h",
        },
        description="Two logons farther apart than anybody travels in the time between them.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """The speed in km/h of the fastest pair that is far enough apart."""
        if not observation.places:
            return
        visited = [p for p in profile.places if not context.egress(p.address)]
        fastest: tuple[float, Place, Place] | None = None
        for place in observation.places:
            if context.egress(place.address):
                continue
            for before in visited:
                away = apart(before, place)
                passed = place.at - before.at
                if away < DISTANCE or not 0 <= passed <= _LONGEST:
                    continue
                speed = away / max(passed / HOUR, 1 / 60)
                if speed > SPEED and (fastest is None or speed > fastest[0]):
                    fastest = (speed, before, place)
            visited.append(place)
        if fastest is None:
            return
        speed, before, place = fastest
        if _usual(profile, context, before) and _usual(profile, context, place):
            return  # two places that both are the user's own: a tunnel, or two devices
        minutes = (place.at - before.at) / 60_000
        far = kilometers(before, place)
        sample = observation.sample("source.ip", place.address)
        yield Anomaly(
            self.spec.name,
            score=speed,
            at=place.at,
            what=(
                f"signed in from {place.address} {_time(minutes)} after {before.address}, "
                f"{far:.0f} km away"
            ),
            parts=(
                Part(
                    "source.geo.location",
                    f"{place.lat:.1f}, {place.lon:.1f}",
                    f"{before.lat:.1f}, {before.lon:.1f} just before",
                ),
                Part("speed", f"{speed:.0f} km/h", "at most 1000 km/h"),
            ),
            samples=(sample,) if sample else (),
            fields={"source.ip": place.address},
            confidence=1.0 if place.radius and before.radius else 0.8,
        )


def _usual(profile: Profile, context: Context, place: Place) -> bool:
    return profile.weight("source.ip", place.address) >= 2.0


def _time(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
