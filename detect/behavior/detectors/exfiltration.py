"""high_sent_bytes_to_a_rare_destination: much leaves, at once or slowly, to where little goes."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING, Any

from detect.behavior.detector import DAY, Anomaly, Part, Spec
from detect.behavior.sketches import short
from detect.behavior.tails import decayed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Bytes that are nothing to speak of.
LITTLE = 100_000.0
#: Half-life of what has been sent (ms): slow theft adds up over days.
HALF_LIFE = 5 * DAY
#: Entity-days of others that make a destination a usual one.
COMMON = 6.0
#: Days with traffic from which on a destination has a level of its own.
ESTABLISHED = 4
#: Share of a day in that level, and how far (log10) a day may pull it.
SHARE, PULL = 0.04, 0.3
#: Times its level that an established destination may be given.
GROWTH = 2.0
#: Destinations followed at once for each host.
FOLLOWED = 8
#: Days that a host must be known before something can be new to it.
KNOWN = 5.0
#: Least bytes that make a destination worth following.
WORTH = 20_000.0

#: Of one destination: day, bytes of that day, sent before (decayed), level (log10), days, time.
Track = list[float]


class HighSentBytes:
    """What a host has sent to each rare destination, added up over days.

    A new one is judged by the sum; an established one by how far the day exceeds its own level,
    which the first days set and which follows slowly, so that patience does not help.
    """

    spec = Spec(
        name="high_sent_bytes_to_a_rare_destination",
        title="Many bytes sent to a rare destination",
        kinds=frozenset({"host"}),
        inputs=("host.name", "source.bytes", "destination.domain", "destination.ip"),
        techniques=("T1048", "T1567", "T1030"),
        level="high",
        budget=1.2,
        floor=1.0,
        cold=3.0,
        refractory=3 * DAY,
        again=0.5,
        parameters={
            "LITTLE": "100 kB; the score is the decimal logarithm of what exceeds it",
            "HALF_LIFE": "5 days, of what has been sent",
            "COMMON": "6 host-days; a destination with more of others is not rare",
            "ESTABLISHED": "4 days with traffic; then its own level counts",
            "GROWTH": "2 times its level are still usual",
            "KNOWN": "5 days before something can be new to a host",
        },
        description="A host sends much to a destination that hardly any other host knows.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """The destination of this slice with the most unusual sum."""
        sent = observation.values("destination.bytes")
        if not sent or profile.age(observation.start) < KNOWN:
            return
        tracks = self.remember(observation, profile.memory(self.spec.name)) or {}
        best: tuple[float, str, Track] | None = None
        for destination in sent:
            track = tracks.get(short(destination))
            if track is None:
                continue
            own = profile.weight("destination", destination)
            others = max(0.0, context.seen("destination", destination) - own)
            if others > COMMON:
                continue
            score = _score(track) / (1 + others / 4)
            if best is None or score > best[0]:
                best = (score, destination, track)
        if best is None:
            return
        score, destination, track = best
        sample = observation.sample("destination.bytes", destination)
        new = track[4] < ESTABLISHED
        usual = "nothing before" if new else f"{_size(10 ** track[3])} a day"
        yield Anomaly(
            self.spec.name,
            score,
            observation.last,
            f"sent {_size(track[1])} today and {_size(track[2])} in the days before to "
            f"{destination}, which few others know",
            (
                Part("source.bytes", _size(track[1]), usual),
                Part("destination", destination, ", ".join(profile.typical("destination"))),
            ),
            (sample,) if sample else (),
            {"destination.domain": destination},
            baseline=profile.age(observation.start),
            confidence=profile.confidence(observation.start),
            tactic="exfiltration",
        )

    def remember(self, observation: Observation, memory: Any) -> Any:
        """Destination (short) to its track; the smallest are given up."""
        sent = observation.values("destination.bytes")
        if not sent:
            return memory
        tracks: dict[str, Track] = dict(memory or {})
        day = observation.start // DAY
        for destination, amount in sorted(sent.items()):
            name = short(destination)
            if amount >= WORTH or name in tracks:
                tracks[name] = _sent(tracks.get(name), day, amount)
        if len(tracks) > FOLLOWED:
            ranked = sorted(tracks, key=lambda name: (-_weight(tracks[name], day), name))
            tracks = {name: tracks[name] for name in ranked[:FOLLOWED]}
        return tracks or None


def _sent(track: Track | None, day: int, amount: float) -> Track:
    if track is None:
        return [day, round(amount), 0, 0, 0]
    last, today, before, level, days = track
    if day == last:
        return [day, round(today + amount), before, level, days]
    value = log10(1 + today)
    if days == 0:
        level = value
    else:
        share = SHARE if days >= ESTABLISHED else 1 / (days + 1)
        level += share * max(-PULL, min(PULL, value - level))
    before = decayed(before + today, (day - last) * DAY, HALF_LIFE)
    return [day, round(amount), round(before), round(level, 3), days + 1]


def _score(track: Track) -> float:
    """Decades above what is nothing; of an established destination, above its own level."""
    _, today, before, level, days = track
    if days < ESTABLISHED:
        return max(0.0, log10(max(1.0, today + before) / LITTLE))
    above = log10(1 + today) - level - log10(GROWTH)
    if today < 10 * LITTLE or above <= 0:
        return 0.0
    return above + log10(today / LITTLE)


def _weight(track: Track, day: int) -> float:
    return decayed(track[1] + track[2], (day - track[0]) * DAY, HALF_LIFE)


def _size(amount: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
