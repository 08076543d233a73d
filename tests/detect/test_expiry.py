"""State is forgotten in event time, and not before its records cannot come again."""

from __future__ import annotations

import pytest

from detect.expiry import PROGRESS, REDELIVERY, Companions, Expiry, Watermark
from tocsin.state import KeyedState

NOW = 1_000_000


def test_a_due_key_is_kept_until_its_record_cannot_come_again() -> None:
    expiry, state = Expiry(), KeyedState()
    state["k"] = 1
    expiry.add(100, "k")
    assert not list(expiry.expired(None, 10, state))
    assert not list(expiry.expired(99, 10, state))
    assert not list(expiry.expired(100, 10, state))
    assert not list(expiry.expired(100, 9 + REDELIVERY, state))
    assert list(expiry.expired(100, 10 + REDELIVERY, state)) == ["k"]


def test_the_watermark_only_grows_and_survives() -> None:
    state = KeyedState()
    watermark = Watermark(state, lateness=10)
    assert not watermark.is_late(-(10**12))
    watermark.advance(500, NOW)
    watermark.advance(400, NOW)
    watermark.save(7)
    again = Watermark(state, lateness=10)
    assert again.value == 500
    assert again.is_late(489)
    assert not again.is_late(490)


def test_a_clock_in_the_future_makes_nobody_late() -> None:
    watermark = Watermark(KeyedState(), lateness=10)
    watermark.advance(NOW * 1_000, NOW)
    assert not watermark.is_late(NOW)


def test_a_companion_stays_with_its_state() -> None:
    companions = Companions(lambda state: sorted(state))
    state = KeyedState()
    with companions.of(0, state) as first:
        state["a"] = 1
        state[PROGRESS] = [1, 1]
    with companions.of(0, state) as second:
        assert second is first
    with companions.of(1, KeyedState()) as other:
        assert other == []


@pytest.mark.parametrize("plain", [False, True])
def test_another_state_object_gets_another_companion(plain: bool) -> None:
    companions = Companions(lambda state: sorted(state))
    with companions.of(0, {} if plain else KeyedState()):
        pass
    with companions.of(0, {"a": 1}) as companion:
        assert companion == ["a"]


def test_a_state_that_took_changes_back_gets_another_companion() -> None:
    companions = Companions(lambda state: sorted(state))
    state = KeyedState()
    state.savepoint()
    with companions.of(0, state) as companion:
        state[PROGRESS] = [1, 1]
    state.rollback()
    with companions.of(0, state) as again:
        assert again is not companion


def fail(companions: Companions[list[str]], state: KeyedState) -> None:
    with companions.of(0, state) as companion:
        companion.append("half done")
        raise RuntimeError("a defect")


def test_a_companion_does_not_survive_an_exception() -> None:
    companions = Companions(lambda state: sorted(state))
    state = KeyedState()
    with companions.of(0, state):
        pass
    with pytest.raises(RuntimeError):
        fail(companions, state)
    with companions.of(0, state) as companion:
        assert companion == []
