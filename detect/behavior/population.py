"""How usual a value is among everybody of a kind, and among peers: the back-off of profiles.

What entities have is counted in days, as in profiles: each entity counts a value once a day. One
population stands for a tenant's entities of a kind in one partition, another for each peer group.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from detect.behavior.detector import DAY
from detect.behavior.profile import FAST_DAYS

_FADE = 0.5 ** (1 / FAST_DAYS)
#: Most values of a feature; least weight that is kept.
MAX_VALUES, _FORGOTTEN = 512, 0.05
#: Strength of the prior: so many days of the wider group stand behind each own history.
STRENGTH = 5.0


@dataclass(slots=True)
class Population:
    """Decayed entity-days by feature and value."""

    day: int = 0
    maps: dict[str, dict[str, float]] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    entities: int = 0

    def roll(self, at: int) -> None:
        """Let the days since the last time fade; `at` is ms."""
        passed = at // DAY - self.day
        if passed <= 0:
            return
        fade = _FADE**passed if self.day else 1.0
        self.day = at // DAY
        for feature, told in self.maps.items():
            kept = {v: round(w * fade, 3) for v, w in told.items() if w * fade > _FORGOTTEN}
            if len(kept) > MAX_VALUES // 2:
                top = sorted(kept, key=lambda value: (-kept[value], value))[: MAX_VALUES // 2]
                kept = {value: kept[value] for value in sorted(top)}
            self.maps[feature] = kept
            self.totals[feature] = round(self.totals.get(feature, 0.0) * fade, 3)

    def add(self, feature: str, value: str) -> None:
        """An entity had that value today."""
        told = self.maps.get(feature)
        if told is None:
            told = self.maps[feature] = {}
        self.totals[feature] = self.totals.get(feature, 0.0) + 1
        if value in told or len(told) < MAX_VALUES:
            told[value] = told.get(value, 0.0) + 1

    def weight(self, feature: str, value: str) -> float:
        """Decayed entity-days of a value."""
        told = self.maps.get(feature)
        return told.get(value, 0.0) if told else 0.0

    def share(self, feature: str, value: str, prior: float) -> float:
        """The probability of a value, backed off to `prior`."""
        total = self.totals.get(feature, 0.0)
        return (self.weight(feature, value) + STRENGTH * prior) / (total + STRENGTH)

    def encode(self) -> str:
        """As a text."""
        maps = {
            feature: {value: round(weight, 3) for value, weight in told.items()}
            for feature, told in self.maps.items()
        }
        totals = {feature: round(total, 3) for feature, total in self.totals.items()}
        return orjson.dumps([self.day, maps, totals, self.entities]).decode()

    @classmethod
    def decode(cls, text: str) -> Population:
        """What `encode` made."""
        body: list[Any] = orjson.loads(text)
        return cls(*body)
