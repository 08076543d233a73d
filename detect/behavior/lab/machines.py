"""What machines do: service accounts, API keys, the portal's visitors, heartbeats of sources."""

from __future__ import annotations

from math import cos, pi
from typing import TYPE_CHECKING

from detect.behavior.lab import documents
from detect.behavior.lab.company import DAY, HOUR, MINUTE, START, generator
from detect.behavior.lab.places import Network

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from detect.behavior.lab.activity import Timed
    from detect.behavior.lab.company import Company, Machine

#: Log sources that say something every few minutes, whatever happens.
BEATING = (
    documents.DIRECTORY,
    documents.ENDPOINTS,
    documents.FILES,
    documents.PROXY,
    documents.CLOUD,
    documents.WEB,
    documents.DNS,
    "firewall-berlin",
    "firewall-lyon",
    "firewall-austin",
    "firewall-pune",
)
BEAT = 4 * MINUTE
#: Workstations look for updates this often, hours: a beacon, and a harmless one.
UPDATES = 6
PAGES = tuple(f"/catalog/{number}" for number in range(60))
#: Visits of the portal in an hour of the day at its mean, for a company of 500.
VISITS = 24.0


def of_machines(company: Company, day: int) -> Iterator[Timed]:
    """Everything that machines do on `day`."""
    rng = generator(company.seed, 4, day)
    begin = START + day * DAY
    for machine in company.machines:
        yield from _jobs(machine, begin, rng)
    for key in company.keys:
        for at in _poisson(begin, key.rate * 24, rng):
            action = key.actions[int(rng.integers(0, len(key.actions)))]
            yield at, documents.call(at, "", action, key.network, key=key.id)
    yield from _updates(company, begin, rng)
    yield from _visits(company, day, begin, rng)
    for source in BEATING:
        offset = int(rng.integers(0, BEAT))
        for at in range(begin + offset, begin + DAY, BEAT):
            yield at, documents.heartbeat(at, source)


def _poisson(begin: int, mean: float, rng: np.random.Generator) -> list[int]:
    moments: list[int] = (begin + rng.random(int(rng.poisson(mean))) * DAY).astype(int).tolist()
    return moments


def _jobs(machine: Machine, begin: int, rng: np.random.Generator) -> Iterator[Timed]:
    period = machine.period * MINUTE
    inner = Network(machine.address, 0, "", 0.0, 0.0)
    for at in range(begin, begin + DAY, period):
        at += int(rng.normal(40_000, 10_000)) + sum(map(ord, machine.host)) % 60 * 1_000
        yield at, documents.process(at, machine.account, machine.host, "job.sh", "cron")
        if rng.random() < 0.25:
            yield at + 900, documents.logon(at + 900, machine.account, inner, host=machine.host)
        sent = int(machine.sent * rng.lognormal(0, 0.25))
        yield (
            at + 2_000,
            documents.flow(
                at + 2_000, machine.account, machine.host, inner.ip, machine.peer, sent, 2_000
            ),
        )


def _updates(company: Company, begin: int, rng: np.random.Generator) -> Iterator[Timed]:
    jitter = rng.random((len(company.people), 24 // UPDATES)).tolist()
    for person, row in zip(company.people, jitter, strict=True):
        inner = documents.address_of(person)
        for number, late in enumerate(row):
            at = begin + (number * UPDATES + person.number % UPDATES) * HOUR + int(late * MINUTE)
            yield (
                at,
                documents.flow(
                    at, "", person.host, inner, "updates.example.net", 1_200, int(9_000 + late)
                ),
            )


def _visits(company: Company, day: int, begin: int, rng: np.random.Generator) -> Iterator[Timed]:
    """Customers, more by day and on weekdays; some log on, few mistype."""
    scale = VISITS * len(company.people) / 500 * (0.6 if day % 7 >= 5 else 1.0)
    for hour in range(24):
        mean = scale * (1 - 0.8 * cos(2 * pi * (hour - 2) / 24))
        for _ in range(int(rng.poisson(mean))):
            at = begin + hour * HOUR + int(rng.integers(0, HOUR))
            visitor = int(rng.integers(0, 4_000))
            address = f"2001:db8:a::{visitor:x}"
            if rng.random() < 0.4:
                user = f"cust{visitor:04}"
                if rng.random() < 0.08:
                    yield at - 9_000, documents.portal_logon(at - 9_000, user, address, ok=False)
                yield at, documents.portal_logon(at, user, address, ok=True)
            for _ in range(int(rng.geometric(0.25))):
                page = PAGES[min(int(rng.zipf(1.5)), len(PAGES)) - 1]
                yield at, documents.request(at, address, page)
                at += int(rng.exponential(25_000)) + 800
