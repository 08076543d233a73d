"""What each source did, counted where it happens and read when the metrics are scraped."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric


@dataclass(slots=True)
class SourceAccount:
    """Messages of one source since the process started; the keys of the counters are bounded.

    `received` = `appended` + `filtered` + `dead` + `dropped` + what is still `waiting`. `refused`
    counts requests, their parts and connections that were turned away and told so: those never
    were messages of ours. `bytes` is of what was received. `down` says why nothing can be
    collected just now, or "".
    """

    received: int = 0
    bytes: int = 0
    appended: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    down: str = ""

    @property
    def waiting(self) -> int:
        """Messages received whose fate is open; 0 at rest."""
        settled = self.filtered.total() + self.dead.total() + self.dropped.total()
        return self.received - self.appended - settled


class Counted(Protocol):
    """A source as far as metrics are concerned."""

    @property
    def name(self) -> str: ...

    @property
    def account(self) -> SourceAccount: ...


#: Metrics with a code, each a counter of the account: suffix, what it counts.
_CODED = {
    "filtered": "messages left out on purpose",
    "dead": "messages dead-lettered",
    "dropped": "messages lost, because their sender cannot be made to wait",
    "refused": "requests and connections turned away",
    "errors": "errors, retried or reported",
}


class SourceMetrics(Collector):
    """The accounts of all sources of a process, under the names operators scrape."""

    def __init__(self, sources: Sequence[Counted], registry: CollectorRegistry) -> None:
        self._sources = sources
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Prometheus's call."""
        received = CounterMetricFamily("tocsin_source_received", "messages", labels=["source"])
        size = CounterMetricFamily("tocsin_source_bytes", "bytes received", labels=["source"])
        appended = CounterMetricFamily(
            "tocsin_source_appended", "messages that the log has", labels=["source"]
        )
        connections = GaugeMetricFamily(
            "tocsin_source_connections", "connections open", labels=["source"]
        )
        for source in self._sources:
            account, label = source.account, [source.name]
            received.add_metric(label, account.received)
            size.add_metric(label, account.bytes)
            appended.add_metric(label, account.appended)
            connections.add_metric(label, account.connections)
        yield from (received, size, appended, connections)
        for name, text in _CODED.items():
            family = CounterMetricFamily(f"tocsin_source_{name}", text, labels=["source", "code"])
            for source in self._sources:
                for code, count in getattr(source.account, name).items():
                    family.add_metric([source.name, code], count)
            yield family
