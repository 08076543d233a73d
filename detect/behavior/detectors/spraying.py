"""password_spraying: one address, many accounts, few passwords each, hardly any that works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detect.behavior import sketches
from detect.behavior.detector import HOUR, Anomaly, Part, Spec
from detect.behavior.tails import of_count

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: What is added up: two periods of so many ms, the running one and the one before.
PERIOD = 12 * HOUR
#: Accounts that failed and never succeeded, at least.
LEAST = 8
#: Share of accounts behind one address that fail and do not succeed, usually.
USUAL = 0.08


class PasswordSpraying:
    """Distinct accounts that only fail, against those that succeed from the same address.

    A shared egress has many who mistype, but they succeed from there too; a sprayer's accounts
    do not. Both are sets in 512 bits, so thousands of attempts fit into a profile.
    """

    spec = Spec(
        name="password_spraying",
        title="Password spraying",
        kinds=frozenset({"source"}),
        inputs=("event.category", "event.outcome", "source.ip", "user.name"),
        techniques=("T1110.003",),
        level="high",
        floor=4.0,
        cold=4.0,
        calibrated=False,
        parameters={
            "PERIOD": "12 h; the running period and the one before are added up",
            "LEAST": "8 accounts that failed and never succeeded",
            "USUAL": "0.08 of the accounts behind one address fail only",
        },
        description="One address fails at many accounts, a few times each.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """How unlikely so many failing accounts are for what else comes from the address."""
        failed = observation.values("logon.failure")
        if not failed:
            return
        _, now, before, worked = self.remember(observation, profile.memory(self.spec.name))
        failing = int(now, 16) | int(before, 16)
        only = sketches.size(failing & ~int(worked, 16))
        if only < LEAST:
            return
        successes = sketches.size(int(worked, 16))
        usual = 0.5 + USUAL * successes
        score = of_count(round(only), usual)
        yield Anomaly(
            self.spec.name,
            score,
            observation.last,
            f"failed to sign in to about {only:.0f} accounts that it never signed in to "
            f"(it signed in to about {successes:.0f} others)",
            (
                Part("user.name", f"{only:.0f} accounts only failed", f"{usual:.1f} expected"),
                Part("event.outcome", f"{observation.sum('logon.failures'):.0f} failures"),
            ),
            tuple(observation.samples[:5]),
            {"source.ip": observation.entity.id},
            tactic="credential-access",
        )

    def remember(self, observation: Observation, memory: Any) -> Any:
        """[period, failing accounts now, before, succeeding ones], sets in hexadecimal."""
        failed = observation.values("logon.failure")
        worked = observation.values("logon.success")
        if memory is None and not failed:
            return None  # of most addresses nothing needs to be kept
        period, now, before, good = memory or (0, "0", "0", "0")
        current = observation.start // PERIOD
        if current != period:
            before, now = (now if current == period + 1 else "0"), "0"
            if current > period + 1:
                good = "0"
        return [
            max(current, period),
            f"{sketches.add(int(now, 16), failed):x}",
            before,
            f"{sketches.add(int(good, 16), worked):x}",
        ]
