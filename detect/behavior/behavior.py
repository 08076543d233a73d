"""The behavior stage: observations to findings, by profiles of entities.

A slice of an entity is decided when the watermark has passed its end by the lateness; slices are
decided in the order of time and entity, so neither the order of observations within the lateness
nor batches show. An observation of a slice that is decided is late: counted, not learned.

Time that nobody tells passes as in the correlate stage: a record of its own (Clock).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import orjson

from detect.behavior.deciding import Decider
from detect.behavior.memory import Memory
from detect.behavior.observation import SLICE, Observation, Piece, read
from detect.behavior.verdicts import Verdict, apply, parse
from detect.correlated import Clock
from detect.expiry import Companions, Watermark
from tocsin.contracts import Topics
from tocsin.errors import BadInput
from tocsin.log.base import Outgoing
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from detect.behavior.detector import Detector
    from detect.behavior.models.asking import ModelMemory
    from detect.behavior.models.days import Gathered
    from detect.behavior.models.standing import Standings
    from detect.behavior.options import Options
    from tocsin.contracts import Finding
    from tocsin.log.base import Record
    from tocsin.state import State

#: A jump of the time over more than this (ms) is our own gap: nobody was silent.
OWN_GAP = 6 * 3_600_000

Told = Clock | Verdict | tuple[Observation, Piece]


class BehaviorStage:
    """Topic OBSERVATIONS (by entity) to FINDINGS.

    `counters` counts since the start: `late` observations and `evicted` entities.
    """

    name = "behavior"
    topic = Topics.OBSERVATIONS
    stateful = True

    def __init__(self, detectors: Sequence[Detector], options: Options) -> None:
        self.counters: Counter[str] = Counter()
        self.decider = Decider(detectors, options)
        self._options = options
        self._models: dict[int, ModelMemory] = {}
        self._companions = Companions(lambda state: Memory(state, options.max_entities))

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """See tocsin.stage.Stage; raises BadInput before it has touched the state."""
        batch = Batch()
        told = [(record.offset, _told(record)) for record in records]
        if not told:
            return batch
        with self._companions.of(records[0].partition, state) as memory:
            memory.heard = now
            found = self.take(told, memory, state, now, batch)
            memory.save()
            self._models[records[0].partition] = memory.models
        batch.outputs = [
            Outgoing(Topics.FINDINGS, each.encode(), each.key.encode(), timestamp=now)
            for each in found
        ]
        return batch

    def take(
        self,
        told: Iterable[tuple[int, Told]],
        memory: Memory,
        state: State,
        now: int,
        batch: Batch,
    ) -> list[Finding]:
        """Take in what was told, by offset, and decide what time makes due."""
        lateness = self._options.lateness
        watermark = Watermark(state, lateness)
        found: list[Finding] = []
        offset = 0
        for at, each in told:
            offset = at
            if isinstance(each, Verdict):
                apply(each, memory)
                batch.sent += 1
                continue
            before = watermark.value
            if isinstance(each, Clock):
                batch.filtered["clock"] += 1
                watermark.advance(each.at, now)
            elif memory.is_decided(each[0].start):
                batch.filtered["late"] += 1
                self.counters["late"] += 1
                batch.noted["late"] += 1
                continue
            else:
                memory.put(*each)
                batch.sent += 1
                watermark.advance(each[0].last, now)
            if watermark.value is not None and watermark.value != before:
                found += self._decide(memory, watermark.value - lateness, before)
        watermark.save(offset)
        evicted = memory.evict()
        self.counters["evicted"] += evicted
        if evicted:
            batch.noted["evicted"] += evicted
        return found

    def _decide(self, memory: Memory, until: int, before: int | None) -> Iterator[Finding]:
        """Decide every slice that ends by `until` (ms); at each full hour, who has been silent."""
        if before is not None and until + self._options.lateness - before > OWN_GAP:
            memory.skip_hours(until)
        for start in memory.due(until):
            yield from self._silent(memory, start)
            for observation in memory.take(start):
                scene = memory.scene(observation)
                yield from self.decider.decide(observation, scene, memory.calibration)
        yield from self._silent(memory, until - until % SLICE)
        memory.decided = max(memory.decided, until - until % SLICE)

    def _silent(self, memory: Memory, until: int) -> Iterator[Finding]:
        """The sources of logs that say nothing at a full hour though they should."""
        silence = self.decider.silence
        while (at := memory.next_hour(until)) is not None:
            for entity, profile in memory.logs() if silence is not None else ():
                anomaly = silence.overdue(profile, at, memory.gap) if silence is not None else None
                if anomaly is None or silence is None:
                    continue
                calibration = memory.calibration
                told = self.decider.weigh(silence.spec, anomaly, entity, profile, calibration, at)
                memory.changed(entity)
                for each, surprise in told:
                    yield self.decider.made(each, entity, at, profile, surprise)

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """The time, where something waits for it and nothing has come for as long as it may."""
        with self._companions.of(partition, state) as memory:
            if memory.heard is None:
                memory.heard = now
            if not memory.waits or now < memory.heard + self._options.lateness:
                return ()
            memory.heard = now
        return (
            Outgoing(Topics.OBSERVATIONS, Clock(now).encode(), timestamp=now, partition=partition),
        )

    def stand(self, standings: Standings) -> None:
        """Add how models stand in the partitions that this stage has worked on."""
        for memory in self._models.values():
            for key, value in memory.every():
                standings.restore(*key, orjson.dumps(value))

    def days(self, gathered: Gathered) -> None:
        """Add users' days of the partitions that this stage has worked on."""
        for memory in self._models.values():
            for prefix, value in memory.days.every():
                gathered.add(prefix, value)

    def end(self, state: State) -> Iterator[Outgoing]:
        """The time after which nothing comes any more, for events that are read to their end."""
        latest = Watermark(state, self._options.lateness).value
        if latest is not None:
            at = latest + self._options.lateness + SLICE
            yield Outgoing(Topics.OBSERVATIONS, Clock(at).encode(), timestamp=at)


def _told(record: Record) -> Told:
    try:
        body = orjson.loads(record.value)
    except orjson.JSONDecodeError as error:
        raise BadInput("not_json", f"{record.position} is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadInput("not_an_object", f"{record.position} is no JSON object")
    if "e" in body:
        return read(body)
    if "verdict" in body:
        return parse(body)
    at = body.get("clock")
    if isinstance(at, int):
        return Clock(at)
    raise BadInput("observation", f"{record.position} is no observation")
