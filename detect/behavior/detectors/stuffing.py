"""credential_stuffing: a service where suddenly very many different accounts fail, once each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detect.behavior.detector import DAY, HOUR, Anomaly, Part, Spec
from detect.behavior.observation import OTHER, SLICE
from detect.behavior.tails import decayed, of_count

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Failures of a slice, distinct accounts and addresses among them, at least.
LEAST_FAILURES, LEAST_USERS, LEAST_ADDRESSES = 15, 10, 5
#: Half-life of the usual rate, ms.
HALF_LIFE = 3 * DAY
#: A slice raises the usual rate at most to this many times itself (guarded update).
PULL = 3.0


class CredentialStuffing:
    """Failures of a service in a slice against its usual rate, where they are spread widely."""

    spec = Spec(
        name="credential_stuffing",
        title="Credential stuffing",
        kinds=frozenset({"service"}),
        inputs=("event.category", "event.outcome", "source.ip", "user.name", "service.name"),
        techniques=("T1110.004",),
        level="high",
        floor=5.0,
        cold=5.0,
        calibrated=False,
        refractory=2 * HOUR,
        parameters={
            "SLICE": "10 min; failures of one slice are judged",
            "LEAST_FAILURES": "15 failures",
            "LEAST_USERS": "10 distinct accounts",
            "LEAST_ADDRESSES": "5 distinct addresses",
            "HALF_LIFE": "3 days, of the usual rate of failures",
        },
        description="Many accounts of a service fail from many addresses, hardly one twice.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """How unlikely so many failures are at the usual rate; nothing where few are involved."""
        failures = observation.sum("logon.failures")
        users, addresses = (
            _distinct(observation, "user.failure"),
            _distinct(observation, "logon.failure"),
        )
        if failures < LEAST_FAILURES or users < LEAST_USERS or addresses < LEAST_ADDRESSES:
            return
        worked = _distinct(observation, "user.success")
        usual = self._usual(profile.memory(self.spec.name), observation.start)
        # Mistyping grows with the number of people: one in five of those who succeed.
        expected = max(2 * usual, 1.0, 0.2 * worked)
        score = of_count(failures, expected)
        yield Anomaly(
            self.spec.name,
            score,
            observation.last,
            f"saw {failures:.0f} failed sign-ins of {users}+ accounts from {addresses}+ addresses "
            f"in ten minutes; about {usual:.1f} are usual",
            (
                Part("event.outcome", f"{failures:.0f} failures", f"{usual:.1f}"),
                Part("user.name", f"{users} distinct at least", f"{worked} succeeded"),
                Part("source.ip", f"{addresses} distinct at least"),
            ),
            tuple(observation.samples[:5]),
            {"service.name": observation.entity.id},
            baseline=profile.age(observation.start),
            confidence=profile.confidence(observation.start),
            tactic="credential-access",
        )

    def remember(self, observation: Observation, memory: Any) -> Any:
        """[start of the last slice, failures a slice usually has]; guarded and decayed."""
        usual = self._usual(memory, observation.start)
        told = min(observation.sum("logon.failures"), PULL * max(usual, 1.0))
        share = 1 - decayed(1.0, SLICE, HALF_LIFE / 4)
        return [observation.start, round(usual + share * (told - usual), 4)]

    @staticmethod
    def _usual(memory: Any, at: int) -> float:
        if memory is None:
            return 1.0
        last, usual = memory
        return decayed(float(usual), at - int(last) - SLICE, HALF_LIFE)


def _distinct(observation: Observation, feature: str) -> int:
    told = observation.counts.get(feature, {})
    return len(told) - (OTHER in told)
