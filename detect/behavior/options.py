"""What a site says about behaviour: which detectors, how many alerts a day, what is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Suppression:
    """Nothing is told of these until `until` (ms of event time); "" stands for any."""

    detector: str
    entity: str
    until: int
    reason: str = ""

    def covers(self, detector: str, entity: str, at: int) -> bool:
        """Whether a finding at `at` (ms) is suppressed."""
        return (
            at < self.until
            and self.detector in ("", detector)
            and self.entity.casefold() in ("", entity)
        )


def _no_model(name: str) -> Any:
    return None


@dataclass(frozen=True, slots=True)
class Options:
    """`budgets` are alerts a day by detector, over everything; `share` is what part of
    everything one partition is. `egress` are the site's own networks. `model` gives the model in
    force, `shadow` the candidate that scores beside it. `lateness` in ms.
    """

    disable: frozenset[str] = frozenset()
    budgets: Mapping[str, float] = field(default_factory=dict)
    egress: tuple[str, ...] = ()
    suppress: tuple[Suppression, ...] = ()
    share: float = 1.0
    lateness: int = 600_000
    max_entities: int = 250_000
    model: Callable[[str], Any] = _no_model
    shadow: Callable[[str], Any] = _no_model
