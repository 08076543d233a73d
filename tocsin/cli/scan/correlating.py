"""Correlations over everything that was scanned.

Files come in any order and correlations look at time, so what they wait for is kept aside, in a
temporary file, and fed to the stage in the order of time when all is read. In memory stay sixteen
bytes for each, and the windows of a day.
"""

from __future__ import annotations

import tempfile
from array import array
from itertools import islice
from typing import IO, TYPE_CHECKING

from detect.correlate import CorrelateStage
from tocsin.cli.scan.matching import Hit, level_of
from tocsin.clock import iso
from tocsin.contracts import Finding, Topics
from tocsin.log.base import Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from detect.sigma.ruleset import RuleSet
    from tocsin.cli.scan.matching import Grouped
    from tocsin.log.base import Outgoing

#: How long windows are kept beyond their own length, ms.
LATENESS = 86_400_000
#: Findings that are fed at a time.
BATCH = 1_000


class Spool:
    """Keeps what correlations wait for; used in `with`, which removes its file."""

    def __init__(self) -> None:
        self._times, self._places = array("q"), array("q")
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by __exit__)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, grouped: Iterable[Grouped]) -> None:
        """Keep some."""
        for each in grouped:
            self._times.append(each.at)
            self._places.append(self._file.tell())
            self._file.write(each.key.hex().encode() + b" " + each.value + b"\n")

    def in_order(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values by time; of equal times in the order they were added."""
        for at in sorted(range(len(self._times)), key=self._times.__getitem__):
            self._file.seek(self._places[at])
            key, _, value = self._file.readline().rstrip(b"\n").partition(b" ")
            yield bytes.fromhex(key.decode()), value


def correlated(spool: Spool, ruleset: RuleSet, now: int) -> Iterator[Hit]:
    """The hits of correlations: one for each event that completed a window.

    What waits for late events is decided when all are read; a window that ends behind the last of
    them is not.
    """
    stage = CorrelateStage(ruleset.correlations, lateness=LATENESS)
    state, offset = KeyedState(), 0
    waiting, ended = spool.in_order(), False
    while True:
        pending = [_record(key, value) for key, value in islice(waiting, BATCH)]
        if not pending:
            if ended:
                return
            pending, ended = [_record(b"", each.value) for each in stage.end(state)], True
        while pending:
            given = [each._replace(offset=offset + n) for n, each in enumerate(pending)]
            offset += len(given)
            outputs = stage.process(given, state, now).outputs
            for finding in _findings(outputs):
                yield _hit(finding)
            chained = [o for o in outputs if o.topic == Topics.CORRELATE]
            pending = [_record(o.key or b"", o.value) for o in chained]
        state.saved()


def _record(key: bytes, value: bytes) -> Record:
    return Record(Topics.CORRELATE, 0, 0, key, value)


def _findings(outputs: Sequence[Outgoing]) -> Iterator[Finding]:
    for output in outputs:
        if output.topic == Topics.FINDINGS:
            yield Finding.decode(output.value)


def _hit(finding: Finding) -> Hit:
    last = max(finding.evidence, key=lambda evidence: (evidence.at, evidence.event_id))
    file, number = _origin(last.origin)
    rule = finding.rule
    told = [f"{reason.field or reason.selection}: {reason.value}" for reason in finding.reasons]
    return Hit(
        file,
        number,
        rule.id,
        rule.name,
        level_of(finding.severity),
        tuple(rule.tags),
        iso(last.at),
        _first(finding, "host.name"),
        _first(finding, "user.name"),
        (finding.message, *told) if finding.message else tuple(told),
        _first(finding, "source.ip"),
    )


def _origin(origin: str) -> tuple[str, int]:
    """File and record of an event: its position is "file/0/record"."""
    file, _, number = origin.rpartition("/")
    return file.rpartition("/")[0], int(number) if number.isdigit() else 0


def _first(finding: Finding, name: str) -> str:
    values = finding.entities.get(name, ())
    return values[0] if values else ""
