"""The scenarios by name, and a plan of attacks for a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detect.behavior.lab.company import generator
from detect.behavior.lab.documents import numbered
from detect.behavior.lab.scenarios.data import (
    bulk_download,
    insider_before_leaving,
    slow_exfiltration,
    slow_poisoning,
)
from detect.behavior.lab.scenarios.logons import (
    brute_force,
    credential_stuffing,
    impossible_travel,
    password_spraying,
    stolen_credentials,
    stolen_key,
)
from detect.behavior.lab.scenarios.network import beacon, log_silence, request_flood, scraper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np

    from detect.behavior.lab.labels import Attack
    from detect.behavior.lab.world import Actor, World

    Scenario = Callable[[World, np.random.Generator, Actor, str], Attack]

SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        stolen_credentials,
        impossible_travel,
        password_spraying,
        credential_stuffing,
        brute_force,
        stolen_key,
        slow_exfiltration,
        bulk_download,
        beacon,
        insider_before_leaving,
        log_silence,
        slow_poisoning,
        scraper,
        request_flood,
    )
}
#: How often each happens, unless it is said otherwise: no more than leaves the company itself.
TIMES = 5
#: Those that change what the whole company looks like, or need a month.
FEWER = {"slow_poisoning": 3, "log_silence": 4, "credential_stuffing": 4, "request_flood": 4}


def attacks(
    world: World, seed: int, names: Iterable[str] = SCENARIOS, times: int | None = None
) -> list[Attack]:
    """Attacks on people drawn without repetition; `times` of each in place of the usual number.

    The same seed and world give the same attacks. Raises KeyError for an unknown name.
    """
    order: list[int] = generator(seed, 5).permutation(len(world.people)).tolist()
    made: list[Attack] = []
    for index, name in enumerate(names):
        for number in range(times if times is not None else FEWER.get(name, TIMES)):
            actor = _victim(world, order, len(made), calls=name == "stolen_key")
            rng = generator(seed, 6, index, number)
            attack = SCENARIOS[name](world, rng, actor, f"{name}-{number + 1}")
            made.append(_numbered(attack))
    return made


def _victim(world: World, order: Sequence[int], number: int, *, calls: bool) -> Actor:
    """The next person in the order; of those whose API access is stolen, one who has some.

    These are taken from the other end, so that hardly anybody is attacked twice.
    """
    chosen = [at for at in reversed(order) if world.people[at].calls] if calls else order
    if not chosen:
        chosen = order
    return world.people[chosen[number % len(chosen)]]


def _numbered(attack: Attack) -> Attack:
    for number, (_, document) in enumerate(attack.events):
        numbered(document, f"{attack.label.id}-{number}")
    return attack
