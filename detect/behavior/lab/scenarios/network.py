"""Machines of attackers: beacons, scrapers, floods, and a log source that goes silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detect.behavior.lab.company import HOUR, MINUTE
from detect.behavior.lab.documents import flow, request
from detect.behavior.lab.labels import Attack, Label

if TYPE_CHECKING:
    import numpy as np

    from detect.behavior.lab.activity import Timed
    from detect.behavior.lab.world import Actor, World


def beacon(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """A workstation asks the same new host for orders, every few minutes, with jitter."""
    begin = world.moment(rng, last=2)
    period = float(rng.choice([1, 5, 10, 15, 30])) * MINUTE
    jitter = float(rng.choice([0.02, 0.1, 0.2]))
    target = f"cdn{int(rng.integers(0, 9_999))}.example.org"
    events: list[Timed] = []
    at = begin
    while at < begin + 36 * HOUR and len(events) < 1_500:
        at += int(period * (1 + jitter * rng.uniform(-1, 1)))
        size = int(rng.normal(420, 12))
        events.append((at, flow(at, actor.name, actor.host, actor.address, target, size, 900)))
    label = Label(
        id,
        "beacon",
        begin,
        at,
        {"host": (actor.host,), "user": (actor.name,), "domain": ("example.org", target)},
        ("beaconing",),
        ("T1071.001", "T1029"),
    )
    return Attack(label, events)


def log_silence(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """A source that always speaks says nothing for some hours."""
    begin = world.moment(rng)
    source = world.sources[int(rng.integers(0, len(world.sources)))]
    end = begin + int(rng.uniform(4, 10) * HOUR)
    label = Label(
        id,
        "log_silence",
        begin,
        end,
        {"log": (source,)},
        ("log_silence",),
        ("T1562.008",),
    )
    return Attack(label, [], (source, begin, end))


def scraper(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """A bot that takes one page after the other, steadily, for hours."""
    begin = world.moment(rng)
    address = f"2001:db8:b::{int(rng.integers(1, 60_000)):x}"
    at, events = begin, []
    pace = float(rng.uniform(1_500, 6_000))
    for number in range(int(rng.integers(600, 1_500))):
        at += int(pace * rng.uniform(0.9, 1.1))
        path = f"/catalog/{number}"
        events.append((at, request(at, address, path, status=200 if number < 60 else 404)))
    label = Label(
        id,
        "scraper",
        begin,
        at,
        {"source": (address,), "service": ("portal",)},
        ("bot_session",),
        ("T1595", "T1593"),
    )
    return Attack(label, events)


def request_flood(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """Many addresses ask for the same dear page for half an hour."""
    begin = world.moment(rng)
    events: list[Timed] = []
    for _ in range(int(rng.integers(4_000, 9_000))):
        at = begin + int(rng.integers(0, 30 * MINUTE))
        address = f"2001:db8:c::{int(rng.integers(1, 400)):x}"
        events.append((at, request(at, address, "/search", status=503)))
    events.sort(key=lambda timed: timed[0])
    label = Label(
        id,
        "request_flood",
        begin,
        events[-1][0],
        {
            "service": ("portal",),
            "host": ("portal01",),
            "source": tuple(sorted({document["source"]["ip"] for _, document in events})),
        },
        ("request_flood",),
        ("T1498", "T1499.002"),
    )
    return Attack(label, events)
