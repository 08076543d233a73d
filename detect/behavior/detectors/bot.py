"""bot_session: a visitor that no person is, by pace, regularity and what it asks for."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING

from detect.behavior.detector import Anomaly, Part, Plain, Spec
from detect.behavior.observation import OTHER
from detect.behavior.tails import of_count, of_regularity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Requests of one address in a slice under which nobody is judged.
LEAST = 20
#: Requests that a person makes in a slice, generously; a page with its pictures is many at once.
PERSON = 60.0
#: Requests within so many ms are one page.
PAGE = 1_000
#: Share of answers 4xx that people get.
ERRORS = 0.05


class BotSession(Plain):
    """Evidence adds up: more requests than people make, by the clock, for what is not there."""

    spec = Spec(
        name="bot_session",
        title="A bot's session",
        kinds=frozenset({"source"}),
        inputs=("event.category", "source.ip", "url.path", "http.response.status_code"),
        techniques=("T1595", "T1593"),
        level="low",
        floor=4.0,
        cold=15.0,
        parameters={
            "LEAST": "20 requests in ten minutes",
            "PERSON": "60 requests in ten minutes, the mean of a busy person",
            "PAGE": "1 s; requests closer than that are one page",
            "ERRORS": "0.05, the share of answers 4xx that people get",
        },
        description="An address asks for pages steadily, fast, or for very many that do not exist.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """The sum of the evidence in decimal digits; nothing for few requests."""
        requests = observation.sum("requests")
        if requests < LEAST or context.egress(observation.entity.id):
            return
        times = observation.times.get("request", {}).get("", ())
        count, mean, deviation = _intervals(times)
        regular = of_regularity(count, mean, deviation)
        pace = of_count(requests, PERSON)
        errors = sum(n for code, n in observation.values("status").items() if code[:1] == "4")
        missing = of_count(errors, ERRORS * requests + 1)
        paths = observation.counts.get("url.path", {})
        distinct = len(paths) - (OTHER in paths)
        yield Anomaly(
            self.spec.name,
            regular + pace + missing,
            observation.last,
            f"made {requests:.0f} requests in ten minutes, {mean:.1f} s apart within "
            f"{deviation:.1f} s, {errors:.0f} of them refused or not found",
            (
                Part("requests", f"{requests:.0f} in 10 min", f"at most about {PERSON:.0f}"),
                Part("interval", f"{mean:.1f} ± {deviation:.1f} s", "irregular"),
                Part("http.response.status_code", f"{errors:.0f} of 4xx", f"{ERRORS:.0%}"),
                Part("url.path", f"{distinct} distinct at least"),
            ),
            tuple(observation.samples[:5]),
            {"source.ip": observation.entity.id},
            baseline=profile.age(observation.start),
            tactic="reconnaissance",
        )


def _intervals(times: Sequence[int]) -> tuple[int, float, float]:
    """How many intervals between pages, their mean and standard deviation, s."""
    pages: list[int] = []
    for at in times:
        if not pages or at - pages[-1] >= PAGE:
            pages.append(at)
    gaps = [(later - at) / 1000 for at, later in pairwise(pages)]
    if len(gaps) < 2:
        return 0, 0.0, 0.0
    mean = sum(gaps) / len(gaps)
    return len(gaps), mean, sqrt(sum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1))
