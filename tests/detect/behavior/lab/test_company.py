"""The simulated company: the same for a seed, in order, and with the habits it claims."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise

from detect.behavior.lab.company import DAY, HOUR, START, found
from detect.behavior.lab.days import WEEKEND, Where, shifts
from detect.behavior.lab.places import GATEWAY, KNOWN_EGRESS
from detect.behavior.lab.simulate import background
from detect.behavior.surroundings import egress_of


def test_a_seed_gives_one_company_and_one_stream_ordered_by_time() -> None:
    """Two runs agree event by event; another seed does not."""
    one = list(islice(background(found(7, users=20, days=3)), 4_000))
    again = list(islice(background(found(7, users=20, days=3)), 4_000))
    other = list(islice(background(found(8, users=20, days=3)), 4_000))
    assert one == again
    assert one != other
    assert all(before[0] <= after[0] for before, after in pairwise(one))
    assert START <= one[0][0] < START + HOUR
    assert len({document["event"]["id"] for _, document in one}) == len(one)
    sources = Counter(document["tocsin"]["source"] for _, document in one)
    assert {"directory", "endpoints", "fileserver", "proxy", "cloudtrail", "portal"} <= set(sources)


def test_weekends_holidays_vacations_and_night_shifts() -> None:
    """Few work on weekends and on their site's holiday; nobody on vacation; nights are worked."""
    company = found(3)
    by_day = [list(shifts(company, day)) for day in range(30)]
    assert len(by_day[5]) < 0.2 * len(by_day[1])  # a Saturday
    assert len(by_day[5]) > WEEKEND * 100
    for shift in (each for day in by_day for each in day):
        person = shift.person
        assert not person.away[0] <= shift.day < person.away[1]
        assert person.hired <= shift.day <= person.leaves
        if person.night and shift.where is not Where.TRAVEL:
            local = (shift.begin - START) / HOUR + person.site.offset
            assert not 9 <= local % 24 <= 17, person.name
    holiday = next(p.site for p in company.people).holiday
    there = [s for s in by_day[holiday] if s.person.site.holiday == holiday]
    assert len(there) < 0.3 * len([s for s in by_day[1] if s.person.site.holiday == holiday])
    assert any(shift.where is Where.TRAVEL for day in by_day for shift in day)
    assert any(person.hired > 0 for person in company.people)


def test_the_gateway_and_the_offices_are_known_egress() -> None:
    """What a deployment would list covers what many people share."""
    known = egress_of(KNOWN_EGRESS)
    company = found(1, users=40, days=2)
    assert known(GATEWAY.ip)
    assert all(known(person.site.network(2).ip) for person in company.people)
    assert not any(known(person.home(0).ip) for person in company.people)
    assert company.end == START + 2 * DAY
