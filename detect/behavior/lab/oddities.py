"""What is odd and harmless: the days on which people do what they never did.

Without it a detector that tells of nothing would look good. Sizes have long tails, so that some of
it is as odd as an attack: that is what a budget is spent on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detect.behavior.lab import documents
from detect.behavior.lab.company import DEPARTMENTS, HOUR, MINUTE, generator
from detect.behavior.lab.days import shifts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from detect.behavior.lab.activity import Timed
    from detect.behavior.lab.company import Company
    from detect.behavior.lab.days import Shift

#: How often a day in a company of 500: a forgotten password, a phone that still has the old one,
#: work on another department's folders, a folder taken along, an upload to a customer or agency.
FORGOTTEN, OLD_PASSWORD, PROJECT, FOLDER, UPLOAD = 2.0, 0.3, 1.5, 1.2, 3.0
#: Share of people who help out in another department for some days of the month.
HELPERS = 0.08
#: How often somebody in engineering or operations works on a server, and on one that is new.
ON_SERVER, NEW_SERVER = 0.5, 0.03
#: Actions of account administration: what operations do each week, and hardly ever.
USUAL_ADMIN = ("password-reset", "group-member-add", "account-unlock", "group-member-remove")
RARE_ADMIN = ("role-assign", "policy-change", "account-delete", "mfa-reset", "trust-add")


def of_odd_days(company: Company, day: int) -> Iterator[Timed]:
    """What people do on `day` beyond their habits."""
    rng = generator(company.seed, 7, day)
    working = list(shifts(company, day))
    if not working:
        return
    scale = len(company.people) / 500
    for kind, rate in (
        (_forgotten, FORGOTTEN),
        (_old_password, OLD_PASSWORD),
        (_project, PROJECT),
        (_folder, FOLDER),
        (_upload, UPLOAD),
    ):
        for _ in range(int(rng.poisson(rate * scale))):
            yield from kind(working[int(rng.integers(0, len(working)))], rng)
    helping = generator(company.seed, 8).random((len(company.people), 3))
    for shift in working:
        helps, when, whom = helping[shift.person.number].tolist()
        if helps < HELPERS and 0 <= day - int(when * company.days) < 5:
            yield from _helping(shift, int(whom * len(DEPARTMENTS)), rng)
        yield from _administering(shift, rng)


def _moment(shift: Shift, rng: np.random.Generator, room: int = HOUR) -> int:
    """A time in the shift, `room` ms before its end."""
    return shift.begin + int(rng.random() * max(1, shift.end - shift.begin - room))


def _forgotten(shift: Shift, rng: np.random.Generator) -> Iterator[Timed]:
    """Somebody tries the passwords of the last years, then gets help."""
    person, network = shift.person, shift.network(rng)
    at = _moment(shift, rng)
    for _ in range(3 + int(rng.lognormal(1.4, 0.8))):
        yield at, documents.logon(at, person.name, network, ok=False, device=person.device)
        at += int(rng.exponential(25_000)) + 2_000
    at += int(rng.integers(5, 40)) * MINUTE
    yield at, documents.logon(at, person.name, network, device=person.device)


def _old_password(shift: Shift, rng: np.random.Generator) -> Iterator[Timed]:
    """A phone tries the old password again and again until somebody sees it."""
    person = shift.person
    network = person.home(shift.day)
    at, pause = _moment(shift, rng), float(rng.uniform(1, 12)) * MINUTE
    for _ in range(int(rng.integers(10, 60))):
        yield at, documents.logon(at, person.name, network, ok=False, device=person.device)
        at += int(pause)


def _project(shift: Shift, rng: np.random.Generator) -> Iterator[Timed]:
    """Work with the folders of another department."""
    person = shift.person
    other = DEPARTMENTS[int(rng.integers(0, len(DEPARTMENTS)))]
    at = _moment(shift, rng)
    for number in range(3 + int(rng.lognormal(1.8, 0.9))):
        share = other.shares[number % len(other.shares)]
        path = f"/{share}/{(person.number + number // 15) % 12}/doc{number}.pdf"
        yield at, documents.file_read(at, person.name, person.host, path)
        at += int(rng.exponential(90_000)) + 500


def _folder(shift: Shift, rng: np.random.Generator) -> Iterator[Timed]:
    """A whole folder of one's own department, to read it on the train or to move it."""
    person = shift.person
    share = person.department.shares[0]
    at = _moment(shift, rng)
    for number in range(15 + int(rng.lognormal(3.4, 0.8))):
        path = f"/{share}/{person.number % 12}/doc{number}.pdf"
        yield at, documents.file_read(at, person.name, person.host, path)
        at += int(rng.exponential(12_000)) + 300


def _upload(shift: Shift, rng: np.random.Generator) -> Iterator[Timed]:
    """Data for an agency or a customer that nobody else works with."""
    person = shift.person
    target = f"agency{int(rng.integers(0, 100_000))}.example.net"
    inner = documents.address_of(person)
    at = _moment(shift, rng)
    total = rng.lognormal(15.2, 1.5)
    for _ in range(pieces := int(rng.integers(1, 6))):
        sent = int(total / pieces)
        yield at, documents.flow(at, person.name, person.host, inner, target, sent, 4_000)
        at += int(rng.exponential(8 * MINUTE)) + 1_000


def _helping(shift: Shift, department: int, rng: np.random.Generator) -> Iterator[Timed]:
    """Another department's programs and folders, beside one's own."""
    person, other = shift.person, DEPARTMENTS[department]
    for _ in range(int(rng.poisson(10))):
        at = _moment(shift, rng, 0)
        program = other.programs[-1 - int(rng.integers(0, 4)) % len(other.programs)]
        yield at, documents.process(at, person.name, person.host, program, "explorer.exe")
        if rng.random() < 0.4:
            at += 20_000
            path = f"/{other.shares[0]}/{person.number % 12}/doc{int(rng.integers(0, 300))}.pdf"
            yield at, documents.file_read(at, person.name, person.host, path)


def _administering(shift: Shift, rng: np.random.Generator) -> Iterator[Timed]:
    """Servers that people of engineering and operations sign in to, and accounts they look after.

    Each has some servers and some actions of their own; now and then there is another.
    """
    person = shift.person
    if not person.department.calls:
        return
    office = person.site.network(1 + person.number % 3)
    if rng.random() < ON_SERVER:
        number = person.number + int(rng.zipf(1.8)) % 4
        if rng.random() < NEW_SERVER:
            number = int(rng.integers(0, 1_000))
        at = _moment(shift, rng, 0)
        yield at, documents.logon(at, person.name, office, host=f"app-{number % 200:03}")
    if person.department.name == "operations" and rng.random() < 0.6:
        action = USUAL_ADMIN[(person.number + int(rng.zipf(2.0))) % len(USUAL_ADMIN)]
        if rng.random() < 0.04:
            action = RARE_ADMIN[int(rng.integers(0, len(RARE_ADMIN)))]
        at = _moment(shift, rng, 0)
        yield at, documents.administered(at, person.name, action, office)
