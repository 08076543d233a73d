"""Deciding on one finished slice of one entity: scores, calibration, findings, then learning.

Slices come in one order, by time and entity, whatever order observations came in; so everything
here is a function of the set of observations.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from detect.behavior import risk
from detect.behavior.calibrate import TOLD, Calibration, verdict_of
from detect.behavior.detector import DAY, Anomaly, Part, Spec
from detect.behavior.detectors.silence import LogSilence
from detect.behavior.explain import FIELD, finding, rule_of
from detect.behavior.models.asking import Asking, ModelMemory, compare
from detect.behavior.models.days import DAY_OF_USER, added
from detect.behavior.observation import OTHER
from detect.behavior.profile import LEARNED, acted, hour_of_week
from detect.behavior.surroundings import context, egress_of, hour_rarity, rarity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from detect.behavior.detector import Detector
    from detect.behavior.observation import Entity, Observation, Sample
    from detect.behavior.options import Options
    from detect.behavior.population import Population
    from detect.behavior.profile import Profile
    from tocsin.contracts import Finding, Rule

#: -log10 p from which on a value new to the entity is learned with little weight only, and the
#: same for an hour of the week.
GUARD, GUARD_HOUR = 2.0, 3.2
#: How long nothing is learned of an entity after a finding of a serious level, ms; and the most
#: bytes of a detector's memory.
INCIDENT, MAX_MEMORY = DAY, 600
_SERIOUS = frozenset({"high", "critical"})

#: The risk of an entity is told by a detector of its own.
RISK = Spec(
    name="entity_risk",
    title="Risk of an entity has built up",
    kinds=frozenset(FIELD),
    inputs=("findings of all detectors and rules",),
    techniques=(),
    level="high",
    budget=0.5,
    floor=4.0,
    cold=12.0,
    parameters={"half-life": "48 h", "cap of one anomaly": "6 (-log10 p)"},
    description="What was unusual about an entity, and what rules found, adds up and decays.",
)


@dataclass(slots=True)
class Scene:
    """What one decision works with: the entity's profile, everybody of its kind, its peers."""

    profile: Profile
    population: Population
    peers: Population | None
    models: ModelMemory = field(default_factory=ModelMemory)


class Decider:
    """Decides with these detectors; what it remembers is given to it."""

    def __init__(self, detectors: Sequence[Detector], options: Options) -> None:
        self.options = options
        wanted = [each for each in detectors if each.spec.name not in options.disable]
        self._by_kind: dict[str, list[tuple[Detector, Spec]]] = {}
        for each in wanted:
            for kind in sorted(each.spec.kinds):
                self._by_kind.setdefault(kind, []).append((each, each.spec))
        specs = [each.spec for each in wanted]
        if RISK.name not in options.disable:
            specs.append(RISK)
        self.specs: dict[str, Spec] = {spec.name: spec for spec in specs}
        self.rules: dict[str, Rule] = {spec.name: rule_of(spec) for spec in specs}
        self._egress = egress_of(options.egress)
        #: What looks at sources of logs that say nothing.
        self.silence = next((each for each in wanted if isinstance(each, LogSilence)), None)

    def decide(
        self, observation: Observation, scene: Scene, calibrations: Callable[[str], Calibration]
    ) -> Iterator[Finding]:
        """The findings of a slice; the scene and the calibrations have learned from it then."""
        profile, start = scene.profile, observation.start
        scores: dict[str, float] = {}
        asking = Asking(self.options.model, scene.models, start)
        around = context(
            observation,
            profile,
            scene.population,
            scene.peers,
            egress=self._egress,
            model=asking,
            scores=scores,
            lateness=self.options.lateness,
        )
        told: list[tuple[Anomaly, float]] = []
        memories: dict[str, Any] = {}
        before = profile.risk
        for detector, spec in self._by_kind.get(observation.entity.kind, ()):
            asking.asked.clear()
            anomalies = list(detector.score(observation, profile, around))
            if asking.asked:
                compare(
                    *(detector, anomalies, observation, profile, around),
                    *(self.options, scene.models),
                )
            if anomalies:
                most = max(anomalies, key=lambda each: each.score)
                found = self.weigh(spec, most, observation.entity, profile, calibrations, start)
                told += found
                scores[spec.name] = most.score
                asking.told(spec.name, found)
            memory = detector.remember(observation, profile.memories.get(spec.name))
            if memory is not None and len(orjson.dumps(memory)) <= MAX_MEMORY:
                memories[spec.name] = memory
        told += self._risk(observation, profile, before, calibrations)
        for anomaly, surprise in told:
            yield self.made(anomaly, observation.entity, start, profile, surprise, observation)
        frozen = profile.frozen > start
        if observation.entity.kind == "user":
            was = profile.memory(DAY_OF_USER)
            day = memories[DAY_OF_USER] = added(was, observation, scores)
            if was is not None and was[0] != day[0]:
                scene.models.days.finish(observation.entity.key, was, open=frozen)
        self._learn(observation, scene, learn=not frozen)
        profile.memories = memories
        if any(self.specs[each.detector].level in _SERIOUS for each, _ in told):
            profile.frozen = max(profile.frozen, start + INCIDENT)

    def weigh(
        self,
        spec: Spec,
        anomaly: Anomaly,
        entity: Entity,
        profile: Profile,
        calibrations: Callable[[str], Calibration],
        start: int,
    ) -> list[tuple[Anomaly, float]]:
        """The anomaly with its surprise if it is to be told; it counts for the entity's risk."""
        calibration = calibrations(spec.name)
        calibration.roll(start, profile.born)
        quiet = profile.quiet.get(spec.name, 0) > start
        budget = self.options.budgets.get(spec.name, spec.budget) * self.options.share
        passes, surprise = verdict_of(spec, calibration, anomaly.score, budget, entity.key)
        # An incident must not set the bar for the next one: it counts once, when it is told.
        first = profile.quiet.get(spec.name, 0) + TOLD <= start
        if first:
            calibration.add(anomaly.score, entity.key)
        if anomaly.score >= spec.floor and spec is not RISK:
            amount = risk.worth(surprise) * max(anomaly.confidence, 0.2)
            if amount > 0:
                profile.risk = risk.add(profile.risk, start, amount, spec.name)
        if not passes or (quiet and not calibration.grown(anomaly.score, entity.key, spec.again)):
            return []
        if any(each.covers(spec.name, entity.id, start) for each in self.options.suppress):
            calibration.withheld += 1
            return []
        profile.quiet[spec.name] = start + spec.refractory
        calibration.tell(anomaly.score, entity.key, first=first)
        return [(anomaly, surprise)]

    def _risk(
        self,
        observation: Observation,
        profile: Profile,
        before: dict[str, Any],
        calibrations: Callable[[str], Calibration],
    ) -> list[tuple[Anomaly, float]]:
        """The risk, if this slice has added to it and it comes from more than one thing."""
        for name, severity in observation.findings():
            amount = risk.worth_of_severity(int(severity))
            profile.risk = risk.add(profile.risk, observation.start, amount, name)
        if profile.risk is before or RISK.name not in self.specs:
            return []
        parts = profile.risk["p"]
        anomaly = Anomaly(
            RISK.name,
            score=risk.value(profile.risk, observation.start),
            at=observation.last,
            what=f"has gathered risk from {_listed([name for name, _, _ in parts])}",
            parts=tuple(Part(name, f"{worth:.1f}") for name, worth, _ in parts),
            confidence=1.0 if len(parts) > 1 else 0.4,
        )
        if len(parts) < 2:
            return []
        return self.weigh(
            RISK, anomaly, observation.entity, profile, calibrations, observation.start
        )

    def made(
        self,
        anomaly: Anomaly,
        entity: Entity,
        start: int,
        profile: Profile,
        surprise: float,
        observation: Observation | None = None,
    ) -> Finding:
        """The finding, with the events behind it."""
        samples: tuple[Sample, ...] = anomaly.samples
        if not samples and observation is not None:
            samples = tuple(observation.samples[:5])
        if not samples and profile.sample is not None:
            samples = (profile.sample,)
        if not anomaly.baseline:
            anomaly = replace(anomaly, baseline=float(profile.days))
        return finding(
            self.rules[anomaly.detector],
            anomaly,
            entity,
            start,
            samples,
            surprise=surprise,
            risk=risk.value(profile.risk, start),
        )

    def _learn(self, observation: Observation, scene: Scene, *, learn: bool) -> None:
        profile, population = scene.profile, scene.population
        unusual = unusual_of(observation, scene)
        for feature, value in profile.update(observation, unusual, learn=learn):
            population.add(feature, value)
            if scene.peers is not None:
                scene.peers.add(feature, value)


def unusual_of(observation: Observation, scene: Scene) -> frozenset[tuple[str, str]]:
    """What is to be learned slowly: new to the entity, and rare enough to surprise."""
    profile, start = scene.profile, observation.start
    if profile.confidence(start) < 0.5:
        return frozenset()
    found: list[tuple[str, str]] = []
    for feature, told in observation.counts.items():
        if feature not in LEARNED:
            continue
        known = profile.maps.get(feature, {})
        for value in told:
            if value != OTHER and (value not in known or known[value][0] < 1.0):
                around = (profile, scene.population, scene.peers, feature, value, start)
                rare = rarity(*around, fresh=True)
                if rare.surprise >= GUARD:
                    found.append((feature, value))
    if acted(observation) and profile.hours[hour_of_week(start)] < 1.0:
        hour = hour_rarity(profile, scene.population, scene.peers, start)
        if hour.surprise >= GUARD_HOUR:
            found.append(("hour", str(hour_of_week(start))))
    return frozenset(found)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
