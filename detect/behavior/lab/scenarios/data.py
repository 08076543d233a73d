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
        events += [
            _sent(actor, at, target, daily / 40 * rng.uniform(0.6, 1.4), 3_000)
            for at in _spread(rng, first + day * DAY, 8 * HOUR, 40)
        ]
    touched = _touched(actor, "example.org", target)
    return _attack(id, "slow_exfiltration", events, touched, SENT, ("T1048", "T1030"))


def bulk_download(world: World, rng: np.random.Generator, actor: Actor, id: str) -> Attack:
    """Hundreds of files of shares within an hour or two."""
    begin = world.workday(rng, actor) + int(rng.integers(0, 6)) * HOUR
    shares = ("ledger", "design", "staff", "offers")
    count = int(rng.integers(250, 1_200))
    events: list[Timed] = []
    for number, at in enumerate(_spread(rng, begin, int(rng.uniform(0.5, 2.0) * HOUR), count)):
        path = f"/{shares[number % 4]}/{number // 40}/doc{number}.pdf"
        events.append((at, file_read(at, actor.name, actor.host, path)))
    touched = {"user": (actor.name,), "host": (actor.host, "files01")}
    seen_by = ("bulk_download", "atypical_data_access")
    return _attack(id, "bulk_download", events, touched, seen_by, ("T1213", "T1039"))


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
        events += [
            _sent(actor, at, target, rng.uniform(8, 20) * MB * (1 + day))
            for at in _spread(rng, evening + HOUR, HOUR, 6)
        ]
    events.sort(key=lambda timed: timed[0])
    touched = _touched(actor, "private-store.example", target)
    seen_by = ("insider_risk", "entity_risk", "atypical_data_access", "bulk_download", *SENT)
    return _attack(id, "insider_before_leaving", events, touched, seen_by, ("T1074", "T1567.002"))


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
        events += [
            _sent(actor, at, target, level / 12 * rng.uniform(0.8, 1.2))
            for at in _spread(rng, begin, 8 * HOUR, 12)
        ]
    touched, seen_by = _touched(actor, "example.org", target), (*SENT, "baseline_drift")
    deadline = world.start + int(0.8 * days) * DAY
    return _attack(id, "slow_poisoning", events, touched, seen_by, ("T1029", "T1030"), deadline)


def _sent(actor: Actor, at: int, target: str, amount: float, received: int = 2_000) -> Timed:
    """An upload from the actor's workstation."""
    return at, flow(at, actor.name, actor.host, actor.address, target, int(amount), received)


def _touched(actor: Actor, *domains: str) -> dict[str, tuple[str, ...]]:
    return {"user": (actor.name,), "host": (actor.host,), "domain": domains}


def _attack(
    id: str,
    scenario: str,
    events: list[Timed],
    touched: dict[str, tuple[str, ...]],
    seen_by: tuple[str, ...],
    techniques: tuple[str, ...],
    deadline: int = 0,
) -> Attack:
    """An attack from its first event to its last."""
    begin, end = events[0][0], events[-1][0]
    return Attack(Label(id, scenario, begin, end, touched, seen_by, techniques, deadline), events)


def _spread(rng: np.random.Generator, begin: int, length: int, count: int) -> list[int]:
    moments: list[int] = sorted((begin + rng.random(count) * length).astype(int).tolist())
    return moments
