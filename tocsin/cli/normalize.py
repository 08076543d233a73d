"""`tocsin normalize`: lines in, one JSON document a line out, in order."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Any

import click
import orjson

from ingest.normalize import normalize as normalized
from tocsin.clock import SystemClock
from tocsin.contracts import RawEvent
from tocsin.errors import BadInput
from tocsin.log.base import MAX_RECORD, Position

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command()
@click.option("--input-field", help="Each line is a JSON object; the log is in this field of it.")
@click.option("--source", default="stdin", show_default=True, help="Name of the source.")
def normalize(input_field: str | None, source: str) -> None:
    """Normalize standard input, without a server.

    What cannot be normalized is printed as {"dead_letter": {code, reason}}.
    """
    now = SystemClock().now()
    for number, line in enumerate(_lines(sys.stdin.buffer)):
        try:
            if len(line) > MAX_RECORD:
                raise BadInput("too_large", f"a line has at most {MAX_RECORD} bytes")
            data = _field(line, input_field) if input_field else line.rstrip(b"\r\n")
            raw = RawEvent(data, source, "default", now, Position("stdin", 0, number))
            document: Any = normalized(raw)
        except BadInput as error:
            document = {"dead_letter": {"code": error.reason_code, "reason": str(error)}}
        sys.stdout.buffer.write(orjson.dumps(document) + b"\n")


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
