"""Attacks: labelled, in the stream, the same for a seed, and only on what is there."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest

from detect.behavior.lab.company import found
from detect.behavior.lab.documents import stamp
from detect.behavior.lab.scenarios import FEWER, SCENARIOS, attacks
from detect.behavior.lab.simulate import background, heard, injected
from detect.behavior.lab.world import World, instant, of_company, of_events
from tocsin.errors import ConfigError


@pytest.fixture(scope="module")
def world() -> World:
    """A small company."""
    return of_company(found(5, users=120, days=20))


def test_every_scenario_is_labelled_and_repeatable(world: World) -> None:
    """As often as said, on different people, with what should have found it."""
    made, again = attacks(world, 5, times=2), attacks(world, 5, times=2)
    assert [each.label for each in made] == [each.label for each in again]
    assert [each.events for each in made] == [each.events for each in again]
    assert len(made) == 2 * len(SCENARIOS)
    assert set(FEWER) < set(SCENARIOS)
    for attack in made:
        label = attack.label
        assert label.id.startswith(label.scenario)
        assert all((label.detectors, label.techniques, label.entities)), label.id
        assert label.start <= label.end, label.id
        assert attack.silence or attack.events, label.id
        times = [at for at, _ in attack.events]
        assert times == sorted(times), label.id
        assert all(label.start <= at <= label.end for at in times), label.id
        named = {id for ids in label.entities.values() for id in ids}
        for _, document in attack.events[:3]:
            ids = {document.get(s, {}).get(k) for s, k in FIELDS}
            assert ids & named, label.id


FIELDS = (("user", "name"), ("host", "name"), ("source", "ip"), ("destination", "domain"),
          ("service", "name"))  # fmt: skip


def test_injection_keeps_the_order_and_what_is_silenced_is_silent(world: World) -> None:
    """The stream stays ordered by time, has every attack's events, and a silence."""
    company = found(5, users=8, days=8)
    place = of_company(company)
    chosen = attacks(place, 5, ("impossible_travel", "log_silence"), times=1)
    stream = list(injected(background(company), chosen))
    assert [d["@timestamp"] for d in stream] == sorted(d["@timestamp"] for d in stream)
    ids = {document["event"]["id"] for document in stream}
    assert {document["event"]["id"] for _, document in chosen[0].events} <= ids
    silence = chosen[1].silence
    assert silence is not None
    source, begin, end = silence
    said = [d["@timestamp"] for d in stream if d["tocsin"]["source"] == source]
    assert not [at for at in said if stamp(begin) <= at < stamp(end)]
    assert min(said) < stamp(begin)
    assert max(said) >= stamp(end)


def test_a_real_stream_gives_its_own_people_and_times() -> None:
    """Whoever is most active is known with host and address; nobody is invented."""
    company = found(5, users=12, days=3)
    events = [document for _, document in islice(background(company), 3_000)]
    world = of_events(events)
    names = {document.get("user", {}).get("name") for document in events}
    assert {actor.name for actor in world.people} <= names
    assert world.start == instant(events[0])
    assert set(world.sources) <= {document["tocsin"]["source"] for document in events}
    with pytest.raises(ConfigError, match="nobody can be attacked"):
        of_events([{"@timestamp": "2026-03-02T00:00:00.000Z"}])


def test_an_attack_in_a_silence_of_its_source_is_not_to_be_found(world: World) -> None:
    """Nobody can find what no log tells of; half of it is enough to be judged."""
    (scraper,) = attacks(world, 5, ["scraper"], times=1)
    begin, end = scraper.events[0][0], scraper.events[-1][0] + 1
    (silence,) = attacks(world, 5, ["log_silence"], times=1)
    whole = replace(silence, silence=("portal", begin, end))
    half = replace(silence, silence=("portal", begin, (begin + end) // 2))
    other = replace(silence, silence=("proxy", begin, end))
    assert not heard(scraper, [scraper, whole])
    assert heard(scraper, [scraper, half])
    assert heard(scraper, [scraper, other])
    assert heard(whole, [scraper, whole])
