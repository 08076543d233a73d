"""`tocsin normalize`: lines in, one JSON document a line out, in order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
import orjson

from ingest.expected import Expected
from ingest.mapping.explaining import Explained
from ingest.mapping.library import Library
from ingest.mapping.loading import BUILTIN, read_programs
from ingest.normalize import Delivery, Normalizer
from tocsin.clock import SystemClock
from tocsin.errors import BadInput
from tocsin.log.base import MAX_RECORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tocsin.errors import MappingError


@click.command()
@click.option("--input-field", help="Each line is a JSON object; the log is in this field of it.")
@click.option("--source", default="stdin", show_default=True, help="Name of the source.")
@click.option("--formats", default="", help="Formats to try first, as a source names them.")
@click.option("--timezone", default="UTC", show_default=True, help="Zone of times without one.")
@click.option("--generic", is_flag=True, help="Leave the mappings out.")
@click.option(
    "--explain", is_flag=True, help="Say which mapping ran, and where each field is from."
)
@click.option(
    "--mappings",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="Further mappings: a file or directory.",
)
def normalize(
    input_field: str | None,
    source: str,
    formats: str,
    timezone: str,
    generic: bool,
    explain: bool,
    mappings: tuple[Path, ...],
) -> None:
    """Normalize standard input, without a server.

    What cannot be normalized is printed as {"dead_letter": {code, reason}}.
    """
    explained = Explained() if explain else None
    known = library(mappings, explained)
    normalizer = Normalizer(known, mappings=not generic)
    expected = Expected(known, encoded=False)
    now = SystemClock().now()
    for number, line in enumerate(_lines(sys.stdin.buffer)):
        try:
            if len(line) > MAX_RECORD:
                raise BadInput("too_large", f"a line has at most {MAX_RECORD} bytes")
            data = _field(line, input_field) if input_field else line.rstrip(b"\r\n")
            raw = Delivery(data, source, "default", now, ("stdin", 0, number), "", timezone)
            raw.origin.formats = formats
            made = _as_named(expected, raw) or normalizer.events(raw)
            if not made:
                raise BadInput("json_not_object", "an empty list holds no event")
            document: Any = made[0][0]
        except BadInput as error:
            document = {"dead_letter": {"code": error.reason_code, "reason": str(error)}}
        if explained is not None:
            click.echo(explained.of(document))
        else:
            sys.stdout.buffer.write(orjson.dumps(document) + b"\n")


def _as_named(expected: Expected, raw: Delivery) -> list[tuple[Any, int]] | None:
    """The events by the formats that were named, None where they are not those of the line."""
    if not raw.origin.formats:
        return None
    made = expected.made(raw.data, raw.origin, raw.offset, raw.origin_id)
    return [(document, at) for document, at, _, _ in made] if made is not None else None


def library(paths: tuple[Path, ...], explained: Explained | None = None) -> Library:
    """The mappings that load; what is wrong with the others is said on standard error."""
    errors: list[MappingError] = []
    programs = read_programs([BUILTIN], errors, lazy=True) | read_programs(paths, errors)
    for error in errors:
        click.echo(str(error), err=True)
    return Library(programs.values(), explained.watch if explained is not None else None)


def normalizing(mappings: Library) -> Callable[[bytes], list[dict[str, Any]]]:
    """What makes the events of one raw record, as the pipeline does; it raises BadInput."""
    normalizer = Normalizer(mappings)
    now = SystemClock().now()

    def events(data: bytes) -> list[dict[str, Any]]:
        raw = Delivery(data, "test", "default", now, ("test", 0, 0), "", "UTC")
        return [orjson.loads(orjson.dumps(document)) for document, _ in normalizer.events(raw)]

    return events


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Lines; of one too long only a beginning, which is longer than a record may be."""
    while line := stream.readline(MAX_RECORD + 1):
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(MAX_RECORD + 1)):
            pass
        yield line


def _field(line: bytes, name: str) -> bytes:
    """The text in a field; a value that is no text, as JSON."""
    try:
        value = orjson.loads(line)[name]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise BadInput("json_invalid", f"no field {name} in this line: {error}") from None
    return value.encode() if isinstance(value, str) else orjson.dumps(value)
