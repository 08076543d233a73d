"""Masquerade: somebody else at the keyboard, by what is run.

Self against everybody, as naive Bayes over programs with a guarded update: each program adds the
log-ratio of its probability for everybody to that for the user; one's own profile learns what
surprises it with little weight only (profile.py).
"""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING, Any

from detect.behavior.detector import HOUR, Anomaly, Part, Spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Fewest programs that are judged, and most that are remembered, for at most WITHIN ms.
LEAST_PROGRAMS, REMEMBERED, WITHIN = 4, 12, 4 * HOUR
_MAX_NAME = 32


class Masquerade:
    """What is run in the last hours is less like this user than like anybody."""

    spec = Spec(
        name="masquerade",
        title="Somebody else may be using the account",
        kinds=frozenset({"user"}),
        inputs=("user.name", "process.name", "event.category"),
        techniques=("T1078", "T1036"),
        level="medium",
        budget=0.5,
        floor=0.8,
        cold=4.0,
        parameters={
            "programs": "4 to 12, of the last 4 hours",
            "least confidence": "0.9",
        },
        description="What the account runs is less like its user than like everybody else.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """The mean log-ratio of the last programs, times the root of their number."""
        if "process" not in observation.counts or not profile.maps.get("process"):
            return
        confidence = profile.confidence(observation.start)
        if confidence < 0.9:
            return
        programs = _recent(observation, profile.memory(self.spec.name))
        if len(programs) < LEAST_PROGRAMS:
            return
        total = profile.total("process")
        told: list[tuple[float, str]] = []
        for program in programs:
            everybody = context.rarity("process", program).population
            own = (profile.weight("process", program) + 0.5 * everybody) / (total + 0.5)
            told.append((log10(max(everybody, 1e-3) / max(own, 1e-4)), program))
        score = sum(ratio for ratio, _ in told) / len(told) ** 0.5
        told.sort(reverse=True)
        odd = ", ".join(program for _, program in told[:3])
        yield Anomaly(
            self.spec.name,
            score=max(0.0, score),
            at=observation.first,
            what=f"ran programs that are not the user's ({odd})",
            parts=(Part("process.name", odd, ", ".join(profile.typical("process"))),),
            samples=tuple(
                sample
                for _, program in told[:3]
                if (sample := observation.sample("process", program)) is not None
            ),
            baseline=total,
            confidence=confidence,
        )

    def remember(self, observation: Observation, memory: Any) -> Any:
        """When, and the last programs."""
        if "process" not in observation.counts:
            return memory
        return [observation.start, _recent(observation, memory)]


def _recent(observation: Observation, memory: Any) -> list[str]:
    """The last different programs, the newest first."""
    now = [program[:_MAX_NAME] for program in sorted(observation.values("process"))]
    if memory is None or observation.start - memory[0] > WITHIN:
        return now[:REMEMBERED]
    return [*now, *(each for each in memory[1] if each not in now)][:REMEMBERED]
