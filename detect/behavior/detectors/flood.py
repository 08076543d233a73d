"""request_flood: a service gets more requests than the season says."""

from __future__ import annotations

from math import log2
from typing import TYPE_CHECKING, Any

from detect.behavior.detector import HOUR, Anomaly, Part, Spec
from detect.behavior.observation import OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Requests in a slice that no service minds.
LEAST = 100
#: Share of a slice in the forecast of its hour; a slice counts at most so many times the forecast.
SHARE, PULL = 0.08, 3.0
#: Requests that forecast and slice are thought to have more: a quiet night is no season.
FEW = 25
#: Days after which the hours of the day are known.
KNOWN = 2.0

#: Forecasts by hour of the day (UTC), requests in a slice; the last is of any hour.
Season = list[float]


class RequestFlood:
    """Requests in a slice against a forecast for the hour of the day; what floods teaches little.

    The forecast is an exponentially weighted mean for each hour, and over all hours until two days
    are known; weekdays are not told apart, so the spread allows for them.
    """

    spec = Spec(
        name="request_flood",
        title="Request flood",
        kinds=frozenset({"service"}),
        inputs=("event.category", "service.name", "source.ip", "http.response.status_code"),
        techniques=("T1498", "T1499.002"),
        level="high",
        budget=0.5,
        floor=1.5,
        cold=4.0,
        again=1.0,
        refractory=2 * HOUR,
        parameters={
            "LEAST": "100 requests in ten minutes",
            "SHARE": "0.08 of a slice goes into the forecast of its hour",
            "PULL": "3 times the forecast is the most that a slice counts",
            "score": "how often the forecast was doubled; told again after one more",
        },
        description="A service gets many more requests than at that hour of the day.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """How many doublings of the forecast the slice is."""
        requests = observation.sum("requests")
        if requests < LEAST:
            return
        expected = _forecast(profile.memory(self.spec.name), profile, observation.start)
        sources = observation.counts.get("source.ip", {})
        errors = sum(n for code, n in observation.values("status").items() if code[:1] == "5")
        yield Anomaly(
            self.spec.name,
            max(0.0, log2((requests + FEW) / (expected + FEW))),
            observation.last,
            f"got {requests:.0f} requests in ten minutes where about {expected:.0f} are usual "
            "at that hour",
            (
                Part("requests", f"{requests:.0f} in 10 min", f"{expected:.0f}"),
                Part("source.ip", f"{len(sources) - (OTHER in sources)} distinct at least"),
                Part("http.response.status_code", f"{errors:.0f} of 5xx"),
            ),
            tuple(observation.samples[:5]),
            {"service.name": observation.entity.id},
            baseline=profile.age(observation.start),
            confidence=min(1.0, profile.age(observation.start) / 7),
            tactic="impact",
        )

    def remember(self, observation: Observation, memory: Any) -> Any:
        """The season; a slice counts at most PULL times what was expected."""
        requests = observation.sum("requests")
        if not requests and memory is None:
            return None
        season: Season = list(memory or [-1.0] * 24 + [-1.0])
        hour = observation.start // HOUR % 24
        for index in (hour, 24):
            known = season[index]
            if known < 0:
                most = PULL * season[24] if season[24] > 0 else LEAST
                season[index] = round(min(requests, most), 1)
            else:
                told = min(requests, PULL * max(known, 5.0))
                season[index] = round(known + SHARE * (told - known), 1)
        return season


def _forecast(memory: Any, profile: Profile, at: int) -> float:
    if memory is None:
        return float(LEAST) / 2
    hour = memory[at // HOUR % 24]
    if hour < 0 or profile.age(at) < KNOWN:
        return float(max(hour, memory[24], LEAST / 2))
    return float(max(hour, 1.0))
