"""Detectors of spraying, stuffing, beacons, theft, bots and floods: one that is, one that is not.

Events go the whole way: observe, slices, profile, detector, calibration, finding.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from detect.behavior.detectors.beaconing import Beaconing
from detect.behavior.detectors.bot import BotSession
from detect.behavior.detectors.bulk_download import AtypicalDataAccess, BulkDownload
from detect.behavior.detectors.exfiltration import HighSentBytes
from detect.behavior.detectors.flood import RequestFlood
from detect.behavior.detectors.insider import InsiderRisk
from detect.behavior.detectors.spraying import PasswordSpraying
from detect.behavior.detectors.stuffing import CredentialStuffing
from detect.behavior.lab.company import DAY, HOUR, MINUTE, START, generator
from detect.behavior.lab.documents import (
    file_read,
    flow,
    logon,
    numbered,
    portal_logon,
    request,
)
from detect.behavior.lab.places import SITES, hostile
from detect.behavior.options import Options
from detect.behavior.replaying import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.random import Generator

    from detect.behavior.detector import Detector
    from tocsin.contracts import Document, Finding

Timed = tuple[int, "Document"]


def told(
    detector: Detector,
    events: Iterable[Timed],
    *egress: str,
    budgets: Mapping[str, float] | None = None,
) -> list[Finding]:
    """What a detector alone makes of events."""
    ordered = sorted(events, key=lambda timed: timed[0])
    documents = [numbered(document, f"e{n}") for n, (_, document) in enumerate(ordered)]
    return list(run(documents, [detector], Options(egress=egress, budgets=budgets or {})))


def only(findings: list[Finding], entity: str) -> Finding:
    """The single finding, which is about that entity."""
    assert len(findings) == 1, [finding.message for finding in findings]
    assert entity in findings[0].fields.values()
    return findings[0]


def test_spraying_is_told_of_one_address_that_fails_everywhere() -> None:
    """Forty accounts, one try each, half a minute apart."""
    network = hostile(1, 7)
    events = [
        (START + n * 30_000, logon(START + n * 30_000, f"user{n}", network, ok=False))
        for n in range(40)
    ]
    finding = only(told(PasswordSpraying(), events), network.ip)
    assert finding.rule.tags == ("attack.t1110.003",)
    assert "never signed in to" in finding.message


def test_spraying_over_a_night_is_told_and_a_shared_office_is_not() -> None:
    """One try in twenty minutes is enough; many who mistype behind one address are not."""
    network, office = hostile(1, 8), SITES[0].network()
    slow = [
        (START + n * 20 * MINUTE, logon(START + n * 20 * MINUTE, f"user{n}", network, ok=False))
        for n in range(30)
    ]
    only(told(PasswordSpraying(), slow), network.ip)
    random = generator(1)
    busy = []
    for n in range(200):
        at = START + int(random.integers(3 * HOUR))
        if n % 8 == 0:
            busy.append((at, logon(at, f"user{n}", office, ok=False)))
            at += 20_000
        busy.append((at, logon(at, f"user{n}", office)))
    assert not told(PasswordSpraying(), busy)


def test_stuffing_is_told_of_a_service_and_a_monday_morning_is_not() -> None:
    """Hundreds of accounts once each, from many addresses; against more of what is usual."""
    usual = [
        (
            at,
            portal_logon(at, f"c{at % 97}", f"2001:db8:a::{at % 89:x}", ok=at // MINUTE % 3 > 0),
        )
        for at in range(START, START + DAY, 7 * MINUTE)
    ]
    attack = [
        (at, portal_logon(at, f"leaked{at}", f"2001:db8:f::{at // 2000 % 60:x}", ok=False))
        for at in range(START + DAY, START + DAY + 20 * MINUTE, 4_000)
    ]
    finding = only(told(CredentialStuffing(), [*usual, *attack]), "portal")
    assert finding.at >= START + DAY
    monday = [
        (
            at,
            portal_logon(at, f"c{at % 997}", f"2001:db8:a::{at % 887:x}", ok=at // 10_000 % 7 > 0),
        )
        for at in range(START + DAY, START + DAY + 20 * MINUTE, 10_000)
    ]
    assert not told(CredentialStuffing(), [*usual, *monday])


def _surfing(host: str, days: int, random: Generator) -> list[Timed]:
    """A person at work who sees known places at irregular times."""
    made = []
    for day in range(days):
        for _ in range(25):
            at = START + day * DAY + int(random.uniform(8, 17) * HOUR)
            place = f"site{random.integers(20)}.example.com"
            sent = int(random.lognormal(9, 1))
            made.append((at, flow(at, "ana", host, "10.0.0.7", place, sent, 90_000)))
    return made


def test_a_beacon_with_jitter_is_told_and_neither_people_nor_updates_are() -> None:
    """Every ten minutes within ten per cent; against surfing, and a clock that all hosts share."""
    random = generator(2)
    usual = _surfing("ws-1", 8, random)
    at, beacon = START + 6 * DAY, []
    for _ in range(40):
        at += int(10 * MINUTE * random.uniform(0.9, 1.1))
        beacon.append((at, flow(at, "ana", "ws-1", "10.0.0.7", "cdn.example.org", 400, 900)))
    finding = only(told(Beaconing(), [*usual, *beacon]), "ws-1")
    assert finding.fields["destination.domain"] == "cdn.example.org"
    shared = [
        (at, flow(at, "", f"ws-{n}", f"10.0.1.{n}", "updates.example.net", 400, 900))
        for n in range(1, 15)
        for at in range(START, START + 7 * DAY, 2 * HOUR)
    ]
    assert not told(Beaconing(), [*usual, *shared])


def test_slow_theft_adds_up_and_a_backup_does_not() -> None:
    """Small pieces for days to a place nobody knows; against as much as on every other day."""
    random = generator(3)
    usual = _surfing("ws-1", 12, random)
    theft = [
        (at, flow(at, "ana", "ws-1", "10.0.0.7", "drop.example.org", 8_000_000, 900))
        for day in range(8, 12)
        for at in range(START + day * DAY, START + day * DAY + 8 * HOUR, 20 * MINUTE)
    ]
    findings = told(HighSentBytes(), [*usual, *theft])
    assert findings[0].fields["destination.domain"] == "drop.example.org"
    assert findings[0].at < START + 8 * DAY + 5 * HOUR
    backup = [
        (at, flow(at, "svc", "srv-1", "10.0.2.1", "vault.example.com", 90_000, 900))
        for at in range(START, START + 12 * DAY, HOUR)
    ]
    assert not told(HighSentBytes(), [*usual, *backup])


def test_patience_does_not_make_theft_usual() -> None:
    """A quarter more each day: told while it is still small, by its own first days."""
    random = generator(4)
    poison, level = [], 2_000_000.0
    for day in range(28):
        for hour in range(8, 16):
            at = START + day * DAY + hour * HOUR
            sent = int(level / 8 * random.uniform(0.9, 1.1))
            poison.append((at, flow(at, "ana", "ws-1", "10.0.0.7", "m.example.org", sent, 900)))
        level *= 1.25
    findings = told(HighSentBytes(), poison)
    assert findings
    assert findings[0].at < START + 20 * DAY


def _reading(days: int, random: Generator) -> list[Timed]:
    """A person who reads a few files an hour of an own folder."""
    made = []
    for day in range(days):
        for _ in range(14):
            at = START + day * DAY + int(random.uniform(8, 17) * HOUR)
            path = f"/cases/{random.integers(3)}/doc{random.integers(99)}.pdf"
            made.append((at, file_read(at, "ana", "ws-1", path)))
    return made


def test_a_bulk_download_is_told_and_a_folder_is_not() -> None:
    """Four hundred files in an hour; not fifteen in ten minutes, where the budget is spent."""
    random = generator(5)
    usual = _reading(9, random)
    bulk = [
        (at, file_read(at, "ana", "ws-1", f"/cases/9/doc{at}.pdf"))
        for at in range(START + 8 * DAY + 10 * HOUR, START + 8 * DAY + 11 * HOUR, 9_000)
    ]
    only(told(BulkDownload(), [*usual, *bulk]), "ana")
    folder = [
        (at, file_read(at, "ana", "ws-1", f"/cases/1/doc{at}.pdf"))
        for day, apart in ((4, 25_000), (8, 40_000))
        for at in range(
            START + day * DAY + 10 * HOUR, START + day * DAY + 10 * HOUR + 600_000, apart
        )
    ]
    spent = {"bulk_download": 0.0}
    assert not told(BulkDownload(), [*usual, *folder], budgets=spent)
    only(told(BulkDownload(), [*usual, *folder, *bulk], budgets=spent), "ana")


def test_files_of_others_are_told_and_new_ones_of_the_own_folder_are_not() -> None:
    """Twelve files of folders that only others read, in ten minutes."""
    random = generator(6)
    usual = _reading(12, random)
    for day in range(12):
        for n in range(40):  # others read theirs
            at = START + day * DAY + 9 * HOUR + n * 60_000
            usual.append((at, file_read(at, f"other{n % 9}", "ws-2", f"/other/{n % 9}/doc{n}.pdf")))
    late = START + 11 * DAY + 19 * HOUR
    strange = [
        (at, file_read(at, "ana", "ws-1", f"/ledger/x/doc{at}.pdf"))
        for at in range(late, late + 600_000, 50_000)
    ]
    only(told(AtypicalDataAccess(), [*usual, *strange]), "ana")
    own = [
        (at, file_read(at, "ana", "ws-1", f"/cases/1/new{at}.pdf"))
        for at in range(late, late + 600_000, 50_000)
    ]
    assert not told(AtypicalDataAccess(), [*usual, *own])


def test_an_insider_is_told_by_days_of_small_signs_and_one_busy_day_is_not() -> None:
    """More files and more bytes to a new place each evening; against a single such evening."""
    random = generator(7)
    usual = [*_reading(16, random), *_surfing("ws-1", 16, random)]

    def evening(day: int) -> list[Timed]:
        begin = START + day * DAY + 19 * HOUR
        read = [
            (at, file_read(at, "ana", "ws-1", f"/cases/2/doc{at}.pdf"))
            for at in range(begin, begin + HOUR, 40_000)
        ]
        store = f"own{day}.example.org"
        sent = [
            (at, flow(at, "ana", "ws-1", "10.0.0.7", store, 40_000_000, 900))
            for at in range(begin, begin + HOUR, 20 * MINUTE)
        ]
        return [*read, *sent]

    findings = told(InsiderRisk(), [*usual, *(e for day in range(10, 15) for e in evening(day))])
    assert findings
    assert findings[0].at > START + 11 * DAY
    assert "ana" in findings[0].fields.values()
    assert not told(InsiderRisk(), [*usual, *evening(12)])


def test_a_scraper_is_told_and_readers_are_not() -> None:
    """A page every three seconds for half an hour; against people, and an office full of them."""
    random = generator(8)
    bot = [
        (at, request(at, "2001:db8:b::1", f"/catalog/{n}", status=200 if n < 60 else 404))
        for n, at in enumerate(range(START, START + 30 * MINUTE, 3_000))
    ]
    only(told(BotSession(), bot), "2001:db8:b::1")
    people, at = [], START
    for n in range(120):
        at += int(random.exponential(15_000)) + 300
        people.append((at, request(at, "2001:db8:a::2", f"/catalog/{n % 20}")))
    assert not told(BotSession(), people)


def test_a_flood_is_told_and_the_daily_peak_is_not() -> None:
    """Ten times the forecast of the hour; against the hour that is always busy."""
    random = generator(9)
    usual = []
    for day in range(5):
        for hour in range(24):
            for _ in range(500 if hour == 12 else 6):
                at = START + day * DAY + hour * HOUR + int(random.integers(HOUR))
                usual.append((at, request(at, f"2001:db8:a::{at % 50:x}", "/search")))
    assert not told(RequestFlood(), usual)
    begin = START + 4 * DAY + 3 * HOUR
    flood = [
        (begin + n * 500, request(begin + n * 500, f"2001:db8:c::{n % 300:x}", "/search"))
        for n in range(1_300)
    ]
    only(told(RequestFlood(), [*usual, *flood]), "portal")


def test_every_detector_has_its_section_in_the_docs() -> None:
    """With its inputs, technique and parameters as the code has them."""
    page = Path(__file__).parents[4] / "docs" / "behavior.md"
    sections = page.read_text("utf-8").split("\n### ")
    described = {section.partition("\n")[0]: section for section in sections[1:]}
    for detector in MINE:
        section = described[detector.spec.name]
        told = [*detector.spec.inputs, *detector.spec.techniques]
        told += [f"{name}: {value}" for name, value in detector.spec.parameters.items()]
        missing = [each for each in told if each not in section]
        assert not missing, f"{detector.spec.name}: {missing}"


MINE = (
    PasswordSpraying,
    CredentialStuffing,
    Beaconing,
    HighSentBytes,
    BulkDownload,
    AtypicalDataAccess,
    InsiderRisk,
    BotSession,
    RequestFlood,
)
