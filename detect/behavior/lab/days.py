"""Who is at work on a day, from when to when, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from detect.behavior.lab.company import DAY, HOUR, START, generator
from detect.behavior.lab.places import GATEWAY, TRIPS, Network, hotel

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from detect.behavior.lab.company import Company, Person

#: Share of people who work on a weekend day or a holiday.
WEEKEND, HOLIDAY = 0.03, 0.05


class Where(Enum):
    """Where somebody works on a day."""

    OFFICE = "office"
    HOME = "home"
    TRAVEL = "travel"


@dataclass(frozen=True, slots=True)
class Shift:
    """Somebody's working time on a day: [begin, end) in ms since the epoch."""

    person: Person
    day: int
    begin: int
    end: int
    where: Where

    def network(self, rng: np.random.Generator) -> Network:
        """Where the next logon comes from."""
        person = self.person
        if self.where is Where.TRAVEL:
            trip = person.trip[2]
            return GATEWAY if rng.random() < person.gateway else hotel(trip, person.number)
        if rng.random() < person.on_mobile * 0.5:
            return person.mobile(float(rng.random()))
        if self.where is Where.OFFICE:
            return person.site.network(1 + person.number % 3)
        return GATEWAY if rng.random() < person.gateway else person.home(self.day)


def shifts(company: Company, day: int) -> Iterator[Shift]:
    """Everybody who works on `day` (counted from 0)."""
    rng = generator(company.seed, 2, day)
    weekday = day % 7
    for person in company.people:
        present, at_home, early, late = rng.random(), rng.random(), rng.normal(), rng.normal()
        if not person.hired <= day <= person.leaves or person.away[0] <= day < person.away[1]:
            continue
        if day in (person.trip[0], person.trip[1]):
            continue  # on the way
        share = 0.96
        if weekday >= 5:
            share = 0.5 if person.night else WEEKEND
        elif day == person.site.holiday:
            share = 0.6 if person.night else HOLIDAY
        if present > share:
            continue
        where = Where.HOME if at_home < person.remote else Where.OFFICE
        offset = person.site.offset
        if person.trip[0] <= day < person.trip[1]:
            where, offset = Where.TRAVEL, TRIPS[person.trip[2]][3]
        hour = person.start + 0.35 * early - offset
        begin = START + day * DAY + int(hour * HOUR)
        length = max(2.0, person.length + 0.5 * late)
        yield Shift(person, day, begin, begin + int(length * HOUR), where)
