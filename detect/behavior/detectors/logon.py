"""Guessing: far more failed logons than usual, and a success behind many failures."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING, Any

from detect.behavior.detector import HOUR, Anomaly, Part, Plain, Spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Fewest failures in a slice that are looked at.
LEAST = 5
#: Failures of one account from one address before a success, within the time (ms).
GUESSES, WITHIN = 8, HOUR
_MAX_PAIRS = 8


class FailedLogons(Plain):
    """Failures of a user, compared with the user's own hours."""

    spec = Spec(
        name="auth_high_count_logon_fails",
        title="Unusually many failed logons",
        kinds=frozenset({"user"}),
        inputs=("user.name", "source.ip", "event.category", "event.outcome"),
        techniques=("T1110",),
        level="medium",
        budget=0.5,
        floor=2.0,
        cold=6.0,
        parameters={"least failures": "5 in an hour", "scale": "robust, at least 0.1 (log10)"},
        description="Far more failed logons in an hour than the user ever has.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """How many scales above the user's own hours, at least those of a careful user."""
        failed = observation.sum("logon.failures")
        if not failed:
            return
        volume = profile.volumes.get("logon.failures")
        hour = volume.now(observation.start, failed)[0] if volume is not None else failed
        usual = volume.hourly.location if volume is not None and volume.hourly.count else log10(2)
        scale = max(volume.hourly.scale if volume is not None else 0.3, 0.2)
        score = (log10(1 + hour) - max(usual, log10(2))) / min(scale, 0.5)
        if hour < LEAST:
            score = min(score, self.spec.floor / 2)
        sources = observation.values("logon.failure")
        most = max(sources, key=lambda each: (sources[each], each), default="")
        yield Anomaly(
            self.spec.name,
            score=score,
            at=observation.first,
            what=f"failed to sign in {hour:.0f} times in an hour",
            parts=(
                Part("failures in an hour", f"{hour:.0f}", f"{10**usual - 1:.0f}"),
                Part(
                    "source.ip", f"{most} and {len(sources) - 1} more" if len(sources) > 1 else most
                ),
            ),
            confidence=max(0.5, profile.confidence(observation.start)),
        )


class BruteForce:
    """A success behind many failures of the same account from the same address."""

    spec = Spec(
        name="brute_force_success",
        title="Guessed password: success after many failures",
        kinds=frozenset({"user"}),
        inputs=("user.name", "source.ip", "event.category", "event.outcome"),
        techniques=("T1110.001", "T1078"),
        level="high",
        budget=0.3,
        floor=float(GUESSES),
        cold=float(GUESSES),
        calibrated=False,
        parameters={"failures": f"{GUESSES}", "within": "1 h"},
        description="Signs in after many failures from the same address within an hour.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """The failures before the success."""
        succeeded = observation.times.get("logon.success")
        if not succeeded:
            return
        kept = profile.memory(self.spec.name) or {}
        failed = observation.times.get("logon.failure", {})
        for address in sorted(succeeded):
            at = max(succeeded[address])
            now = sum(1 for each in failed.get(address, ()) if each <= at)
            before, until = kept.get(address, (0, 0))
            count = now + (before if at <= until else 0)
            if count >= GUESSES and profile.weight("source.ip", address) < 2.0:
                sample = observation.sample("logon.success", address)
                yield Anomaly(
                    self.spec.name,
                    score=float(count),
                    at=at,
                    what=f"signed in from {address} after {count} failures there",
                    parts=(Part("failures before", str(count), "at most one or two"),),
                    samples=(sample,) if sample else (),
                    fields={"source.ip": address},
                )

    def remember(self, observation: Observation, memory: Any) -> Any:
        """Failures by address, until when they count."""
        start = observation.start
        kept = {a: told for a, told in (memory or {}).items() if told[1] > start}
        for address, count in observation.values("logon.failure").items():
            before = kept.get(address, (0, 0))[0]
            kept[address] = (before + int(count), observation.last + WITHIN)
        for address in observation.values("logon.success"):
            kept.pop(address, None)
        most = sorted(kept, key=lambda each: (-kept[each][0], each))[:_MAX_PAIRS]
        return {each: list(kept[each]) for each in most} or None
