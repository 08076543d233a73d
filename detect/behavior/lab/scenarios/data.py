"""Attacks on data: slow exfiltration, bulk download, an insider before leaving, poisoning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detect.behavior.lab.company import DAY, HOUR, MINUTE
from detect.behavior.lab.documents import file_read, flow, logon
from detect.behavior.lab.labels import Attack, Label

if TYPE_CHECKING:
    import numpy as np

    from detect.behavior.lab.activity import Timed
    from detect.behavior.lab.world import Actor, World

MB = 1_000_000
SENT = ("high_sent_bytes_to_a_rare_destination",)


def slow_exfiltration(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """A few hundred MB a day in small pieces to a host that nobody knows, for four days."""
    first = world.workday(rng, actor, last=5)
    target = f"drop{int(rng.integers(0, 9_999))}.example.org"
    daily = float(rng.uniform(150, 800)) * MB
    events: list[Timed] = []
    for day in range(4):
        for at in _spread(rng, first + day * DAY, 8 * HOUR, 40):
            sent = int(daily / 40 * rng.uniform(0.6, 1.4))
            events.append(
                (at, flow(at, actor.name, actor.host, actor.address, target, sent, 3_000))
            )
    label = Label(
        id,
        "slow_exfiltration",
        events[0][0],
        events[-1][0],
        {"user": (actor.name,), "host": (actor.host,), "domain": ("example.org", target)},
        SENT,
        ("T1048", "T1030"),
    )
    return Attack(label, events)


def bulk_download(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """Hundreds of files of shares within an hour or two."""
    begin = world.workday(rng, actor) + int(rng.integers(0, 6)) * HOUR
    shares = ("ledger", "design", "staff", "offers")
    count = int(rng.integers(250, 1_200))
    events: list[Timed] = []
    for number, at in enumerate(_spread(rng, begin, int(rng.uniform(0.5, 2.0) * HOUR), count)):
        path = f"/{shares[number % 4]}/{number // 40}/doc{number}.pdf"
        events.append((at, file_read(at, actor.name, actor.host, path)))
    label = Label(
        id,
        "bulk_download",
        events[0][0],
        events[-1][0],
        {"user": (actor.name,), "host": (actor.host, "files01")},
        ("bulk_download", "atypical_data_access"),
        ("T1213", "T1039"),
    )
    return Attack(label, events)


def insider_before_leaving(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """The last week: late hours, other departments' folders, more each day to an own store."""
    first = world.workday(rng, actor, last=6)
    target = f"{actor.name}.private-store.example"
    events: list[Timed] = []
    for day in range(5):
        evening = first + day * DAY + int(rng.uniform(10.5, 12.5) * HOUR)
        events.append((evening, logon(evening, actor.name, actor.usual, device=actor.device)))
        for number, at in enumerate(_spread(rng, evening, 90 * MINUTE, 25 + 15 * day)):
            path = f"/{('ledger', 'leads', 'design')[number % 3]}/x{day}/doc{number}.pdf"
            events.append((at, file_read(at, actor.name, actor.host, path)))
        for at in _spread(rng, evening + HOUR, HOUR, 6):
            sent = int(rng.uniform(8, 20) * MB * (1 + day))
            events.append(
                (at, flow(at, actor.name, actor.host, actor.address, target, sent, 2_000))
            )
    events.sort(key=lambda timed: timed[0])
    label = Label(
        id,
        "insider_before_leaving",
        events[0][0],
        events[-1][0],
        {"user": (actor.name,), "host": (actor.host,), "domain": ("private-store.example", target)},
        ("insider_risk", "entity_risk", "atypical_data_access", "bulk_download", *SENT),
        ("T1074", "T1567.002"),
    )
    return Attack(label, events)


def slow_poisoning(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """Thirty days of a little more each day, so that the baseline learns the theft as normal.

    What is sent grows by the same factor each day; the attack proper is the level of the last
    fifth. It must be seen before that: afterwards the baseline has accepted it.
    """
    days = int((world.end - world.start) // DAY)
    target = f"mirror{int(rng.integers(0, 9_999))}.example.org"
    low, high = 2.0 * MB, float(rng.uniform(300, 900)) * MB
    events: list[Timed] = []
    for day in range(days - 1):
        level = low * (high / low) ** min(1.0, day / (0.8 * days))
        begin = world.start + day * DAY + int(actor.hour * HOUR)
        for at in _spread(rng, begin, 8 * HOUR, 12):
            sent = int(level / 12 * rng.uniform(0.8, 1.2))
            events.append(
                (at, flow(at, actor.name, actor.host, actor.address, target, sent, 2_000))
            )
    label = Label(
        id,
        "slow_poisoning",
        events[0][0],
        events[-1][0],
        {"user": (actor.name,), "host": (actor.host,), "domain": ("example.org", target)},
        (*SENT, "baseline_drift"),
        ("T1029", "T1030"),
        deadline=world.start + int(0.8 * days) * DAY,
    )
    return Attack(label, events)


def _spread(rng: np.random.Generator, begin: int, length: int, count: int) -> list[int]:
    moments: list[int] = sorted((begin + rng.random(count) * length).astype(int).tolist())
    return moments
