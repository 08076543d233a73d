"""Accounts and their Prometheus mirror tell the same figures."""

from __future__ import annotations

from collections import Counter

from prometheus_client import generate_latest

from tocsin.log.base import Outgoing
from tocsin.metrics import Metrics
from tocsin.stage import Batch


def batch() -> Batch:
    return Batch(
        outputs=[Outgoing("events", b"1"), Outgoing("events", b"2"), Outgoing("dead-letters", b"")],
        sent=1,
        filtered=Counter(no_rule=3),
        dead=Counter(not_text=1),
    )


def test_a_batch_is_booked_and_balances() -> None:
    metrics = Metrics()
    metrics.batch("match", 5, batch(), 0.25)
    metrics.batch("match", 5, batch())
    account = metrics.account("match")
    assert (account.received, account.sent, account.outputs) == (10, 2, 6)
    assert (account.filtered, account.dead) == (Counter(no_rule=6), Counter(not_text=2))
    assert account.balanced
    assert batch().accounted == 5


def test_a_record_that_vanishes_or_appears_unbalances_the_account() -> None:
    for received in (4, 6):
        metrics = Metrics()
        metrics.batch("match", received, batch())
        assert not metrics.account("match").balanced


def test_prometheus_sees_the_same() -> None:
    metrics = Metrics()
    metrics.batch("match", 5, batch(), 0.25)
    metrics.error("match", "log_unavailable")
    text = generate_latest(metrics.registry).decode()
    for line in (
        'tocsin_received_total{stage="match"} 5.0',
        'tocsin_sent_total{stage="match"} 1.0',
        'tocsin_outputs_total{stage="match"} 3.0',
        'tocsin_filtered_total{reason="no_rule",stage="match"} 3.0',
        'tocsin_dead_lettered_total{code="not_text",stage="match"} 1.0',
        'tocsin_errors_total{code="log_unavailable",stage="match"} 1.0',
        'tocsin_batch_seconds_count{stage="match"} 1.0',
    ):
        assert line in text.splitlines()


def test_two_processes_worth_of_metrics_do_not_mix() -> None:
    one, two = Metrics(), Metrics()
    one.error("act", "log")
    assert two.account("act").errors == Counter()
