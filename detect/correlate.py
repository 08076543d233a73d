"""The correlate stage: Sigma correlations over findings, grouped and in event time.

What it emits, taken together, is a function of the set of findings (see detect/windows.py for
how, and for its bounds). Each satisfied event makes a finding, split by the aligned window that
alerts are collected in, with the evidence not shown before; and one grouped finding for each
correlation that refers to this one, which tells of the satisfied event alone, so that a chain
depends on the set of events as well.

Event time is the watermark of the partition of the input. An event older than the lateness is
correlated with what is still there, unless that is decided already, and counted.

Silence moves no watermark. A partition that waits for something to be decided, and has heard
nothing for as long as events may come late, is told the time by a record of its own (Clock): the
log then decides the same again after a restart, and a backlog that is being worked off is not
overtaken by the clock.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from detect.conditions import Closing
from detect.correlated import TENANT, Clock, Decoded, Maker, decode
from detect.expiry import Companions, Watermark
from detect.patience import patience
from detect.windows import Occurrence, Owner, Windows
from tocsin.contracts import Topics
from tocsin.errors import ConfigError
from tocsin.log.base import Outgoing
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from detect.model import Correlation
    from detect.windows import Firing
    from tocsin.log.base import Record
    from tocsin.state import State

__all__ = ["TENANT", "CorrelateStage"]


class CorrelateStage:
    """Topic CORRELATE (GroupedFinding by `correlation|group`) to FINDINGS and, chained, back.

    `lateness` is in ms. Raises ConfigError if correlations refer to each other in a circle.
    `counters` counts since the start: `late`, `evicted` (events that a window dropped unemitted,
    or that were given up to make room) and `ungrouped` (satisfied events that lack what a chained
    correlation groups by).
    """

    name = "correlate"
    topic = Topics.CORRELATE
    stateful = True

    def __init__(self, correlations: Sequence[Correlation], *, lateness: int) -> None:
        self.counters: Counter[str] = Counter()
        self._lateness = lateness
        self._correlations = {correlation.rule.id: correlation for correlation in correlations}
        self._referrers: dict[str, list[Correlation]] = {}
        for correlation in correlations:
            for reference in dict.fromkeys(correlation.references):
                self._referrers.setdefault(reference, []).append(correlation)
        _refuse_circles(self._correlations)
        self._patience = patience(correlations, lateness)
        self._later = {
            (c.rule.id, c.rule.hash): c.condition
            for c in correlations
            if c.condition.closing is not Closing.AT_ONCE
        }
        self._companions = Companions(self._windows)

    def _windows(self, state: State) -> Windows:
        return Windows(state, self._later, lateness=self._lateness, patience=self._patience)

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """See tocsin.stage.Stage; raises BadInput before it has touched the state."""
        batch = Batch()
        decoded = [(record, decode(record)) for record in records]
        if not decoded:
            return batch
        before = self.counters.copy()
        with self._companions.of(records[0].partition, state) as windows:
            watermark = Watermark(state, self._lateness)
            windows.heard = now
            for record, told in decoded:
                if isinstance(told, Clock):
                    self._repeat(windows, record.offset, batch, now)
                    batch.filtered["clock"] += 1
                    watermark.advance(told.at, now)
                else:
                    self._correlate(record, told, windows, watermark.value, batch, now)
                    self.counters["late"] += watermark.is_late(told.event.at)
                    watermark.advance(told.event.at, now)
                windows.expire(watermark.value, record.offset)
            for group, firing in windows.close(watermark.value, records[-1].offset):
                self._emit(group.owner, firing, batch, now)
            self.counters["evicted"] += windows.flush()
            watermark.save(records[-1].offset)
        batch.noted.update(self.counters - before)
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """The time, where something waits for it and nothing has come for as long as it may."""
        with self._companions.of(partition, state) as windows:
            if windows.heard is None:  # what came before this process, nobody knows
                windows.heard = now
            awaited = windows.awaited()
            if awaited is None or now < max(awaited, windows.heard + self._lateness):
                return ()
            windows.heard = now
        return (
            Outgoing(Topics.CORRELATE, Clock(now).encode(), timestamp=now, partition=partition),
        )

    def end(self, state: State) -> Iterator[Outgoing]:
        """The time after which nothing comes any more, for events that are read to their end."""
        latest = Watermark(state, self._lateness).value
        if latest is not None:
            at = latest + self._lateness + 1
            yield Outgoing(Topics.CORRELATE, Clock(at).encode(), timestamp=at)

    def _repeat(self, windows: Windows, offset: int, batch: Batch, now: int) -> bool:
        """Emit again what was decided with a record that is processed again; whether that is so."""
        again = list(windows.again(offset))
        for group, firing in again:
            self._emit(group.owner, firing, batch, now)
        return bool(again)

    def _correlate(
        self,
        record: Record,
        grouped: Decoded,
        windows: Windows,
        watermark: int | None,
        batch: Batch,
        now: int,
    ) -> None:
        """Put a grouped finding into its window, and emit what that makes."""
        correlation = self._correlations.get(grouped.correlation)
        if correlation is None:
            batch.filtered["unknown_correlation"] += 1
            return
        again = self._repeat(windows, record.offset, batch, now)
        group = windows.known(grouped.group) or windows.group(
            Owner(correlation.rule.id, correlation.rule.hash, grouped.tenant, grouped.group),
            correlation.condition,
        )
        event = grouped.event
        occurrence = Occurrence(event.at, event.event_id, grouped.value, record.offset)
        added = windows.add(group, occurrence, grouped.member(), watermark)
        self.counters["evicted"] += added.evicted
        for firing in added.firings:
            self._emit(group.owner, firing, batch, now)
        if added.late:
            batch.filtered["late"] += 1
        elif added.duplicate and not added.firings and not again:
            batch.filtered["duplicate"] += 1
        else:
            batch.sent += 1

    def _emit(self, owner: Owner, firing: Firing, batch: Batch, now: int) -> None:
        correlation = self._correlations.get(owner.correlation)
        if correlation is None:
            return
        maker = Maker(correlation, owner.group, owner.tenant)
        if correlation.alerts:
            batch.outputs.extend(
                Outgoing(Topics.FINDINGS, finding.encode(), finding.key.encode(), timestamp=now)
                for finding in maker.findings(firing)
            )
        batch.outputs.extend(self._chained(maker, firing, now))

    def _chained(self, maker: Maker, firing: Firing, now: int) -> Iterator[Outgoing]:
        for referrer in self._referrers.get(maker.correlation.rule.id, ()):
            found = maker.grouped(firing, referrer)
            if not found:
                self.counters["ungrouped"] += 1
            for grouped in found:
                yield Outgoing(
                    Topics.CORRELATE, grouped.encode(), grouped.group.encode(), timestamp=now
                )


def _refuse_circles(correlations: Mapping[str, Correlation]) -> None:
    done: set[str] = set()

    def visit(rule: str, path: tuple[str, ...]) -> None:
        if rule in path:
            circle = " -> ".join((*path[path.index(rule) :], rule))
            raise ConfigError(f"correlations refer to each other in a circle: {circle}")
        if rule in correlations and rule not in done:
            for reference in correlations[rule].references:
                visit(reference, (*path, rule))
            done.add(rule)

    for rule in correlations:
        visit(rule, ())
