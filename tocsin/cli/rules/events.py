"""Events for the commands that look at some: of files, raw or ECS, or of the log.

What is raw goes through normalization as in the pipeline; an ECS document (it has `ecs.version`
or was written by the pipeline) is taken as it is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click
import orjson

from ingest.normalize import Delivery, Normalizer
from tocsin.cli.scan import inputs
from tocsin.cli.topics import build_log, log_file
from tocsin.config import parse_duration
from tocsin.contracts import Topics
from tocsin.errors import BadInput, LogUnavailable
from tocsin.log.base import Record
from tocsin.log.sqlite_store import Store
from tocsin.route import ROUTE, route_of
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tocsin.cli.scan.inputs import Chunk
    from tocsin.clock import Clock
    from tocsin.config import Settings
    from tocsin.log.base import TopicPartition

#: Records that are read from the log at a time.
PAGE = 1_000
#: Problems with records that are shown one by one.
SHOWN_PROBLEMS = 20

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Source:
    """Where events come from, and what was wrong on the way: `problems` counts and keeps some."""

    records: int = 0
    problems: inputs.Problems = field(default_factory=inputs.Problems)


def input_options(command: Callable[P, T]) -> Callable[P, T]:
    """The options of commands that take events of files or of the log."""
    for option in (
        click.option("--input-field", help="Lines are JSON objects; the event is in this field."),
        click.option(
            "--since", type=_Since(), metavar="DURATION", help="Of the log, only so long: 7d, 12h."
        ),
        click.option("--log", is_flag=True, help="Take the events of the log."),
    ):
        command = option(command)
    return command


class _Since(click.ParamType):
    """A duration, in ms."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        try:
            parsed = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not isinstance(parsed, int):
            self.fail(f"'{value}' is no duration; write 7d, 12h or 30m", param, ctx)
        return parsed


def batches(
    settings: Settings,
    clock: Clock,
    paths: Sequence[Path],
    log: bool,
    since: int | None,
    input_field: str | None,
    source: Source,
) -> Iterator[list[Record]]:
    """The events that the options ask for: of files, then of the log."""
    if paths:
        yield from of_files(paths, clock.now(), source, input_field)
    if log:
        start = clock.now() - since if since is not None else 0
        yield from of_log(settings, clock, start, source)


def say_problems(source: Source) -> None:
    """What could not be read, on standard error; not all of it, where it is much."""
    for problem in source.problems.texts[:SHOWN_PROBLEMS]:
        click.echo(f"tocsin: {printable(problem)}", err=True)
    if (more := source.problems.count - SHOWN_PROBLEMS) > 0:
        click.echo(f"tocsin: {more} more like these", err=True)


def is_ecs(document: object) -> bool:
    """Whether a JSON value is an event as the pipeline has it, not one as a product writes it."""
    if not isinstance(document, dict):
        return False
    ecs = document.get("ecs")
    return isinstance(document.get("tocsin"), dict) or (
        isinstance(ecs, dict) and "version" in ecs and isinstance(document.get("event"), dict)
    )


class Reader:
    """Makes events of records: raw ones are normalized, ECS documents are what they are."""

    def __init__(self, now: int) -> None:
        self._normalizer = Normalizer()
        self._now = now

    def events(self, data: bytes, file: str, number: int) -> list[dict[str, Any]]:
        """The events of one record; raises BadInput for one that holds none."""
        if data.lstrip()[:1] == b"{":
            try:
                document = orjson.loads(data)
            except orjson.JSONDecodeError:
                document = None
            if isinstance(document, dict) and is_ecs(document):
                return [document]
        raw = Delivery(data, file, "default", self._now, (file, 0, number), "", "UTC")
        made = [document for document, _ in self._normalizer.events(raw)]
        # As they come out of the log: times and addresses are text there.
        return [orjson.loads(orjson.dumps(document)) for document in made]


def of_files(
    paths: Sequence[Path], now: int, source: Source, input_field: str | None = None
) -> Iterator[list[Record]]:
    """The events of files as the log has them, batch by batch; problems go to `source`."""
    reader = Reader(now)
    progress = inputs.Progress(problems=source.problems)
    offset = 0
    for chunk in inputs.chunks(inputs.files(paths), progress, input_field):
        records = list(_of_chunk(chunk, reader, source, offset))
        offset += len(records)
        yield records


def _of_chunk(chunk: Chunk, reader: Reader, source: Source, offset: int) -> Iterator[Record]:
    for number, data in chunk.records:
        if not data.strip():
            continue
        source.records += 1
        try:
            made = reader.events(data, chunk.file, number)
        except BadInput as error:
            source.problems.record(f"{chunk.file}:{number + 1}: {error.reason_code}: {error}")
            continue
        for document in made:
            headers = ((ROUTE, route_of(document)),)
            yield Record(Topics.EVENTS, 0, offset, b"", orjson.dumps(document), headers)
            offset += 1


def of_log(settings: Settings, clock: Clock, since: int, source: Source) -> Iterator[list[Record]]:
    """The events in the log from `since` (ms) on, batch by batch.

    The embedded log is read beside the process that writes it. Raises LogUnavailable if there is
    none yet, LogError if it cannot be read.
    """
    path = log_file(settings)
    pages = _embedded(path) if path is not None else _kafka(settings, clock)
    for page in pages:
        chosen = [record for record in page if record.timestamp >= since]
        source.records += len(chosen)
        if chosen:
            yield chosen


def _embedded(path: Path) -> Iterator[list[Record]]:
    if not path.exists():
        raise LogUnavailable(f"there is no log {path}: the first `tocsin run` makes it")
    store = Store(path)
    try:
        for at, end in _ends(store.ends()):
            offset = 0
            while offset < end and (page := store.fetch([(at, offset, PAGE)])[at]):
                yield page
                offset = page[-1].offset + 1
    finally:
        store.close()


def _ends(ends: dict[TopicPartition, int]) -> list[tuple[TopicPartition, int]]:
    return sorted((at, end) for at, end in ends.items() if at.topic == Topics.EVENTS)


def _kafka(settings: Settings, clock: Clock) -> Iterator[list[Record]]:
    log = build_log(settings, clock)
    with asyncio.Runner() as runner:
        runner.run(log.start())
        try:
            for at, end in sorted(runner.run(log.end_offsets(Topics.EVENTS)).items()):
                offset = 0
                while offset < end and (page := runner.run(log.read(at, offset, PAGE))):
                    yield page
                    offset = page[-1].offset + 1
        finally:
            runner.run(log.close())
