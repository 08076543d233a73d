"""The simulated company: who works there, where, when and with what; a function of the seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detect.behavior.lab.places import SITES, Network, Site, home, hostile, mobile

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Monday, 2 March 2026, 00:00 UTC, in ms.
START = 1_772_409_600_000
HOUR = 3_600_000
DAY = 24 * HOUR
MINUTE = 60_000


class Department(NamedTuple):
    """What people of a department do; the numbers are means for each hour at work."""

    name: str
    share: float
    programs: tuple[str, ...]
    shares: tuple[str, ...]
    files: float
    flows: float
    calls: float
    nights: float = 0.0  # share of the people who work nights
    upload: float = 1.0  # how much they send, against everybody


OFFICE = ("outlook.exe", "teams.exe", "chrome.exe", "explorer.exe", "winword.exe", "excel.exe")

DEPARTMENTS = (
    Department(
        "engineering",
        0.26,
        (*OFFICE, "code.exe", "git.exe", "python.exe", "docker.exe", "ssh.exe", "node.exe"),
        ("src", "builds", "design"),
        0.6,
        1.3,
        1.2,
    ),
    Department(
        "sales", 0.22, (*OFFICE, "crm.exe", "powerpnt.exe"), ("offers", "leads"), 0.7, 1.4, 0
    ),
    Department(
        "finance", 0.1, (*OFFICE, "sapgui.exe", "acrobat.exe"), ("ledger", "tax"), 1.4, 0.8, 0
    ),
    Department("people", 0.05, (*OFFICE, "acrobat.exe"), ("staff", "hiring"), 1.0, 0.8, 0),
    Department(
        "support",
        0.2,
        (*OFFICE, "helpdesk.exe", "mstsc.exe"),
        ("cases", "manuals"),
        0.8,
        1.2,
        0,
        0.3,
    ),
    Department(
        "operations",
        0.12,
        (*OFFICE, "powershell.exe", "mstsc.exe", "ssh.exe", "mmc.exe"),
        ("runbooks", "images"),
        0.5,
        1.0,
        1.0,
        0.35,
    ),
    Department(
        "marketing",
        0.05,
        (*OFFICE, "photoshop.exe", "premiere.exe"),
        ("media",),
        0.6,
        1.6,
        0,
        0,
        4.0,
    ),
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account; days count from 0, hours are local, `lat`/`lon` are of the home."""

    number: int
    name: str
    department: Department
    site: Site
    start: float  # hour at which the day begins, local
    length: float  # hours at work
    night: bool
    hired: int
    leaves: int
    remote: float  # share of days at home
    gateway: float  # share of logons from home that go through the gateway
    on_mobile: float
    device: str
    host: str
    lat: float
    lon: float
    moved: tuple[int, ...]  # days on which the home gets another address
    away: tuple[int, int]  # vacation, [first, last)
    trip: tuple[int, int, int]  # [first, last), and where: index of TRIPS; -1 for none

    def home(self, day: int) -> Network:
        """Where they are at home on a day."""
        lease = sum(day >= at for at in self.moved)
        return home(self.site, self.number, lease, self.lat, self.lon)

    def mobile(self, jitter: float) -> Network:
        """Their phone, seen up to some hundred km from where it is; `jitter` in 0..1."""
        angle, far = jitter * 44.0, 2.5 * ((jitter * 7.0) % 1.0)
        lat = round(self.lat + far * float(np.sin(angle)), 2)
        return mobile(self.site, self.number, lat, round(self.lon + far * float(np.cos(angle)), 2))


@dataclass(frozen=True, slots=True)
class Machine:
    """A service account with its host, period of its job and the bytes it sends each time."""

    account: str
    host: str
    address: str
    peer: str
    period: int  # minutes
    sent: float


@dataclass(frozen=True, slots=True)
class Key:
    """An API key: what it calls, from where, how often each hour."""

    id: str
    actions: tuple[str, ...]
    network: Network
    rate: float


@dataclass(frozen=True, slots=True)
class Company:
    """Everybody and everything; `sources` are the names of log sources."""

    seed: int
    days: int
    people: tuple[Person, ...]
    machines: tuple[Machine, ...]
    keys: tuple[Key, ...]

    @property
    def end(self) -> int:
        """The end of the last day, ms since the epoch."""
        return START + self.days * DAY

    def peers(self) -> dict[str, str]:
        """Peer group by user name: the department."""
        return {person.name: person.department.name for person in self.people}


#: Destinations and how much of the traffic each has: few are popular, many are seen rarely.
DESTINATIONS = tuple(f"site{number}.example.com" for number in range(400))
COMMON_ACTIONS = (
    "DescribeInstances",
    "GetObject",
    "ListBuckets",
    "GetCallerIdentity",
    "DescribeLogStreams",
    "PutObject",
    "GetParameter",
    "ListFunctions",
    "InvokeFunction",
    "DescribeAlarms",
)
RARER_ACTIONS = ("UpdateFunctionCode", "PutMetricAlarm", "RunInstances", "CreateTags", "PutRule")


def generator(seed: int, *path: int) -> np.random.Generator:
    """The randomness of one part of the simulation: parts do not disturb each other."""
    return np.random.default_rng((seed, *path))


def found(seed: int, users: int = 500, days: int = 30) -> Company:
    """The company of a seed; `users` and `days` may be smaller for tests."""
    rng = generator(seed, 1)
    shares = np.array([department.share for department in DEPARTMENTS])
    departments = rng.choice(len(DEPARTMENTS), users, p=shares / shares.sum())
    sites = rng.choice(len(SITES), users, p=[site.share for site in SITES])
    people = tuple(
        _person(rng, number, DEPARTMENTS[departments[number]], SITES[sites[number]], days)
        for number in range(users)
    )
    machines = tuple(_machine(rng, number) for number in range(max(2, users // 25)))
    keys = tuple(_key(rng, number) for number in range(max(2, users // 20)))
    return Company(seed, days, people, machines, keys)


def _person(
    rng: np.random.Generator, number: int, department: Department, site: Site, days: int
) -> Person:
    night = bool(rng.random() < department.nights)
    begins = rng.normal(22.0, 0.4) if night else rng.normal(8.6, 0.9)
    hired = int(rng.integers(2, max(3, days - 4))) if rng.random() < 0.03 else -1
    leaves = int(rng.integers(days // 2, days)) if rng.random() < 0.02 else days + 1
    first = int(rng.integers(0, days)) if rng.random() < 0.25 else -100
    trips = int(rng.integers(4, max(5, days - 2))) if rng.random() < 0.12 else -100
    return Person(
        number=number,
        name=f"emp{number:04}",
        department=department,
        site=site,
        start=float(begins),
        length=float(np.clip(rng.normal(8.0, 0.8), 4.0, 10.0)),
        night=night,
        hired=hired,
        leaves=leaves,
        remote=float(rng.beta(1.2, 2.0)),
        gateway=float(rng.choice([0.0, 0.4, 0.9], p=[0.4, 0.3, 0.3])),
        on_mobile=float(rng.choice([0.0, 0.2, 0.5], p=[0.5, 0.3, 0.2])),
        device=f"device-{number:04}",
        host=f"ws-{number:04}",
        lat=round(site.lat + float(rng.normal(0, 0.2)), 2),
        lon=round(site.lon + float(rng.normal(0, 0.2)), 2),
        moved=tuple(sorted(rng.integers(0, days, int(rng.poisson(days / 25))).tolist())),
        away=(first, first + int(rng.integers(3, 11))),
        trip=(trips, trips + int(rng.integers(3, 7)), int(rng.integers(0, 7))),
    )


def _machine(rng: np.random.Generator, number: int) -> Machine:
    period = int(rng.choice([15, 30, 60]))
    sent = float(rng.lognormal(13.0, 1.0))
    name = f"svc-{('backup', 'build', 'sync', 'report', 'monitor')[number % 5]}{number:02}"
    address = f"10.20.{number // 200}.{number % 200 + 1}"
    return Machine(
        name, f"srv-{number:03}", address, f"partner{number:02}.example.com", period, sent
    )


def _key(rng: np.random.Generator, number: int) -> Key:
    chosen = rng.choice(len(COMMON_ACTIONS), int(rng.integers(2, 5)), replace=False)
    actions: Sequence[str] = [COMMON_ACTIONS[index] for index in chosen]
    site = SITES[int(rng.integers(0, len(SITES)))]
    network = site.network(10 + number % 5)
    return Key(f"AKIALAB{number:013}", tuple(actions), network, float(rng.uniform(1.0, 4.0)))


def foreign(rng: np.random.Generator) -> Network:
    """An attacker's network."""
    return hostile(int(rng.integers(0, 100)), int(rng.integers(0, 250)))
