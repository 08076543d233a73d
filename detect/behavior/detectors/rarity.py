"""Values that an entity has seldom or never had: self against peers against everybody.

One class for all: what differs is the feature, how it is told, and when it is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from detect.behavior.detector import Anomaly, Part, Plain, Spec
from detect.behavior.profile import hour_of_week, typical_hours

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Least confidence in a profile that anything is compared with: four events in half a week.
LEAST_CONFIDENCE = 0.4
#: -log10 p from which on a further value adds to the surprise.
SURPRISING = 2.0
_USER, _HOST, _KEY = frozenset({"user"}), frozenset({"host"}), frozenset({"key"})
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_PARAMETERS = {
    "strength of the prior": "5 days",
    "half-life": "14 days",
    "least confidence": "0.4 (share of 20 events and 7 days)",
}


@dataclass(frozen=True, slots=True)
class RareValue(Plain):
    """The rarest value of a feature in the slice; `told` makes the sentence of a value.

    `field` is the ECS field that the value becomes in the alert; `of_egress` False leaves out
    what comes from the site's own egress; `added` is the share that further surprising values
    of the slice add: who looks around does many things for the first time at once.
    """

    spec: Spec
    feature: str
    told: str
    field: str = ""
    of_egress: bool = True
    added: float = 0.0

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """-log10 of the probability of the rarest value, weighted by what is known."""
        told = observation.counts.get(self.feature)
        if not told:
            return
        confidence = profile.confidence(observation.start)
        if confidence < LEAST_CONFIDENCE or not profile.maps.get(self.feature):
            return
        if not self.of_egress and _only_egress(observation, context):
            return
        best, best_score = "", -1.0
        further = 0.0
        for value in observation.values(self.feature):
            rare = context.rarity(self.feature, value)
            further += rare.surprise if rare.surprise >= SURPRISING else 0.0
            if rare.surprise > best_score:
                best, best_score = value, rare.surprise
        if not best:
            return
        if best_score >= SURPRISING:
            best_score += self.added * (further - best_score)
        rare = context.rarity(self.feature, best)
        sample = observation.sample(self.feature, best)
        yield Anomaly(
            self.spec.name,
            score=best_score,
            at=sample.at if sample else observation.first,
            what=self.told.format(best),
            parts=(
                Part(
                    self.field or self.feature,
                    best,
                    ", ".join(profile.typical(self.feature)),
                    rare.own,
                    rare.peer,
                    rare.population,
                ),
            ),
            samples=(sample,) if sample else (),
            fields={self.field: best} if self.field else {},
            baseline=rare.baseline,
            confidence=confidence,
        )


def _only_egress(observation: Observation, context: Context) -> bool:
    addresses = observation.values("source.ip")
    return bool(addresses) and all(context.egress(each) for each in addresses)


class RareHour(Plain):
    """An hour of the week at which the user never signs in."""

    spec = Spec(
        name="auth_rare_hour_for_a_user",
        title="Logon at an unusual hour for the user",
        kinds=_USER,
        inputs=("user.name", "event.category", "event.outcome", "@timestamp"),
        techniques=("T1078",),
        level="low",
        budget=1.0,
        floor=2.5,
        cold=4.5,
        parameters={**_PARAMETERS, "smoothing": "+-3 hours, other days' same hour 50 %"},
        description="Signs in at an hour of the week at which the user and others hardly do.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """-log10 of the hour's probability, weighted by what is known."""
        confidence = profile.confidence(observation.start)
        if "logon.success" not in observation.counts or confidence < LEAST_CONFIDENCE:
            return
        rare = context.rarity("hour", "")
        hour = hour_of_week(observation.start)
        yield Anomaly(
            self.spec.name,
            score=rare.surprise,
            at=observation.first,
            what=f"signed in at {hour % 24:02}:00 UTC on a {_DAYS[hour // 24]}",
            parts=(
                Part(
                    "@timestamp",
                    f"{_DAYS[hour // 24]} {hour % 24:02} h UTC",
                    typical_hours(profile),
                    rare.own,
                    None,
                    rare.population,
                ),
            ),
            baseline=rare.baseline,
            confidence=confidence,
        )


def _spec(
    name: str,
    title: str,
    kinds: frozenset[str],
    inputs: tuple[str, ...],
    techniques: tuple[str, ...],
    *,
    budget: float = 1.0,
    floor: float = 2.3,
    level: str = "medium",
) -> Spec:
    return Spec(
        name=name,
        title=title,
        kinds=kinds,
        inputs=inputs,
        techniques=techniques,
        level=level,  # type: ignore[arg-type]
        budget=budget,
        floor=floor,
        cold=5.0,
        parameters=_PARAMETERS,
        description=f"{title}: own history, backed off to peers and to everybody.",
    )


_LOGON = ("user.name", "event.category", "event.outcome")

RARE = (
    RareValue(
        _spec(
            "auth_rare_source_ip_for_a_user",
            "Logon from an unusual address for the user",
            _USER,
            (*_LOGON, "source.ip"),
            ("T1078",),
            level="low",
        ),
        "source.ip",
        "signed in from {}",
        "source.ip",
        of_egress=False,
    ),
    RareValue(
        _spec(
            "auth_rare_country_for_a_user",
            "Logon from an unusual country for the user",
            _USER,
            (*_LOGON, "source.geo.country_iso_code"),
            ("T1078",),
            budget=2.0,
        ),
        "source.geo.country",
        "signed in from the country {}",
        "source.geo.country_iso_code",
        of_egress=False,
    ),
    RareValue(
        _spec(
            "auth_rare_asn_for_a_user",
            "Logon from an unusual network for the user",
            _USER,
            (*_LOGON, "source.as.number"),
            ("T1078",),
            budget=1.5,
            level="low",
        ),
        "source.as",
        "signed in from the network {}",
        of_egress=False,
    ),
    RareValue(
        _spec(
            "auth_rare_device_for_a_user",
            "Logon with an unusual device for the user",
            _USER,
            (*_LOGON, "device.id", "user_agent.original"),
            ("T1078",),
            level="low",
        ),
        "device",
        "signed in with the device {}",
    ),
    RareValue(
        _spec(
            "auth_rare_host_for_a_user",
            "Logon to an unusual host for the user",
            _USER,
            (*_LOGON, "host.name"),
            ("T1021",),
            level="low",
        ),
        "host",
        "signed in to {}",
        "host.name",
    ),
    RareValue(
        _spec(
            "rare_process_for_a_host",
            "Unusual process for the host",
            _HOST,
            ("host.name", "process.name", "event.category"),
            ("T1059", "T1204"),
        ),
        "process",
        "ran {}",
        "process.name",
    ),
    RareValue(
        _spec(
            "rare_parent_process_for_a_host",
            "Unusual parent of a process for the host",
            _HOST,
            ("host.name", "process.name", "process.parent.name"),
            ("T1059", "T1055"),
            budget=0.5,
        ),
        "process.parent",
        "ran {}",
    ),
    RareValue(
        _spec(
            "rare_process_for_a_user",
            "Unusual process for the user",
            _USER,
            ("user.name", "process.name", "event.category"),
            ("T1059", "T1204"),
            budget=0.5,
            level="low",
        ),
        "process",
        "ran {}",
        "process.name",
    ),
    RareValue(
        _spec(
            "rare_api_action_for_an_identity",
            "Unusual API action for the identity",
            _KEY,
            ("event.action", "event.provider", "cloud.provider", "user.id"),
            ("T1078.004", "T1526"),
        ),
        "api.action",
        "called {}",
        "event.action",
        added=0.5,
    ),
    RareValue(
        _spec(
            "rare_source_country_for_an_identity",
            "API identity used from an unusual country",
            _KEY,
            ("source.geo.country_iso_code", "cloud.provider", "user.id"),
            ("T1078.004", "T1552.001"),
            budget=0.6,
        ),
        "source.geo.country",
        "was used from the country {}",
        "source.geo.country_iso_code",
        of_egress=False,
    ),
    RareValue(
        _spec(
            "privilege_change_out_of_pattern",
            "Unusual administrative action for the user",
            _USER,
            ("user.name", "event.category", "event.action"),
            ("T1098", "T1548"),
            budget=0.5,
        ),
        "privilege",
        "administered accounts ({})",
        "event.action",
    ),
)
