"""What a detector is: a pure function from an observation and a profile to anomalies."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log10
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from detect.behavior.observation import Observation, Sample
    from detect.behavior.profile import Profile

#: An hour and a day, ms.
HOUR, DAY = 3_600_000, 86_400_000

Level = Literal["informational", "low", "medium", "high", "critical"]


@dataclass(frozen=True, slots=True)
class Spec:
    """What is known of a detector before it has seen anything.

    `kinds` are the entities it scores, `inputs` the ECS fields it needs, `techniques` of ATT&CK
    (`T1078.004`). `budget` is how many alerts a day it may make over everything watched, unless
    the configuration says otherwise; `floor` the score under which nothing is ever told, however
    much budget is left; `cold` the score that is told before the detector knows how its own
    scores are spread. `refractory` (ms): how long it says nothing again of the same entity,
    unless the score has grown by `again` (0: never).
    `calibrated` False means that scores are not rarefied to the budget: whatever passes the
    floor is told (physical impossibilities). `parameters` name the numbers that it works with,
    each with its unit, for the documentation and `tocsin behavior status`.
    """

    name: str
    title: str
    kinds: frozenset[str]
    inputs: tuple[str, ...]
    techniques: tuple[str, ...]
    level: Level = "medium"
    budget: float = 1.0
    floor: float = 2.0
    cold: float = 6.0
    refractory: int = DAY
    again: float = 0.0
    calibrated: bool = True
    parameters: Mapping[str, str] = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True, slots=True)
class Rarity:
    """How usual a value is: probabilities of the entity itself, its peers and everybody.

    `p` is the probability with Dirichlet back-off, `baseline` the days of own history (decayed),
    `confidence` 0 to 1 (low below 20 events or 7 days), `known` whether the entity had it before.
    """

    own: float
    peer: float
    population: float
    p: float
    baseline: float
    confidence: float
    known: bool

    @property
    def surprise(self) -> float:
        """-log10 p."""
        return -log10(max(self.p, 1e-12))


@dataclass(frozen=True, slots=True)
class Part:
    """One feature of an explanation: what it is now, and what it usually is, both for people."""

    feature: str
    actual: str
    typical: str = ""
    own: float | None = None
    peer: float | None = None
    population: float | None = None


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something unusual of the entity observed.

    `score` grows with how unusual it is: -log10 p, or anything that calibration can rank. `what`
    is the sentence's beginning, read behind the entity ("signed in from 203.0.113.9 (DE)").
    `at` is ms; `samples` the events behind it (without any the observation's own are taken);
    `fields` ECS fields that become the alert's (deduplication: with the entity's own field).
    `baseline` and `confidence` as in Rarity; `model` the model and its version, or "profile".
    """

    detector: str
    score: float
    at: int
    what: str
    parts: tuple[Part, ...] = ()
    samples: tuple[Sample, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    baseline: float = 0.0
    confidence: float = 1.0
    model: str = "profile"
    tactic: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a detector may look at beside the observation and the profile.

    `rarity(feature, value)` asks about this entity's value; `egress(address)` whether it is one
    of our own known egress addresses; `seen(feature, value)` how many of our entities of this
    kind had that value lately (decayed days); `model(name)` the model in force or None;
    `lateness` in ms. `scores` are those that the detectors before this one have given the slice.
    """

    rarity: Callable[[str, str], Rarity]
    egress: Callable[[str], bool]
    seen: Callable[[str, str], float]
    model: Callable[[str], Any]
    lateness: int = 600_000
    scores: Mapping[str, float] = field(default_factory=dict)


class Detector(Protocol):
    """A detector; stateless. What it must remember of an entity goes through `remember`."""

    @property
    def spec(self) -> Spec: ...

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """What is unusual about a finished slice, before the profile has learned from it.

        An anomaly is told only where it passes the budget, but every score counts for the
        calibration: give the most unusual one of the slice, even where it is low.
        """
        ...

    def remember(self, observation: Observation, memory: Any) -> Any:
        """The detector's own memory of the entity after this slice; None for none.

        `memory` is plain JSON (`profile.memory(name)`), None at first, treated as immutable, at
        most 600 bytes as JSON. Pure; called after `score` on every slice of its kinds.
        """
        ...


class Plain:
    """Base of detectors that remember nothing."""

    def remember(self, observation: Observation, memory: Any) -> Any:
        """Nothing."""
        return None
