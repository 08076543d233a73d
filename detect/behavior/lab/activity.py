"""What people do in a shift, as (time, document)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detect.behavior.lab import documents
from detect.behavior.lab.company import (
    COMMON_ACTIONS,
    DESTINATIONS,
    HOUR,
    MINUTE,
    RARER_ACTIONS,
    generator,
)
from detect.behavior.lab.days import Where, shifts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.behavior.lab.company import Company
    from detect.behavior.lab.days import Shift
    from tocsin.contracts import Document

    Timed = tuple[int, Document]

#: How often somebody mistypes; how many starts are of a program that is new to them.
TYPO, NEW_PROGRAM, NEW_DEVICE = 0.05, 0.004, 0.01
#: Popularity of destinations: a few make most of the traffic.
_WEIGHTS = 1.0 / np.arange(1, len(DESTINATIONS) + 1) ** 1.1
_POPULAR = np.cumsum(_WEIGHTS / _WEIGHTS.sum())


def of_people(company: Company, day: int) -> Iterator[Timed]:
    """Everything that people do in the shifts that begin on `day`."""
    rng = generator(company.seed, 3, day)
    for shift in shifts(company, day):
        yield from _logons(shift, rng)
        yield from _programs(shift, rng)
        yield from _files(shift, rng)
        yield from _flows(shift, rng)
        if shift.person.department.calls:
            yield from _calls(shift, rng)


def _times(shift: Shift, rng: np.random.Generator, each_hour: float) -> list[int]:
    """Moments of a shift, with a pause in its middle."""
    hours = (shift.end - shift.begin) / HOUR
    count = int(rng.poisson(each_hour * hours))
    spread = rng.random(count)
    spread = np.where(abs(spread - 0.5) < 0.05, spread * 0.9, spread)
    moments: list[int] = (shift.begin + spread * (shift.end - shift.begin)).astype(int).tolist()
    return moments


def _logons(shift: Shift, rng: np.random.Generator) -> Iterator[Timed]:
    person = shift.person
    name, group, device = person.name, person.department.name, person.device
    if rng.random() < NEW_DEVICE:
        device = f"{device}-{shift.day}"
    for number, at in enumerate([shift.begin, *_times(shift, rng, 0.5)]):
        network = shift.network(rng)
        if rng.random() < TYPO:
            for back in range(1, 1 + int(rng.geometric(0.6))):
                before = at - back * 12_000
                yield before, documents.logon(before, name, network, ok=False, device=device)
        yield at, documents.logon(at, name, network, device=device, group=group)
        if number == 0 and rng.random() < person.gateway * 0.5 and shift.where is Where.HOME:
            # Before the gateway is up: the same person seems to be in two places at once.
            soon = at + 2 * MINUTE
            home = person.home(shift.day)
            yield soon, documents.logon(soon, name, home, device=device, group=group)


def _programs(shift: Shift, rng: np.random.Generator) -> Iterator[Timed]:
    person = shift.person
    programs = person.department.programs
    moments = _times(shift, rng, 1.5)
    chosen = rng.zipf(1.6, len(moments))
    for at, rank in zip(moments, chosen.tolist(), strict=True):
        program = programs[(rank + person.number) % len(programs)]
        if rng.random() < NEW_PROGRAM:
            program = f"tool{int(rng.integers(0, 60))}.exe"
        yield at, documents.process(at, person.name, person.host, program, "explorer.exe")


def _files(shift: Shift, rng: np.random.Generator) -> Iterator[Timed]:
    person = shift.person
    shares = person.department.shares
    moments = _times(shift, rng, person.department.files)
    if rng.random() < 0.02:  # somebody reads a whole folder, as people do
        begin = moments[0] if moments else shift.begin
        moments = [*moments, *(begin + step * 20_000 for step in range(int(rng.integers(5, 25))))]
    for at in moments:
        share = shares[int(rng.integers(0, len(shares)))]
        path = f"/{share}/{person.number % 12}/doc{int(rng.zipf(1.3)) % 3000}.pdf"
        yield at, documents.file_read(at, person.name, person.host, path)


def _flows(shift: Shift, rng: np.random.Generator) -> Iterator[Timed]:
    person = shift.person
    moments = _times(shift, rng, person.department.flows)
    size = len(moments)
    places = np.searchsorted(_POPULAR, rng.random(size))
    sent = rng.lognormal(9.5, 1.3, size) * person.department.upload
    if rng.random() < 0.03 and size:  # a presentation, a video, a set of photographs
        sent[0] = rng.lognormal(16.5, 0.7)
        places[0] = int(rng.integers(0, 12))
    received = rng.lognormal(12.0, 1.5, size)
    inner = documents.address_of(person)
    for at, place, out, into in zip(
        moments, places.tolist(), sent.tolist(), received.tolist(), strict=True
    ):
        destination = DESTINATIONS[min(place, len(DESTINATIONS) - 1)]
        yield (
            at,
            documents.flow(at, person.name, person.host, inner, destination, int(out), int(into)),
        )


def _calls(shift: Shift, rng: np.random.Generator) -> Iterator[Timed]:
    person = shift.person
    network = shift.network(rng)
    for at in _times(shift, rng, person.department.calls):
        if rng.random() < 0.02:
            action = RARER_ACTIONS[int(rng.integers(0, len(RARER_ACTIONS)))]
        else:
            action = COMMON_ACTIONS[(int(rng.zipf(1.7)) + person.number) % len(COMMON_ACTIONS)]
        yield at, documents.call(at, person.name, action, network)
