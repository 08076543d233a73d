"""Machines that do odd and harmless things: agents by the clock, crawlers, batch jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detect.behavior.lab import documents
from detect.behavior.lab.company import DAY, HOUR, MINUTE, START, generator
from detect.behavior.lab.machines import PAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from detect.behavior.lab.activity import Timed
    from detect.behavior.lab.company import Company

#: How often a day in a company of 500: a new agent on a host, a crawler at the portal, a campaign,
#: a batch job or rollout on a host, a log source in debug mode, a scanner of names.
AGENTS, CRAWLERS, CAMPAIGNS, BATCHES, DEBUGGING, LOOKUPS = 0.9, 2.5, 0.7, 1.0, 0.4, 0.8


def of_surges(company: Company, day: int) -> Iterator[Timed]:
    """What machines do on `day` beyond their habits."""
    rng = generator(company.seed, 9, day)
    scale = len(company.people) / 500
    begin = START + day * DAY
    for kind, rate in (
        (_crawler, CRAWLERS),
        (_campaign, CAMPAIGNS),
        (_batch, BATCHES),
        (_debugging, DEBUGGING),
        (_lookups, LOOKUPS),
    ):
        for _ in range(int(rng.poisson(rate * scale))):
            yield from kind(company, begin, rng)
    yield from _agents(company, day, rng, scale)


def _crawler(company: Company, begin: int, rng: np.random.Generator) -> Iterator[Timed]:
    """A search engine, a price watcher, a partner's poller: more or less steady."""
    at = begin + int(rng.integers(0, 20 * HOUR))
    address = f"2001:db8:e::{int(rng.integers(1, 60_000)):x}"
    pace, jitter = float(rng.lognormal(9.6, 0.6)), float(rng.uniform(0.1, 1.2))
    missing = float(rng.beta(0.6, 6))
    for _ in range(int(rng.integers(60, 500))):
        page = PAGES[int(rng.integers(0, len(PAGES)))]
        status = 404 if rng.random() < missing else 200
        yield at, documents.request(at, address, page, status=status, agent="crawler/1.0")
        at += max(300, int(pace * rng.gamma(1 / jitter**2, jitter**2)))


def _campaign(company: Company, begin: int, rng: np.random.Generator) -> Iterator[Timed]:
    """A newsletter brings customers for an hour, most of them at once."""
    at = begin + int(rng.integers(7, 20)) * HOUR
    length = float(rng.uniform(10, 40)) * MINUTE
    count = int(rng.lognormal(6.2, 0.6) * len(company.people) / 500)
    for late in rng.exponential(length, count).tolist():
        moment = at + int(late)
        address = f"2001:db8:a::{int(rng.integers(0, 40_000)):x}"
        yield moment, documents.request(moment, address, PAGES[int(rng.integers(0, 9))])


def _batch(company: Company, begin: int, rng: np.random.Generator) -> Iterator[Timed]:
    """A build, a migration or an update: a host starts very many programs."""
    at = begin + int(rng.integers(0, 22 * HOUR))
    if rng.random() < 0.5:
        machine = company.machines[int(rng.integers(0, len(company.machines)))]
        user, host, program = machine.account, machine.host, "job.sh"
    else:
        person = company.people[int(rng.integers(0, len(company.people)))]
        user, host, program = "", person.host, "setup.exe"
    for _ in range(int(rng.lognormal(4.6, 0.8))):
        yield at, documents.process(at, user, host, program, "cron")
        at += int(rng.exponential(8_000)) + 100


def _debugging(company: Company, begin: int, rng: np.random.Generator) -> Iterator[Timed]:
    """Somebody leaves a firewall's debug log on for a while."""
    at = begin + int(rng.integers(6, 20)) * HOUR
    source = ("firewall-berlin", "firewall-lyon", "firewall-austin", "firewall-pune")
    chosen = source[int(rng.integers(0, len(source)))]
    for _ in range(150 + int(rng.lognormal(5.6, 0.8))):
        yield at, documents.heartbeat(at, chosen)
        at += int(rng.exponential(4_000))


def _lookups(company: Company, begin: int, rng: np.random.Generator) -> Iterator[Timed]:
    """Reputation lookups: a product asks for hashes below its maker's domain."""
    at = begin + int(rng.integers(6, 20)) * HOUR
    person = company.people[int(rng.integers(0, len(company.people)))]
    domain = f"reputation{int(rng.integers(0, 1_000))}.example"
    length = int(rng.integers(8, 48))
    for _ in range(10 + int(rng.lognormal(3.2, 0.9))):
        digest = rng.bytes(24).hex()[:length]
        yield at, documents.query(at, person.host, f"{digest}.{domain}", domain)
        at += int(rng.exponential(6_000)) + 50


def _agents(company: Company, day: int, rng: np.random.Generator, scale: float) -> Iterator[Timed]:
    """Agents, feeds and chat clients that report by the clock to a maker nobody else knows.

    They begin on any day and stay for hours to weeks.
    """
    plan = generator(company.seed, 10)
    for number in range(int(plan.poisson(AGENTS * scale * company.days))):
        first = START + int(plan.random() * company.days * DAY)
        last = first + int(plan.lognormal(10.6, 1.2) * 1_000)
        person = company.people[int(plan.integers(0, len(company.people)))]
        period = float(plan.choice([1, 2, 5, 10, 15, 30, 60])) * MINUTE
        jitter = float(plan.uniform(0.02, 0.9))
        target = f"agent{number}.telemetry.example"
        begin, end = START + day * DAY, START + (day + 1) * DAY
        at = max(first, begin) + int(rng.random() * period)
        inner = documents.address_of(person)
        while at < min(last, end):
            yield at, documents.flow(at, "", person.host, inner, target, 700, 400)
            at += int(period * (1 + jitter * rng.uniform(-1, 1)))
