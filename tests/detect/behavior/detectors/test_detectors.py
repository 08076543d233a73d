"""Each detector of the core: something odd passes its floor, something usual does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from detect.behavior.detectors.logon import BruteForce, FailedLogons
from detect.behavior.detectors.masquerade import Masquerade
from detect.behavior.detectors.rarity import RARE, RareHour
from detect.behavior.detectors.silence import LogSilence
from detect.behavior.detectors.travel import ImpossibleTravel, apart, kilometers
from detect.behavior.detectors.volume import DRIFTS, HIGH
from detect.behavior.observation import Place
from detect.behavior.observer import Observer
from detect.behavior.options import Options
from detect.behavior.replaying import Replay
from detect.behavior.surroundings import context, egress_of
from tests.detect.behavior.events import (
    ABROAD,
    DAY,
    HOUR,
    MONDAY,
    OFFICE,
    event,
    logon,
    process,
    working_days,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from detect.behavior.detector import Detector
    from tocsin.contracts import Document

PEOPLE = ("ada", "bob", "eve", "kim")
#: When the odd thing happens: a Wednesday of the fifth week.
THEN = MONDAY + 30 * DAY
MINUTE = 60_000
HOME = ("198.51.100.7", "DE", 52.4, 13.1)


def past() -> Iterator[Document]:
    """Four weeks of four people at the office, each on a machine of their own, and a key."""
    for day, morning in enumerate(working_days(28)):
        for number, user in enumerate(PEOPLE):
            at, host = morning + number * MINUTE, f"ws-{user}"
            yield logon(at, user)
            yield logon(at + 5 * HOUR, user, HOME if user == "ada" else OFFICE)
            for minute, name in enumerate(("mail.exe", "word.exe", f"{user}-tool.exe")):
                yield process(at + minute * 40 * MINUTE, name, user, host)
            yield administered(at, "group-list", user)
        for hour in range(9):
            yield called(morning + hour * HOUR, "GetObject", OFFICE)
        yield logon(morning - MINUTE, "ada", ok=False, id=f"wrong-{day}")


def called(at: int, action: str, place: tuple[str, str, float, float]) -> Document:
    return event(
        at,
        "api",
        event={"action": action, "provider": "s3", "outcome": "success", "id": f"{action}{at}"},
        cloud={"provider": "aws"},
        user={"id": "AKEXAMPLE"},
        source={"ip": place[0], "geo": {"country_iso_code": place[1]}},
    )


def administered(at: int, action: str, user: str = "ada") -> Document:
    return event(
        at, "iam", event={"action": action, "id": f"{action}{user}{at}"}, user={"name": user}
    )


_PAST = sorted(past(), key=lambda each: each["@timestamp"])
_REPLAYS: dict[str, Replay] = {}


def learned(detector: Detector) -> Replay:
    """The past with that detector, so that it has the memory it would have."""
    name = detector.spec.name
    if name not in _REPLAYS:
        replay = _REPLAYS[name] = Replay([detector], Options())
        list(replay.take(_PAST))
        replay.end()
    return _REPLAYS[name]


def most(detector: Detector, events: Iterable[Document], egress: tuple[str, ...] = ()) -> float:
    """The highest score that the events get after the past."""
    replay, observer = learned(detector), Observer()
    for each in events:
        observer.add(each, 0, "events/0/0")
    best = 0.0
    for observation in observer.flush():
        if observation.entity.kind in detector.spec.kinds:
            scene = replay.memory.scene(observation)
            around = context(
                observation,
                scene.profile,
                scene.population,
                scene.peers,
                egress=egress_of(egress),
                model=lambda name: None,
                lateness=0,
            )
            found = detector.score(observation, scene.profile, around)
            best = max([best, *(each.score for each in found)])
    return best


NINE = THEN + 9 * HOUR
_FAR = ("203.0.113.9", "BR", -23.5, -46.6)
_GUESSED = [logon(NINE + at * 1_000, "ada", _FAR, ok=False) for at in range(9)]

#: Detector → (odd events, usual events).
CASES: dict[str, tuple[list[Document], list[Document]]] = {
    "auth_rare_hour_for_a_user": ([logon(THEN + 2 * HOUR)], [logon(THEN + 8 * HOUR)]),
    "auth_rare_source_ip_for_a_user": ([logon(NINE, place=_FAR)], [logon(NINE, place=HOME)]),
    "auth_rare_country_for_a_user": ([logon(NINE, place=_FAR)], [logon(NINE, place=HOME)]),
    "auth_rare_device_for_a_user": ([logon(NINE, device="kali")], [logon(NINE)]),
    "rare_process_for_a_host": (
        [process(NINE, "mimi.exe")],
        [process(NINE, "mail.exe"), process(NINE, "word.exe")],
    ),
    "rare_parent_process_for_a_host": ([process(NINE, "mimi.exe")], [process(NINE, "mail.exe")]),
    "rare_process_for_a_user": ([process(NINE, "mimi.exe")], [process(NINE, "ada-tool.exe")]),
    "rare_api_action_for_an_identity": (
        [called(NINE, "DeleteTrail", OFFICE)],
        [called(NINE, "GetObject", OFFICE)],
    ),
    "rare_source_country_for_an_identity": (
        [called(NINE, "GetObject", _FAR)],
        [called(NINE, "GetObject", OFFICE)],
    ),
    "privilege_change_out_of_pattern": (
        [administered(NINE, "user-created")],
        [administered(NINE, "group-list")],
    ),
    "auth_high_count_logon_fails": (
        [logon(NINE + at * 1_000, ok=False) for at in range(60)],
        [logon(NINE, ok=False), logon(NINE + 9_000)],
    ),
    "brute_force_success": (
        [*_GUESSED, logon(NINE + 60_000, "ada", _FAR)],
        [*(logon(NINE + at, ok=False) for at in range(3)), logon(NINE + 60_000)],
    ),
    "masquerade": (
        [process(NINE + at, f"{user}-tool.exe") for at, user in enumerate(("bob", "eve", "kim"))]
        + [process(NINE + 9, "mail.exe")],
        [process(NINE + at, n) for at, n in enumerate(("mail.exe", "word.exe", "ada-tool.exe"))],
    ),
    "high_count_events_for_a_log_source": (
        [event(NINE + at, "x", event={"id": str(at)}) for at in range(900)],
        [event(NINE + at, "x", event={"id": str(at)}) for at in range(9)],
    ),
    "high_count_events_for_a_host": (
        [process(NINE + at, "mail.exe") for at in range(900)],
        [process(NINE + at, "mail.exe") for at in range(4)],
    ),
}
DETECTORS: tuple[Any, ...] = (
    *(RareHour(), *RARE, FailedLogons(), BruteForce(), Masquerade()),
    *HIGH,
)


def test_what_is_odd_passes_and_what_is_usual_does_not() -> None:
    wrong = []
    for detector in DETECTORS:
        spec = detector.spec
        if spec.name not in CASES:
            continue
        odd, usual = (most(detector, events) for events in CASES[spec.name])
        if not usual < spec.floor <= odd:
            wrong.append(f"{spec.name}: odd {odd:.2f}, usual {usual:.2f}, floor {spec.floor}")
    assert not wrong, "\n".join(wrong)


def test_networks_and_hosts_are_compared_like_addresses() -> None:
    (asn,) = [each for each in RARE if each.spec.name == "auth_rare_asn_for_a_user"]
    odd = logon(NINE)
    odd["source"] = {**odd["source"], "as": {"number": 64_511}}
    assert most(asn, [odd]) >= asn.spec.floor > most(asn, [logon(NINE)])
    (host,) = [each for each in RARE if each.spec.name == "auth_rare_host_for_a_user"]
    odd = {**logon(NINE), "host": {"name": "domain-controller"}}
    assert most(host, [odd]) >= host.spec.floor > most(host, [logon(NINE)])


def test_known_egress_says_nothing_of_places() -> None:
    known = ("203.0.113.0/24",)
    for detector in RARE:
        if detector.feature in ("source.ip", "source.geo.country", "source.as"):
            assert most(detector, [logon(NINE, place=_FAR)], known) == 0, detector.spec.name
    there = [logon(NINE, "bob"), logon(NINE + MINUTE, "bob", _FAR)]
    assert most(ImpossibleTravel(), there, known) == 0


def test_travel_is_impossible_by_speed_and_distance() -> None:
    there = [logon(NINE, "bob"), logon(NINE + 5 * MINUTE, "bob", ABROAD)]
    assert most(ImpossibleTravel(), there) > 100_000
    near = ("198.51.100.90", "DE", 50.1, 8.7)  # 400 km
    assert most(ImpossibleTravel(), [logon(NINE, "bob"), logon(NINE + MINUTE, "bob", near)]) == 0
    home = [logon(NINE, "ada"), logon(NINE + MINUTE, "ada", HOME)]
    assert most(ImpossibleTravel(), home) == 0


@pytest.mark.parametrize("radius", [0, 20, 400])
def test_distance_is_what_the_accuracy_leaves_of_it(radius: float) -> None:
    berlin = Place(0, 52.5, 13.4, radius, "192.0.2.1")
    paris = Place(0, 48.9, 2.35, radius, "192.0.2.2")
    assert kilometers(berlin, paris) == pytest.approx(878, abs=8)
    assert kilometers(berlin, berlin) == 0
    assert apart(berlin, paris) == pytest.approx(kilometers(berlin, paris) - 2 * (radius or 50))
    pole, antipode = Place(0, 90, 0, 1, ""), Place(0, -90, 0, 1, "")
    assert kilometers(pole, antipode) == pytest.approx(20_015, abs=10)


def test_silence_is_told_once_and_after_it_speaks_again() -> None:
    steady = [
        event(MONDAY + at * HOUR // 2, "x", event={"id": str(at)}) for at in range(24 * 2 * 8)
    ]
    replay = Replay([LogSilence()], Options())
    assert list(replay.take(steady)) == []
    last = MONDAY + 8 * DAY
    other = [
        event(last + at * HOUR // 2, "x", event={"id": f"o{at}"}, tocsin={"source": "another"})
        for at in range(40)
    ]
    found = list(replay.take(other))
    assert [each.rule.id for each in found] == ["behavior.log_silence"]
    assert found[0].evidence[0].at == last - HOUR // 2
    assert "log source tests has said nothing for" in found[0].message
    back = [event(last + 21 * HOUR, "x", event={"id": "back"})]
    assert [*replay.take(back), *replay.end()] == []


def test_a_gap_of_our_own_is_nobodys_silence() -> None:
    steady = [
        event(MONDAY + at * HOUR // 2, "x", event={"id": str(at)}) for at in range(24 * 2 * 8)
    ]
    after = [event(MONDAY + 11 * DAY, "x", event={"id": "z"}, tocsin={"source": "another"})]
    replay = Replay([LogSilence()], Options())
    assert [*replay.take(steady), *replay.take(after), *replay.end()] == []


def test_every_detector_of_the_core_has_a_case() -> None:
    elsewhere = {"auth_rare_asn_for_a_user", "auth_rare_host_for_a_user"}
    named = {each.spec.name for each in DETECTORS}
    assert named - elsewhere == CASES.keys()
    assert [each.spec.name for each in DRIFTS] == ["baseline_drift"]  # tests of poisoning guards
