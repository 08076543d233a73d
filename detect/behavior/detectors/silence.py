"""Log silence, and far too much: what a source of logs usually says, hour by hour."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING, Any

from detect.behavior.detector import HOUR, Anomaly, Part, Plain, Spec
from detect.behavior.profile import FAST_DAYS, hour_of_week, typical_hours

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Longest silence that is added up, hours.
_LONGEST = 72


def presence(profile: Profile, at: int) -> float:
    """How likely the source says something in the hour at `at` (ms), from the weeks seen."""
    weeks = profile.age(at) / 7
    if weeks < 1:  # not every hour of the week was seen: all hours together
        hours = max(1.0, profile.age(at) * 24)
        return min(0.98, sum(1 for each in profile.hours if each > 0) / min(hours, 168.0))
    fade: float = 0.5 ** (7 / FAST_DAYS)
    # The same hour a week ago has faded for a week already.
    possible: float = fade * (1 - fade ** max(1, int(weeks))) / (1 - fade)
    own = profile.hours[hour_of_week(at)]
    return min(0.98, own / possible)


class LogSilence(Plain):
    """A source that should have said something did not: how unlikely that is, hour by hour."""

    spec = Spec(
        name="log_silence",
        title="Log source has gone silent",
        kinds=frozenset({"log"}),
        inputs=("tocsin.source", "@timestamp"),
        techniques=("T1562.001", "T1070"),
        level="high",
        budget=0.2,
        floor=4.5,
        cold=4.5,
        refractory=0,
        calibrated=False,
        parameters={"least age": "2 days", "least improbability": "4.5 (-log10)"},
        description="A source of logs that is usually heard at these hours says nothing.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """What is heard is not silent; see `overdue`."""
        return ()

    def remember(self, observation: Observation, memory: Any) -> Any:
        """Whether this silence was told: forgotten with the next event."""
        return None

    def overdue(self, profile: Profile, at: int, gap: int = 0) -> Anomaly | None:
        """The silence at a full hour `at` (ms), once for each silence; None if it is nothing.

        Hours before `gap` (ms) do not count: nobody said anything then.
        """
        if profile.age(profile.last) < 2 or profile.memories.get("silent") == profile.last:
            return None
        first = max(profile.last, gap) // HOUR + 1
        hours = range(first, min(at // HOUR, first + _LONGEST))
        score = sum(-log10(1 - presence(profile, hour * HOUR)) for hour in hours)
        if score < self.spec.floor:
            return None
        profile.memories = {**profile.memories, "silent": profile.last}
        usual = (
            f"{10 ** profile.volumes['events'].hourly.location:.0f} events an hour"
            if ("events" in profile.volumes)
            else typical_hours(profile)
        )
        return Anomaly(
            self.spec.name,
            score=score,
            at=profile.last,
            what=f"has said nothing for {len(hours)} hours",
            parts=(Part("events", "0 events", usual),),
            confidence=profile.confidence(profile.last),
        )
