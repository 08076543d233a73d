"""The observe stage: events to observations, keyed by entity, combined for each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from detect.behavior.observation import Piece, encode
from detect.behavior.observer import Observer
from detect.behavior.repeats import Repeats, name
from tocsin.contracts import Topics
from tocsin.errors import BadInput
from tocsin.log.base import Outgoing
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.log.base import Record
    from tocsin.state import State


class ObserveStage:
    """Topic EVENTS to OBSERVATIONS (keyed `tenant|kind|id`); its state: the ids it has had."""

    name = "observe"
    topic = Topics.EVENTS
    stateful = True
    #: Records that are combined at once: the more, the less travels.
    slice = 1_000

    def __init__(self) -> None:
        self._observer = Observer()
        self._repeats = Repeats()

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """See tocsin.stage.Stage; raises BadInput for a record that holds no event document."""
        batch = Batch()
        if not records:
            return batch
        observer, loads = self._observer, orjson.loads
        observer.flush()  # what a batch that failed has left behind
        told = repeated = 0
        known, new = self._repeats.known(records[0].partition, state), dict[str, None]()
        for record in records:
            try:
                event = loads(record.value)
            except orjson.JSONDecodeError as error:
                raise BadInput("not_json", f"{record.position} is not JSON: {error}") from None
            if not isinstance(event, dict):
                raise BadInput("not_an_object", f"{record.position} is no JSON object")
            if (id := name(event)) is not None:
                if id in known or id in new:
                    repeated += 1
                    continue
                new[id] = None
            told += observer.add(event, record.timestamp, record)
        batch.sent = told
        if repeated:
            batch.filtered["repeated"] = repeated
        if told + repeated < len(records):
            batch.filtered["nothing_learned"] = len(records) - told - repeated
        piece = Piece(records[0].partition, records[0].offset, records[-1].offset)
        batch.outputs = [
            Outgoing(
                Topics.OBSERVATIONS,
                encode(each, piece),
                each.entity.key.encode(),
                timestamp=each.last,
            )
            for each in observer.flush()
        ]
        self._repeats.add(records[0].partition, state, list(new))
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """Nothing is due by time alone."""
        return ()
