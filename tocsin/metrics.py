"""What each stage counts, under the names operators scrape.

Every stage counts records received, sent, filtered (by reason), dead-lettered (by code) and
errors (by code); `Account.balanced` is the conservation law in = out + filtered + dead-lettered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as PrometheusCounter

if TYPE_CHECKING:
    from tocsin.stage import Batch


@dataclass(slots=True)
class Account:
    """What one stage did since the process started."""

    received: int = 0
    sent: int = 0
    outputs: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)

    @property
    def balanced(self) -> bool:
        """Whether every record received is sent, filtered or dead-lettered."""
        return self.received == self.sent + self.filtered.total() + self.dead.total()


class Metrics:
    """Accounts of all stages of a process, mirrored into one Prometheus registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.accounts: dict[str, Account] = {}
        self._received = self._counter("received", "records received", "stage")
        self._sent = self._counter("sent", "records that led to output", "stage")
        self._outputs = self._counter("outputs", "records written", "stage")
        self._filtered = self._counter("filtered", "records dropped on purpose", "stage", "reason")
        self._dead = self._counter("dead_lettered", "records dead-lettered", "stage", "code")
        self._errors = self._counter("errors", "errors, retried or reported", "stage", "code")
        self._noted = self._counter("noted", "late events, state given up", "stage", "what")
        self._drift = Gauge(
            "tocsin_lease_drift",
            "differences between leases and what products have in force",
            ["kind", "connector"],
            registry=self.registry,
        )
        self._drifting: set[tuple[str, str]] = set()
        self._seconds = Histogram(
            "tocsin_batch_seconds",
            "time to process and complete a batch",
            ["stage"],
            registry=self.registry,
        )

    def drift(self, differences: Counter[tuple[str, str]]) -> None:
        """Tell how many differences between leases and products stand, by (kind, connector)."""
        for labels in self._drifting - differences.keys():
            self._drift.labels(*labels).set(0)
        for labels, count in differences.items():
            self._drift.labels(*labels).set(count)
        self._drifting |= differences.keys()

    def _counter(self, name: str, text: str, *labels: str) -> PrometheusCounter:
        return PrometheusCounter(f"tocsin_{name}", text, labels, registry=self.registry)

    def account(self, stage: str) -> Account:
        """The account of a stage, opened on first use."""
        return self.accounts.setdefault(stage, Account())

    def batch(self, stage: str, received: int, batch: Batch, seconds: float = 0.0) -> None:
        """Book a completed batch; `received` is the number of input records in it."""
        account = self.account(stage)
        account.received += received
        account.sent += batch.sent
        account.outputs += len(batch.outputs)
        account.filtered.update(batch.filtered)
        account.dead.update(batch.dead)
        self._received.labels(stage).inc(received)
        self._sent.labels(stage).inc(batch.sent)
        self._outputs.labels(stage).inc(len(batch.outputs))
        for reason, count in batch.filtered.items():
            self._filtered.labels(stage, reason).inc(count)
        for code, count in batch.dead.items():
            self._dead.labels(stage, code).inc(count)
        account.noted.update(batch.noted)
        for what, count in batch.noted.items():
            self._noted.labels(stage, what).inc(count)
        self._seconds.labels(stage).observe(seconds)

    def error(self, stage: str, code: str) -> None:
        """Book an error of a bounded code."""
        self.account(stage).errors[code] += 1
        self._errors.labels(stage, code).inc()
