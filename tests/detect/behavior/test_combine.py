"""How events are cut into batches, and what order they come in, does not show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.behavior.combine import combine
from detect.behavior.observation import Entity, Observation, Piece, decode, encode
from detect.behavior.observer import Observer
from tests.detect.behavior.events import ABROAD, MONDAY, OFFICE, event, flow, logon, process
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tocsin.contracts import Document

_MOMENT = st.integers(0, 1_500_000).map(lambda ms: MONDAY + ms)
_EVENT = st.one_of(
    st.builds(
        logon,
        _MOMENT,
        st.sampled_from(["ada", "Bob "]),
        st.sampled_from([OFFICE, ABROAD]),
        ok=st.booleans(),
    ),
    st.builds(process, _MOMENT, st.sampled_from(["a.exe", "b.exe", "c.exe"])),
    st.builds(flow, _MOMENT, st.integers(0, 9_000), st.sampled_from(["x.example", "y.example"])),
)


def observed(events: Iterable[Document]) -> list[Observation]:
    observer = Observer()
    for each in events:
        observer.add(each, 0, "events/0/0")
    return observer.flush()


def merged(parts: Iterable[Observation]) -> dict[tuple[Entity, int], Observation]:
    grouped: dict[tuple[Entity, int], list[Observation]] = {}
    for each in parts:
        grouped.setdefault((each.entity, each.start), []).append(each)
    return {key: combine(each) for key, each in grouped.items()}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(_EVENT, min_size=1, max_size=14, unique_by=lambda e: e["event"]["id"]),
    st.integers(0, 14),
    st.randoms(use_true_random=False),
)
def test_neither_cuts_nor_order_show(events: list[Document], cut: int, random: object) -> None:
    whole = merged(observed(events))
    parts = observed(events[:cut]) + observed(events[cut:])
    assert merged(parts) == whole
    assert merged(reversed(parts)) == whole
    random.shuffle(events)  # type: ignore[attr-defined]
    assert merged(observed(events)) == whole


def test_it_is_associative() -> None:
    one, two, three = (
        observed([logon(MONDAY + ms, ok=ms != 2, place=(f"192.0.2.{ms}", "DE", 1, 1))])[1]
        for ms in (1, 2, 3)
    )
    assert combine([combine([one, two]), three]) == combine([one, combine([two, three])])
    with pytest.raises(ValueError, match="nothing"):
        combine([])


def test_what_a_record_holds_comes_back() -> None:
    piece = Piece(3, 5, 9)
    for each in observed([logon(MONDAY), process(MONDAY + 5, "a.exe"), flow(MONDAY + 9, 10)]):
        assert decode(encode(each, piece)) == (each, piece)
    for wrong in (b"{", b"{}", b'{"e": 1, "o": [0, 0, 0]}', b"[]"):
        with pytest.raises(BadInput):
            decode(wrong)


def test_values_beyond_the_bound_are_counted_together() -> None:
    many = [process(MONDAY + at, f"p{at:03}.exe") for at in range(100)]
    (host,) = [each for each in observed(many) if each.entity.kind == "host"]
    assert len(host.values("process")) == 64
    assert host.total("process") == 100
    assert len(host.samples) <= 16


def test_a_sample_is_the_earliest_event_with_the_value() -> None:
    made = merged(observed([logon(MONDAY + 9, place=ABROAD), logon(MONDAY + 3, place=ABROAD)]))
    user = made[Entity("default", "user", "ada"), MONDAY]
    sample = user.sample("source.geo.country", "BR")
    assert sample is not None
    assert (sample.at, sample.origin) == (MONDAY + 3, f"raw/0/{MONDAY + 3}")


def test_nobody_and_machines_are_no_users() -> None:
    for name in ("SYSTEM", "-", "ws01$", "ANONYMOUS LOGON"):
        made = observed([logon(MONDAY, name)])
        assert "user" not in {each.entity.kind for each in made}, name


def test_an_event_without_anything_says_nothing() -> None:
    observer = Observer()
    assert not observer.add({"@timestamp": "never"}, 5, "events/0/0")
    assert not observer.add({"event": {"category": ["process"]}, "process": 5}, 5, "events/0/0")
    odd = event(MONDAY, "authentication", event={"outcome": "success"}, source=[], user="x")
    assert observer.add(odd, 5, "events/0/0")  # its source of logs spoke
    assert [each.entity.kind for each in observer.flush()] == ["log"]
