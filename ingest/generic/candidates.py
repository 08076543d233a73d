"""What the fields of one log offer: values for targets, each with a score."""

from __future__ import annotations

from typing import Any

#: (score, value)
Candidate = tuple[int, Any]

#: Most candidates of one target that are kept, the best ones.
MAX_CANDIDATES = 32


class Candidates:
    """What the fields of one log offer."""

    __slots__ = ("addresses", "by_target")

    def __init__(self) -> None:
        self.by_target: dict[str, list[Candidate]] = {}
        #: Every address that was seen, in order.
        self.addresses: dict[str, None] = {}

    def offer(self, target: str, score: int, value: Any) -> None:
        """Add a candidate."""
        known = self.by_target.get(target)
        if known is None:
            self.by_target[target] = [(score, value)]
        elif len(known) < MAX_CANDIDATES:
            known.append((score, value))
        elif score > (worst := min(known, key=_score))[0]:
            known[known.index(worst)] = (score, value)

    def take(self, target: str) -> list[Candidate]:
        """The candidates of a target, the best first, which are then gone."""
        found = self.by_target.pop(target, None)
        if found is None:
            return []
        if len(found) > 1:
            found.sort(key=_score, reverse=True)
        return found

    def best(self, target: str) -> Any:
        """The value of the best candidate, None if there is none."""
        found = self.by_target.get(target)
        return max(found, key=_score)[1] if found else None

    def has_user(self) -> bool:
        """True if somebody is named."""
        return any(name in self.by_target for name in ("user", "user.name", "user.email"))

    def has(self, target: str, score: int = 0) -> bool:
        """True if a candidate of at least `score` is there."""
        return any(worth >= score for worth, _ in self.by_target.get(target, ()))


def _score(candidate: Candidate) -> int:
    return candidate[0]
