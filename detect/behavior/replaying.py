"""Observe and behavior over events in memory, without a log: for the lab, tests and benchmarks."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from detect.behavior.behavior import BehaviorStage
from detect.behavior.detectors.table import all_detectors
from detect.behavior.memory import Memory
from detect.behavior.observation import SLICE, Observation, Piece
from detect.behavior.observer import Observer
from detect.behavior.options import Options
from detect.correlated import Clock
from detect.expiry import Watermark
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from detect.behavior.detector import Detector
    from tocsin.contracts import Finding

#: Events that are observed at once.
BATCH = 1_000
#: A time (ms) after everything: the clock of a replay holds no event for a wrong one.
_FOREVER = 2**62


class Replay:
    """A partition's observe and behavior stages; `take` events in order, `end` at last.

    `stage` and `memory` may be looked at; `observed` counts observations.
    """

    def __init__(
        self, detectors: Sequence[Detector] | None = None, options: Options | None = None
    ) -> None:
        self.options = options or Options()
        chosen = all_detectors() if detectors is None else detectors
        self.stage = BehaviorStage(chosen, self.options)
        self.state: dict[str, Any] = {}
        self.memory = Memory(self.state, self.options.max_entities)
        self.observed = 0
        self._observer = Observer()
        self._offset = 0

    def take(self, events: Iterable[Mapping[str, Any]], *, batch: int = BATCH) -> Iterator[Finding]:
        """The findings that events (ECS documents) make, as soon as they are decided."""
        pending = iter(events)
        while chunk := list(islice(pending, batch)):
            first = self._offset
            for event in chunk:
                self._observer.add(event, 0, f"replay/0/{self._offset}")
                self._offset += 1
            piece = Piece(0, first, self._offset - 1)
            yield from self.tell((each, piece) for each in self._observer.flush())

    def tell(self, told: Iterable[tuple[Observation, Piece] | Clock]) -> list[Finding]:
        """What observations, or the time, make due."""
        numbered = []
        for each in told:
            numbered.append((self.observed, each))
            self.observed += 1
        return self.stage.take(numbered, self.memory, self.state, _FOREVER, Batch())

    def end(self) -> list[Finding]:
        """Decide what is open: nothing comes any more."""
        latest = Watermark(self.state, self.options.lateness).value
        if latest is None:
            return []
        return self.tell([Clock(latest + self.options.lateness + SLICE)])


def run(
    events: Iterable[Mapping[str, Any]],
    detectors: Sequence[Detector] | None = None,
    options: Options | None = None,
) -> Iterator[Finding]:
    """All findings of events (ECS documents in about the order of time)."""
    replay = Replay(detectors, options)
    yield from replay.take(events)
    yield from replay.end()
