"""Records to hits, in as many processes as there are cores.

Rules and mappings are loaded once; the processes are forked from the one that did and share its
memory. A chunk goes out, its hits come back, in order.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from detect.sigma.batch import BatchMatcher, EventText
from ingest.normalize import Delivery, Normalizer
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from detect.sigma.ruleset import Match, RuleSet
    from tocsin.cli.scan.inputs import Chunk

#: Chunks that wait for each process: enough to keep it busy, few enough to bound memory.
AHEAD = 3
#: Longest value of a hit, characters.
MAX_SHOWN = 512


class Hit(NamedTuple):
    """A record that a rule matches, and why; ready to be written."""

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


@dataclass(frozen=True, slots=True)
class Scanned:
    """What came of one chunk: hits in the order of records and rule ids, counts, problems."""

    hits: tuple[Hit, ...]
    records: int
    events: int
    problems: tuple[str, ...]


class Scan:
    """Scans chunks with one rule set; `now` (ms) completes times without a year."""

    def __init__(self, ruleset: RuleSet, now: int) -> None:
        self._matcher = BatchMatcher(ruleset)
        self._normalizer = Normalizer()
        self._now = now

    def chunk(self, chunk: Chunk) -> Scanned:
        """The hits of a chunk."""
        texts: list[EventText] = []
        numbers: list[int] = []
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
                texts.append(EventText(orjson.dumps(document), event=document))
                numbers.append(number)
        found = self._matcher.match(texts)
        hits = {
            (numbers[at], match.rule.rule.id): _hit(chunk.file, numbers[at], event, match)
            for at in sorted(found)
            for event, matches in (found[at],)
            for match in matches
        }
        ordered = tuple(hits[key] for key in sorted(hits))
        return Scanned(ordered, len(chunk.records), len(texts), tuple(problems))


def _hit(file: str, number: int, event: Any, match: Match) -> Hit:
    rule = match.rule.rule
    return Hit(
        file,
        number,
        rule.id,
        rule.name,
        rule.level,
        tuple(rule.tags),
        str(event.get("@timestamp", "")),
        _text(event, "host"),
        _text(event, "user"),
        tuple(f"{hit.path or hit.field}: {hit.value[:MAX_SHOWN]}" for hit in match.hits),
    )


def _text(event: Any, root: str) -> str:
    body = event.get(root)
    name = body.get("name") if isinstance(body, dict) else None
    return name if isinstance(name, str) else ""


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


def _in_processes(chunks: Iterable[Chunk], jobs: int) -> Iterator[Scanned]:
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        waiting: deque[Future[Scanned]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(_work, chunk))
            if len(waiting) >= jobs * AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
