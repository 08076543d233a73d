"""What a stage is: a pure function from records and keyed state to outputs, and its account."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.log.base import Outgoing, Record
    from tocsin.state import State


@dataclass(slots=True)
class Batch:
    """What became of some records of one partition.

    Each input record is counted exactly once: in `sent` (it led to at least one output, or to a
    change of state that will), in `filtered` under a reason, or in `dead` under a code (its dead
    letter is among the outputs). The conservation test adds them up. `noted` counts what happened
    besides: events that came late, state that was given up to stay bounded.
    """

    outputs: list[Outgoing] = field(default_factory=list)
    sent: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)

    @property
    def accounted(self) -> int:
        """How many input records this batch accounts for."""
        return self.sent + self.filtered.total() + self.dead.total()


class Stage(Protocol):
    """A stage of the pipeline with one input topic.

    `process` and `tick` do no I/O and read no clock. A stage raises BadInput for a record that
    can never be processed when it is given a single record; the runtime then dead-letters it.
    """

    @property
    def name(self) -> str:
        """Also the consumer group."""
        ...

    @property
    def topic(self) -> str:
        """The input topic."""
        ...

    @property
    def stateful(self) -> bool: ...

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """Process records of one partition in order; `state` is that partition's.

        The result may not depend on how a sequence of records is cut into batches, apart from
        intermediate revisions. `now` is ms since the epoch.
        """
        ...

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """Outputs that time alone makes due; must not change `state` (Faust cannot there)."""
        ...
