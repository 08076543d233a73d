"""An event that comes twice is observed once, whatever happens in between."""

from __future__ import annotations

from typing import Any

import pytest

from detect.behavior import repeats
from detect.behavior.observe import ObserveStage
from detect.behavior.repeats import SLOT, SLOTS, Repeats, name
from tests.detect.behavior.events import MONDAY, logon, records
from tocsin.errors import BadInput
from tocsin.log.base import Record
from tocsin.state import KeyedState


def stored(state: KeyedState) -> KeyedState:
    """The state as a restart finds it."""
    return KeyedState({key: value for key, value in state.changes().items() if value is not None})


def test_events_sent_again_say_nothing_new() -> None:
    events = records([logon(MONDAY + at * 1_000, ok=False, id=f"f{at}") for at in range(30)])
    state = KeyedState()
    first = ObserveStage().process(events[:20], state, 0)
    assert first.sent == 20
    again = ObserveStage().process(events[5:25], stored(state), 0)
    assert again.filtered["repeated"] == 15
    assert again.accounted == 20
    same = ObserveStage()
    assert same.process([*events[:3], *events[:3]], KeyedState(), 0).filtered["repeated"] == 3


def test_what_was_taken_back_is_not_known() -> None:
    """A batch that fails is tried again record by record: none of them may be a repeat."""
    events = records([logon(MONDAY + at * 1_000, id=f"f{at}") for at in range(3)])
    broken = Record(events[0].topic, 0, 9, None, b"{", (), 0)
    stage, state = ObserveStage(), KeyedState()
    state.savepoint()
    with pytest.raises(BadInput):
        stage.process([*events, broken], state, 0)
    state.rollback()
    assert not stage.process(events, state, 0).filtered["repeated"]
    state.savepoint()
    stage.process(records([logon(MONDAY + 9_000, id="later")]), state, 0)
    state.rollback()  # the log did not take it
    assert not stage.process(records([logon(MONDAY + 9_000, id="later")]), state, 0).filtered[
        "repeated"
    ]


def test_the_oldest_are_forgotten_and_state_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "SLOT", 4)
    monkeypatch.setattr(repeats, "SLOTS", 3)
    known, state = Repeats(), KeyedState()
    ids = [f"{number:032x}" for number in range(100)]
    for at in range(0, 100, 7):
        known.add(0, state, ids[at : at + 7])
        kept = known.known(0, state)
        assert min(at + 7, 9) <= len(kept) <= 12
        assert set(ids[max(0, at - 1) : at + 7]) <= kept
        assert Repeats().known(0, state) == kept, "what is in memory is what is in the state"
    assert len(state) == 4
    assert SLOT * SLOTS == 32_768, "docs/behavior.md and docs/architecture.md say so"


def test_an_id_of_others_is_hashed_and_none_is_no_repeat() -> None:
    assert name({"event": {"id": "a" * 32}}) == "a" * 32
    odd = name({"event": {"id": "provider-7"}})
    assert odd is not None
    assert len(odd) == 32
    nameless: list[dict[str, Any]] = [
        *({}, {"event": {}}, {"event": {"id": 7}}, {"event": "x"}, {"event": {"id": ""}})
    ]
    for event in nameless:
        assert name(event) is None
