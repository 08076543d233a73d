"""Records to hits, in as many processes as there are cores.

Rules and mappings are loaded once; the processes are forked from the one that did and share its
memory. A chunk goes out, its hits come back, in order.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from detect.match import MatchStage
from ingest.normalize import Delivery, Normalizer
from tocsin.contracts import SEVERITY, Topics
from tocsin.errors import BadInput
from tocsin.log.base import Record
from tocsin.route import ROUTE, route_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from detect.sigma.batch import Matched
    from detect.sigma.ruleset import Match, RuleSet
    from tocsin.cli.scan.inputs import Chunk

#: Chunks that wait for each process: enough to keep it busy, few enough to bound memory.
AHEAD = 3
#: Longest value of a hit, characters.
MAX_SHOWN = 512


class Hit(NamedTuple):
    """A record that a rule matches, and why; ready to be written.

    A correlation's record is the one that completed it. `alerts` is False for a rule that only
    feeds correlations, or is told not to alert.
    """

    file: str
    record: int
    rule: str
    title: str
    level: str
    tags: tuple[str, ...]
    at: str
    host: str
    user: str
    reasons: tuple[str, ...]
    source: str = ""
    alerts: bool = True


class Grouped(NamedTuple):
    """A finding on its way to be correlated: when, under which key, as the stages write it."""

    at: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Scanned:
    """What came of one chunk: hits in the order of records and rule ids, counts, problems."""

    hits: tuple[Hit, ...]
    records: int
    events: int
    problems: tuple[str, ...]
    grouped: tuple[Grouped, ...] = ()


class Scan:
    """Scans chunks with one rule set; `now` (ms) completes times without a year."""

    def __init__(self, ruleset: RuleSet, now: int) -> None:
        self._ruleset = ruleset
        self._stage = MatchStage(ruleset)
        self._normalizer = Normalizer()
        self._now = now

    def chunk(self, chunk: Chunk) -> Scanned:
        """The hits of a chunk."""
        records: list[Record] = []
        problems: list[str] = []
        for number, data in chunk.records:
            if not data.strip():
                continue
            raw = Delivery(
                data, chunk.file, "default", self._now, (chunk.file, 0, number), "", "UTC"
            )
            try:
                made = self._normalizer.events(raw)
            except BadInput as error:
                problems.append(f"{chunk.file}:{number + 1}: {error.reason_code}: {error}")
                continue
            for document, _ in made:
                headers = ((ROUTE, route_of(document)),)
                records.append(Record(chunk.file, 0, number, b"", orjson.dumps(document), headers))
        found = self._stage.matched(records)
        hits: dict[tuple[int, str], Hit] = {}
        for at in sorted(found):
            number = records[at].offset
            for match in found[at].matches:
                hits[number, match.rule.rule.id] = _hit(chunk.file, number, found[at].event, match)
        return Scanned(
            tuple(hits[key] for key in sorted(hits)),
            len(chunk.records),
            len(records),
            tuple(problems),
            tuple(self._grouped(records, found)),
        )

    def _grouped(self, records: list[Record], found: dict[int, Matched]) -> Iterator[Grouped]:
        """The findings that correlations wait for."""
        if not self._ruleset.correlations:
            return
        referred = {
            at: matched._replace(matches=matches)
            for at, matched in found.items()
            if (matches := [m for m in matched.matches if self._refers(m)])
        }
        for output in self._stage.made(records, referred).outputs:
            if output.topic == Topics.CORRELATE:
                yield Grouped(output.timestamp, output.key or b"", output.value)

    def _refers(self, match: Match) -> bool:
        return bool(self._ruleset.referring(match.rule.rule.id))


def level_of(severity: int) -> str:
    """The level of a severity, so that one that the configuration changes shows."""
    reached = (level for level, least in SEVERITY.items() if severity >= least)
    return max(reached, key=SEVERITY.__getitem__, default="informational")


def _hit(file: str, number: int, event: Any, match: Match) -> Hit:
    rule = match.rule.rule
    return Hit(
        file,
        number,
        rule.id,
        rule.name,
        level_of(match.rule.policy.severity or SEVERITY[rule.level]),
        tuple(rule.tags),
        str(event.get("@timestamp", "")),
        _text(event, "host", "name"),
        _text(event, "user", "name"),
        tuple(f"{hit.path or hit.field}: {hit.value[:MAX_SHOWN]}" for hit in match.hits),
        _text(event, "source", "ip"),
        match.rule.alerts,
    )


def _text(event: Any, root: str, leaf: str) -> str:
    body = event.get(root)
    value = body.get(leaf) if isinstance(body, dict) else None
    return value[:MAX_SHOWN] if isinstance(value, str) else ""


def scan(chunks: Iterable[Chunk], ruleset: RuleSet, now: int, jobs: int) -> Iterator[Scanned]:
    """Scan chunks, results in their order."""
    if jobs <= 1:
        here = Scan(ruleset, now)
        yield from map(here.chunk, chunks)
        return
    global _scan
    _scan = Scan(ruleset, now)  # inherited by the forked processes
    try:
        yield from _in_processes(chunks, jobs)
    finally:
        _scan = None


_scan: Scan | None = None


def _work(chunk: Chunk) -> Scanned:
    assert _scan is not None  # noqa: S101  # set before the fork
    return _scan.chunk(chunk)


def _ignore_interrupts() -> None:
    """Ctrl-C is the parent's to handle; it ends its processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_processes(chunks: Iterable[Chunk], jobs: int) -> Iterator[Scanned]:
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_ignore_interrupts)
    try:
        waiting: deque[Future[Scanned]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(_work, chunk))
            if len(waiting) >= jobs * AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
