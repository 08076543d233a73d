"""What an attack must know of the place it happens in: a simulated company, or a real stream."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from detect.behavior.lab.company import DAY, HOUR, START
from detect.behavior.lab.documents import address_of
from detect.behavior.lab.machines import BEATING
from detect.behavior.lab.places import Network
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from detect.behavior.lab.company import Company
    from tocsin.contracts import Document

#: People, hosts and sources of a real stream that are remembered, the most active first.
MAX_ACTORS = 2_000
#: Days that detectors get to know the place before something happens.
QUIET_DAYS = 12


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who can be attacked: name, workstation, its address, where they usually are.

    `hour` is the hour (UTC) at which their day usually begins; `calls` whether they use an API.
    """

    name: str
    host: str
    address: str
    usual: Network
    device: str
    hour: float
    calls: bool = True


@dataclass(frozen=True, slots=True)
class World:
    """[start, end) in ms; attacks happen from `quiet` on."""

    start: int
    end: int
    quiet: int
    people: tuple[Actor, ...]
    accounts: tuple[Actor, ...]
    sources: tuple[str, ...]

    def workday(self, rng: np.random.Generator, actor: Actor, *, last: int = 1) -> int:
        """The beginning of a working day of `actor`, `last` days before the end at the latest."""
        days = max(1, (self.end - self.quiet) // DAY - last)
        while True:
            day = self.quiet // DAY + int(rng.integers(0, days))
            if (day + 3) % 7 < 5:  # the epoch was a Thursday
                return day * DAY + int(actor.hour * HOUR)
            days += 1

    def moment(self, rng: np.random.Generator, *, last: int = 1) -> int:
        """Any time, `last` days before the end at the latest."""
        span = max(1, self.end - self.quiet - last * DAY)
        return self.quiet + int(rng.integers(0, span))


def of_company(company: Company) -> World:
    """The simulated company: only people who are there all the time are attacked."""
    there = [p for p in company.people if p.hired < 0 and p.leaves > company.days]
    people = tuple(
        Actor(
            person.name,
            person.host,
            address_of(person),
            person.home(company.days),
            person.device,
            person.start - person.site.offset,
            person.department.calls > 0,
        )
        for person in there
        if person.away[0] < 0 and person.trip[0] < 0
    )
    accounts = tuple(
        Actor(m.account, m.host, m.address, Network(m.address, 0, "", 0, 0), "", 0.0)
        for m in company.machines
    )
    quiet = START + min(QUIET_DAYS, company.days // 2) * DAY
    return World(START, company.end, quiet, people, accounts, BEATING)


def instant(document: Document) -> int | None:
    """The `@timestamp` of an event in ms; None where it has none."""
    text = document.get("@timestamp")
    if not isinstance(text, str):
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return None


def of_events(events: Iterable[Document]) -> World:
    """A real stream (ECS documents), read once; raises ConfigError if it names no user."""
    users: dict[str, Counter[tuple[str, str, str]]] = defaultdict(Counter)
    sources: Counter[str] = Counter()
    first, last = 2**63, 0
    for document in events:
        if (at := instant(document)) is None:
            continue
        first, last = min(first, at), max(last, at)
        sources[_text(document, "tocsin", "source")] += 1
        if name := _text(document, "user", "name"):
            seen = (
                _text(document, "host", "name"),
                _text(document, "source", "ip"),
                _text(document, "source", "geo", "country_iso_code"),
            )
            if seen in users[name] or len(users[name]) < 50:
                users[name][seen] += 1
        if len(users) > 10 * MAX_ACTORS:
            users = defaultdict(Counter, _busiest(users))
    if not users:
        raise ConfigError("the background has no event with user.name: nobody can be attacked")
    people = tuple(_actor(name, seen) for name, seen in sorted(_busiest(users).items()))
    quiet = first + (last - first) // 2
    named = tuple(name for name, _ in sources.most_common(50) if name)
    return World(first, last + 1, quiet, people, people, named)


def _busiest(users: dict[str, Counter[Any]]) -> dict[str, Counter[Any]]:
    ranked = sorted(users.items(), key=lambda item: (-item[1].total(), item[0]))
    return dict(ranked[:MAX_ACTORS])


def _actor(name: str, seen: Counter[tuple[str, str, str]]) -> Actor:
    host, address, country = min(seen.items(), key=lambda item: (-item[1], item[0]))[0]
    usual = Network(address or "192.0.2.1", 64496, country or "DE", 52.5, 13.4, 50)
    return Actor(name, host or "host", address or "192.0.2.1", usual, "", 9.0)


def _text(document: Document, *path: str) -> str:
    value: Any = document
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
