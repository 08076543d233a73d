"""Attacks on accounts: stolen credentials, impossible travel, guessing in its forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detect.behavior.lab.company import HOUR, MINUTE, foreign
from detect.behavior.lab.documents import call, file_read, logon, portal_logon
from detect.behavior.lab.labels import Attack, Label

if TYPE_CHECKING:
    import numpy as np

    from detect.behavior.lab.activity import Timed
    from detect.behavior.lab.world import Actor, World


def stolen_credentials(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """The password works from a country where nobody ever was; then a look around."""
    begin = world.moment(rng)
    network = foreign(rng)
    events: list[Timed] = [(begin, logon(begin, actor.name, network, device="device-new"))]
    at = begin
    for number in range(int(rng.integers(2, 8))):
        at += int(rng.exponential(10 * MINUTE))
        events.append((at, logon(at, actor.name, network, device="device-new")))
        path = f"/ledger/{number}/plan.pdf"
        events.append((at + 5_000, file_read(at + 5_000, actor.name, "device-new", path)))
    label = Label(
        id,
        "stolen_credentials",
        begin,
        at + 5_000,
        {"user": (actor.name,), "source": (network.ip,)},
        (
            "auth_rare_country_for_a_user",
            "auth_rare_source_ip_for_a_user",
            "auth_rare_asn_for_a_user",
            "auth_rare_device_for_a_user",
            "impossible_travel",
            "entity_risk",
        ),
        ("T1078",),
    )
    return Attack(label, events)


def impossible_travel(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """The owner logs on at home; within the hour somebody does thousands of km away."""
    begin = world.workday(rng, actor) + int(rng.integers(1, 5)) * HOUR
    later = begin + int(rng.integers(15, 60)) * MINUTE
    network = foreign(rng)
    events = [
        (begin, logon(begin, actor.name, actor.usual, device=actor.device)),
        (later, logon(later, actor.name, network)),
    ]
    label = Label(
        id,
        "impossible_travel",
        begin,
        later,
        {"user": (actor.name,), "source": (network.ip,)},
        ("impossible_travel",),
        ("T1078",),
    )
    return Attack(label, events)


def password_spraying(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """One address tries one or two passwords at many accounts, fast or over hours."""
    begin = world.moment(rng)
    network = foreign(rng)
    count = min(len(world.people), int(rng.integers(40, 160)))
    victims = [world.people[index] for index in rng.permutation(len(world.people))[:count]]
    pace = float(rng.choice([2.0, 20.0, 90.0])) * 1_000
    events: list[Timed] = []
    at = begin
    entered: list[str] = []
    for victim in victims:
        at += int(rng.exponential(pace)) + 200
        if worked := bool(rng.random() < 0.01):
            entered.append(victim.name)
        events.append((at, logon(at, victim.name, network, ok=worked)))
    label = Label(
        id,
        "password_spraying",
        begin,
        at,
        {"source": (network.ip,), "user": tuple(victim.name for victim in victims)},
        ("password_spraying",),
        ("T1110.003",),
        entered=tuple(entered),
    )
    return Attack(label, events)


def credential_stuffing(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """A list of leaked passwords at the portal: many addresses, many accounts, each once."""
    begin = world.moment(rng)
    at, events = begin, []
    pool = int(rng.integers(200, 800))
    pace = float(rng.choice([0.5, 2.0, 8.0])) * 1_000
    network = int(rng.integers(0, 60_000))
    for number in range(int(rng.integers(400, 1_200))):
        at += int(rng.exponential(pace)) + 20
        address = f"2001:db8:f:{network:x}::{int(rng.integers(0, pool)):x}"
        user = f"leaked{int(rng.integers(0, 50_000)):05}"
        events.append((at, portal_logon(at, user, address, ok=number % 90 == 89)))
    addresses = sorted({document["source"]["ip"] for _, document in events})
    entities = {"service": ("portal",), "host": ("portal01",), "source": tuple(addresses)}
    label = Label(
        id,
        "credential_stuffing",
        begin,
        at,
        entities,
        ("credential_stuffing",),
        ("T1110.004",),
    )
    return Attack(label, events)


def brute_force(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """One account, many passwords from one address, and one that works."""
    begin = world.moment(rng)
    network = foreign(rng)
    at, events = begin, []
    count = int(rng.integers(60, 300))
    for number in range(count):
        at += int(rng.exponential(4_000)) + 100
        events.append((at, logon(at, actor.name, network, ok=number == count - 1)))
    label = Label(
        id,
        "brute_force",
        begin,
        at,
        {"user": (actor.name,), "source": (network.ip,)},
        ("brute_force_success", "auth_high_count_logon_fails"),
        ("T1110.001",),
    )
    return Attack(label, events)


def stolen_key(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """Somebody else's API access: looking around, then a user and a key of their own."""
    begin = world.moment(rng)
    network = foreign(rng)
    actions = ("ListUsers", "ListRoles", "CreateUser", "AttachUserPolicy", "CreateAccessKey")
    events, at = [], begin
    for action in actions * 2:
        at += int(rng.exponential(90_000)) + 500
        events.append((at, call(at, actor.name, action, network)))
    label = Label(
        id,
        "stolen_key",
        begin,
        at,
        {
            "user": (actor.name,),
            "key": (actor.name, f"AIDALAB{actor.name}"),
            "source": (network.ip,),
        },
        (
            "rare_api_action_for_an_identity",
            "rare_source_country_for_an_identity",
            "privilege_change_out_of_pattern",
            "entity_risk",
        ),
        ("T1098.001", "T1136.003"),
    )
    return Attack(label, events)
