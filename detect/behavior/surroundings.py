"""What a detector may look at beside the profile: rarity, known egress, models."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from detect.behavior.detector import Context, Rarity
from detect.behavior.population import STRENGTH
from detect.behavior.profile import hour_of_week

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from detect.behavior.observation import Observation
    from detect.behavior.population import Population
    from detect.behavior.profile import Profile

#: Probability of a value that nobody has had.
NOBODY = 0.002
#: Days with something new that excuse nothing yet.
FEW = 2.0


def egress_of(networks: Iterable[str]) -> Callable[[str], bool]:
    """Whether an address is in one of these; raises ValueError for what is no network."""
    known = tuple(ip_network(each, strict=False) for each in networks)

    @lru_cache(maxsize=65_536)
    def within(address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed.version == each.version and parsed in each for each in known)

    return within


def rarity(
    profile: Profile,
    population: Population,
    peers: Population | None,
    feature: str,
    value: str,
    at: int,
    *,
    fresh: bool = False,
) -> Rarity:
    """How usual a value is: own history, backed off to peers, backed off to everybody.

    An entity that has something new every other day surprises nobody with another new value: the
    days on which new values came stand for the value that comes next (Good and Turing's idea).
    With `fresh` the entity's own days with the value do not count.
    """
    everybody = population.share(feature, value, NOBODY)
    around = peers.share(feature, value, everybody) if peers is not None else everybody
    own, total = profile.weight(feature, value), profile.total(feature)
    counted = 0.0 if fresh else own
    novel = 0.0 if counted else max(0.0, profile.novelty(feature) - FEW) / 3
    p = (counted + STRENGTH * around + novel) / (total + STRENGTH + novel)
    return Rarity(
        own=own / total if total else 0.0,
        peer=around,
        population=everybody,
        p=min(p, 1.0),
        baseline=total,
        confidence=profile.confidence(at),
        known=own > 0.5,
    )


def hour_rarity(
    profile: Profile, population: Population, peers: Population | None, at: int
) -> Rarity:
    """How usual it is to be active at that hour of the week; compared with an average hour.

    Peers stand behind the own hours as elsewhere: where a department works nights, a shift that
    ends an hour later surprises no more than by day.
    """
    hour = hour_of_week(at)
    total = sum(profile.hours)
    everybody = _hours(population, hour, 1 / 168)
    around = _hours(peers, hour, everybody) if peers is not None else everybody
    own = profile.hour_weight(hour)
    p = (own + STRENGTH * around) / (total + STRENGTH)
    return Rarity(
        own=own / total if total else 0.0,
        peer=around,
        population=everybody,
        p=min(1.0, p),
        baseline=total,
        confidence=profile.confidence(at),
        known=own > 0.5,
    )


def _hours(population: Population, hour: int, prior: float) -> float:
    """The share of an hour of the week, half of it that of the same hour of other days."""
    days = [population.share("hour", str((hour + 24 * day) % 168), prior) for day in range(7)]
    return 0.5 * days[0] + 0.5 * sum(days) / 7


def context(
    observation: Observation,
    profile: Profile,
    population: Population,
    peers: Population | None,
    *,
    egress: Callable[[str], bool],
    model: Callable[[str], Any],
    lateness: int,
    scores: Mapping[str, float] | None = None,
) -> Context:
    """The context of one decision."""
    at = observation.start

    def ask(feature: str, value: str) -> Rarity:
        if feature == "hour":
            return hour_rarity(profile, population, peers, at)
        return rarity(profile, population, peers, feature, value, at)

    known = scores if scores is not None else {}
    return Context(ask, egress, population.weight, model, lateness, known)
