"""A circuit breaker per connector: a product that does not answer is left alone for a while.

Pure: the clock is an argument. While it is open, effects fail at once with the time to wait, and
their runs try again later; undoing is never held back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.contracts import Failure

if TYPE_CHECKING:
    from playbooks.act_model import Outcome

#: Failures in a row that open it, and for how long, ms.
THRESHOLD = 5
COOL_DOWN = 30_000

#: Kinds that say something of the product as a whole, not of one call.
_COUNTED = frozenset({"timeout", "unavailable", "http_5xx"})


class Breaker:
    """State of one connector; lost at a restart, which then costs a few calls to learn again."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failures = 0
        self._open_until = 0
        self._kind = "unavailable"

    def refusal(self, now: int) -> Failure | None:
        """Why no call may be made now; None lets it pass."""
        if now >= self._open_until:
            return None
        wait = self._open_until - now
        reason = "asked for a pause" if self._kind == "rate_limited" else "does not answer"
        message = f"{self._name} {reason}; no call is made for {wait / 1000:.1f} s"
        return Failure(kind=self._kind, message=message, retry_after=wait)

    def note(self, outcome: Outcome, now: int) -> None:
        """Learn from a call that ended. After a pause the first failure opens it again."""
        failure = outcome.failure
        if failure is None:
            self._failures = 0
        elif failure.kind == "rate_limited":
            self._open("rate_limited", now + (failure.retry_after or 0))
        elif failure.kind in _COUNTED:
            self._failures += 1
            if self._failures >= THRESHOLD:
                self._open("unavailable", now + COOL_DOWN)

    def _open(self, kind: str, until: int) -> None:
        if until >= self._open_until:
            self._kind, self._open_until = kind, until
