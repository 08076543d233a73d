"""The circuit breaker: opens on silence, waits, tries again, and honours a product's own pause."""

from __future__ import annotations

from playbooks.act_model import Outcome
from playbooks.breaker import COOL_DOWN, THRESHOLD, Breaker
from tests.playbooks.effects_on_trial import T0
from tocsin.contracts import Failure

SILENCE = Outcome(failure=Failure(kind="timeout", message=""))
ANSWERED = Outcome({"ok": True})


def opened() -> Breaker:
    breaker = Breaker("fw")
    for _ in range(THRESHOLD):
        breaker.note(SILENCE, T0)
    return breaker


def test_it_opens_after_failures_in_a_row_and_says_how_long() -> None:
    refusal = opened().refusal(T0 + 1000)
    assert refusal is not None
    assert (refusal.kind, refusal.retry_after) == ("unavailable", COOL_DOWN - 1000)
    assert "fw" in refusal.message


def test_an_answer_between_failures_keeps_it_closed() -> None:
    breaker = Breaker("fw")
    for _ in range(3 * THRESHOLD):
        breaker.note(SILENCE, T0)
        breaker.note(ANSWERED, T0)
    assert breaker.refusal(T0) is None


def test_what_is_wrong_with_one_call_says_nothing_of_the_product() -> None:
    breaker = Breaker("fw")
    for _ in range(3 * THRESHOLD):
        breaker.note(Outcome(failure=Failure(kind="http_4xx", message="")), T0)
    assert breaker.refusal(T0) is None


def test_after_the_pause_one_failure_opens_it_again_and_one_answer_closes_it() -> None:
    later = T0 + COOL_DOWN
    breaker = opened()
    assert breaker.refusal(later) is None
    breaker.note(SILENCE, later)
    assert breaker.refusal(later) is not None
    breaker.note(ANSWERED, later + COOL_DOWN)
    breaker.note(SILENCE, later + COOL_DOWN)
    assert breaker.refusal(later + COOL_DOWN) is None


def test_a_pause_that_the_product_asked_for_is_kept() -> None:
    breaker = Breaker("fw")
    limited = Failure(kind="rate_limited", message="", retry_after=7000)
    breaker.note(Outcome(failure=limited), T0)
    refusal = breaker.refusal(T0 + 6999)
    assert refusal is not None
    assert (refusal.kind, refusal.retry_after) == ("rate_limited", 1)
    assert breaker.refusal(T0 + 7000) is None
