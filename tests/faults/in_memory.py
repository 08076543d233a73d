"""The path of a line in memory: normalize, match, correlate, alert, without log and runtime.

Nothing catches what a stage raises, so a defect anywhere on the path fails the test.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from detect.alerts import AlertStage
from detect.correlate import CorrelateStage
from detect.match import MatchStage
from detect.sigma import RuleSet, load_rules
from ingest.normalize import NormalizeStage
from tests.flow.world import END
from tocsin.contracts import Topics
from tocsin.log.base import MAX_RECORD, Outgoing, Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.stage import Stage

LATENESS = 600_000


@cache
def builtin_rules() -> RuleSet:
    return load_rules([], builtin=True)


def stages() -> list[Stage]:
    rules = builtin_rules()
    return [
        NormalizeStage(),
        MatchStage(rules),
        CorrelateStage(rules.correlations, lateness=LATENESS),
        AlertStage(lateness=LATENESS, correlations=rules.correlations),
    ]


@dataclass
class Path:
    """All stages on one partition each; `topics` holds every record by topic."""

    topics: defaultdict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    accounts: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def __post_init__(self) -> None:
        self._stages = stages()
        self._states = {stage.name: KeyedState() for stage in self._stages}
        self._read: Counter[str] = Counter()

    def feed(self, lines: Sequence[bytes], *, source: str = "app", received: int = END) -> None:
        """Lines in, and everything that follows of them."""
        headers = (("source", source.encode()), ("received", str(received).encode()))
        self._append([Outgoing(Topics.RAW, line, None, headers, received) for line in lines])
        for stage in self._stages:
            # A correlation may refer to another: its findings come back to correlate.
            while pending := self.topics[stage.topic][self._read[stage.name] :]:
                self._read[stage.name] += len(pending)
                self._process(stage, pending)

    def _process(self, stage: Stage, pending: Sequence[Record]) -> None:
        batch = stage.process(pending, self._states[stage.name], END)
        assert batch.accounted == len(pending), stage.name
        account = self.accounts[stage.name]
        account.update(received=len(pending), sent=batch.sent)
        account.update(filtered=batch.filtered.total(), dead=batch.dead.total())
        self._append([*batch.outputs, *stage.tick(0, self._states[stage.name], END)])

    def _append(self, outputs: Sequence[Outgoing]) -> None:
        for output in outputs:
            assert len(output.value) <= MAX_RECORD, output.topic
            records = self.topics[output.topic]
            records.append(
                Record(
                    output.topic, 0, len(records), output.key, output.value, output.headers,
                    output.timestamp,
                )
            )  # fmt: skip
