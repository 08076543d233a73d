"""beaconing: a host that asks something rare for orders, by the clock."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

from detect.behavior.detector import DAY, HOUR, Anomaly, Part, Spec
from detect.behavior.sketches import short
from detect.behavior.tails import of_regularity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Contacts closer than this (s) are one; intervals that are judged, at least.
BURST, LEAST = 5, 8
#: A pause longer than this many intervals is a host that slept, not an interval.
PAUSE = 3.0
#: Destinations followed at once for each host, and for how long without a contact (ms).
FOLLOWED, KEPT = 8, 6 * HOUR
#: Entity-days of others that make a destination a usual one; own days that make it established.
COMMON, ESTABLISHED = 6.0, 3.0
#: Days that a host must be known before something can be new to it.
KNOWN = 5.0

#: Of one destination: last contact (s), intervals, mean (s), sum of squared deviations, pauses.
Track = list[float]


class Beaconing:
    """Intervals between contacts with each rare destination, against chance.

    Welford's mean and variance of the intervals; a gamma distribution (a clock with jitter)
    against an exponential one (chance, people).
    """

    spec = Spec(
        name="beaconing",
        title="Beaconing to a rare destination",
        kinds=frozenset({"host"}),
        inputs=("host.name", "destination.domain", "destination.ip", "@timestamp"),
        techniques=("T1071", "T1029"),
        level="high",
        floor=3.0,
        cold=7.0,
        refractory=3 * DAY,
        parameters={
            "LEAST": "8 intervals",
            "BURST": "5 s; closer contacts are one",
            "PAUSE": "3 mean intervals; longer ones are not counted",
            "COMMON": "6 host-days; a destination with more of others is not rare",
            "KNOWN": "5 days before something can be new to a host",
        },
        description="A host contacts a destination that others do not know at regular intervals.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """The most regular one of the rare destinations contacted in this slice."""
        times = observation.times.get("destination")
        if not times or profile.age(observation.start) < KNOWN:
            return
        tracks = self.remember(observation, profile.memory(self.spec.name)) or {}
        best: tuple[float, str, Track] | None = None
        for destination in times:
            track = tracks.get(short(destination))
            if track is None or track[1] < LEAST:
                continue
            own = profile.weight("destination", destination)
            if own > ESTABLISHED or context.seen("destination", destination) - own > COMMON:
                continue
            score = of_regularity(int(track[1]), track[2], _deviation(track))
            score *= (1 + track[1]) / (1 + track[1] + track[4])
            if best is None or score > best[0]:
                best = (score, destination, track)
        if best is None:
            return
        score, destination, track = best
        sample = observation.sample("destination", destination)
        yield Anomaly(
            self.spec.name,
            score,
            observation.last,
            f"contacted {destination} every {_span(track[2])}, {track[1]:.0f} times, "
            f"within {100 * _deviation(track) / track[2]:.0f} %",
            (
                Part("destination", destination, ", ".join(profile.typical("destination"))),
                Part("interval", f"{_span(track[2])} ± {_span(_deviation(track))}", "irregular"),
            ),
            (sample,) if sample else (),
            {"destination.domain": destination},
            baseline=profile.age(observation.start),
            confidence=profile.confidence(observation.start),
            tactic="command-and-control",
        )

    def remember(self, observation: Observation, memory: Any) -> Any:
        """Destination (short) to its track; those not heard of for hours are given up."""
        times = observation.times.get("destination")
        if not times and not memory:
            return None
        now = observation.last / 1000
        tracks: dict[str, Track] = {
            name: list(track)
            for name, track in (memory or {}).items()
            if now - track[0] < max(KEPT / 1000, 6 * track[2])
        }
        for destination in sorted(times or {}):
            name = short(destination)
            for at in (times or {})[destination]:
                tracks[name] = _contact(tracks.get(name), at // 1000)
        if len(tracks) > FOLLOWED:
            ranked = sorted(tracks, key=lambda name: (-tracks[name][1], -tracks[name][0], name))
            tracks = {name: tracks[name] for name in ranked[:FOLLOWED]}
        return tracks or None


def _contact(track: Track | None, at: int) -> Track:
    if track is None:
        return [at, 0, 0, 0, 0]
    last, count, mean, squares, pauses = track
    interval = at - last
    if interval < BURST:
        return track
    if count >= 4 and interval > PAUSE * mean:
        return [at, count, mean, squares, pauses + 1]
    count += 1
    off = interval - mean
    mean += off / count
    return [at, count, round(mean, 1), round(squares + off * (interval - mean), 1), pauses]


def _deviation(track: Track) -> float:
    """Standard deviation, s; clocks of logs are good to about a second."""
    return max(1.0, sqrt(track[3] / max(1.0, track[1] - 1)))


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
