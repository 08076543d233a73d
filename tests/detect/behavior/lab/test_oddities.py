"""What is odd and harmless: there, of every kind, and the same for a seed."""

from __future__ import annotations

from collections import Counter

from detect.behavior.lab import documents
from detect.behavior.lab.company import DAY, START, found
from detect.behavior.lab.oddities import RARE_ADMIN, USUAL_ADMIN, of_odd_days
from detect.behavior.lab.surges import of_surges


def test_every_kind_of_odd_day_comes_and_comes_again_for_the_seed() -> None:
    """Failures without an attack, administration, other folders, crawlers, campaigns, agents."""
    company = found(4, users=200, days=12)
    made = [
        each
        for day in range(company.days)
        for each in (*of_odd_days(company, day), *of_surges(company, day))
    ]
    again = [*of_odd_days(company, 7), *of_surges(company, 7)]
    assert again == [*of_odd_days(company, 7), *of_surges(company, 7)]
    sources = Counter(document["tocsin"]["source"] for _, document in made)
    expected = {documents.DIRECTORY, documents.FILES, documents.PROXY, documents.WEB}
    expected |= {documents.ENDPOINTS, documents.DNS}
    assert expected < set(sources)
    assert any(source.startswith("firewall-") for source in sources)
    failed = [d for _, d in made if d["event"].get("outcome") == "failure"]
    assert len(failed) > 20
    actions = {d["event"]["action"] for _, d in made}
    assert actions & set(USUAL_ADMIN)
    assert actions & {*RARE_ADMIN, "query"}
    assert all(START - DAY <= at < company.end + 20 * DAY for at, _ in made)


def test_agents_report_by_the_clock_to_names_of_their_own() -> None:
    """A beacon and a harmless one: many contacts of one host, nobody else's destination."""
    company = found(6, users=200, days=6)
    contacts: Counter[tuple[str, str]] = Counter()
    for day in range(company.days):
        for _, document in of_surges(company, day):
            domain = document.get("destination", {}).get("domain", "")
            if domain.endswith(".telemetry.example"):
                contacts[domain, document["host"]["name"]] += 1
    assert len({domain for domain, _ in contacts}) == len(contacts) > 0
    assert max(contacts.values()) > 20
