"""Keyed state: a mapping whose changes are journalled and can be taken back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.state import KeyedState, peek


def test_it_is_a_mapping_of_what_was_stored() -> None:
    state = KeyedState({"a": b'{"n": 1}', "b": b"[]"})
    assert dict(state) == {"a": {"n": 1}, "b": []}
    assert ("a" in state, "c" in state, len(state)) == (True, False, 2)
    assert state.changes() == {}
    with pytest.raises(KeyError, match="c"):
        state["c"]
    with pytest.raises(KeyError, match="c"):
        del state["c"]


def test_changes_are_json_and_none_for_what_is_gone() -> None:
    state = KeyedState({"a": b"1", "b": b"2"})
    state["c"] = {"z": None}
    state["a"] = 5
    del state["b"]
    assert state.changes() == {"a": b"5", "b": None, "c": b'{"z":null}'}
    state.saved()
    assert state.changes() == {}


def test_rollback_restores_values_and_the_journal() -> None:
    state = KeyedState({"a": b"1", "b": b"2"})
    state["a"] = 10
    state.savepoint()
    state["a"] = 11
    state["a"] = 12
    state["new"] = 1
    del state["b"]
    state.rollback()
    assert dict(state) == {"a": 10, "b": 2}
    assert state.changes() == {"a": b"10"}


def test_a_savepoint_forgets_the_one_before() -> None:
    state = KeyedState()
    state.savepoint()
    state["a"] = 1
    state.savepoint()
    state["b"] = 2
    state.rollback()
    assert dict(state) == {"a": 1}


def test_without_a_savepoint_nothing_is_taken_back() -> None:
    state = KeyedState()
    state["a"] = 1
    state.rollback()
    assert dict(state) == {"a": 1}


def test_what_was_taken_for_saved_and_was_not_is_journalled_again() -> None:
    state = KeyedState({"a": b"1"})
    state["a"] = 2
    changes = state.changes()
    state.saved()
    state.unsaved(changes)
    assert state.changes() == {"a": b"2"}


def test_what_was_stored_is_read_when_it_is_asked_for() -> None:
    """A value that nobody reads may even be broken; a look keeps what it looks at as it is."""
    state = KeyedState({"a": b'{"n":1}', "b": b"{"})
    assert (len(state), "b" in state, sorted(state)) == (2, True, ["a", "b"])
    assert state.peek("a") == {"n": 1}
    assert peek(state, "a") is not peek(state, "a")
    assert peek({"a": 1}, "a") == 1
    assert state["a"] is state["a"]
    assert state.peek("a") is state["a"]
    state.savepoint()
    state["b"] = 2
    state.rollback()
    assert state.changes() == {}
    state.unsaved(["b"])
    assert state.changes() == {"b": b"{"}


KEYS = st.sampled_from("abcd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, st.integers(0, 9)),
        st.tuples(st.sampled_from(["delete", "savepoint", "rollback", "saved"]), KEYS, st.just(0)),
    )
)


@given(STEPS)
def test_stored_bytes_and_changes_always_give_the_state(steps: list[tuple[str, str, int]]) -> None:
    """Whatever happens, what was saved plus `changes` is what a restart must find."""
    stored: dict[str, bytes] = {"a": b"0"}
    state = KeyedState(stored)
    marked: dict[str, Any] = {}
    open_savepoint = False
    for what, key, value in steps:
        match what:
            case "set":
                state[key] = value
            case "delete" if key in state:
                del state[key]
            case "savepoint":
                state.savepoint()
                marked, open_savepoint = dict(state), True
            case "rollback" if open_savepoint:
                state.rollback()
                assert dict(state) == marked
            case "saved":
                stored = _apply(stored, state.changes())
                state.saved()
                open_savepoint = False
        assert dict(KeyedState(_apply(stored, state.changes()))) == dict(state)


def _apply(stored: dict[str, bytes], changes: dict[str, bytes | None]) -> dict[str, bytes]:
    merged: dict[str, bytes | None] = {**stored, **changes}
    return {key: value for key, value in merged.items() if value is not None}
