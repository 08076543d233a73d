"""Files as records: directories are walked, gzip is unpacked on the way, records are numbered.

A record is a line of a text file, or an event of a Windows event log (EVTX). Sizes are bounded:
what is longer than a record may be is reported and passed over, never half of it matched.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import orjson

from tocsin.errors import TocsinError
from tocsin.log.base import MAX_RECORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

#: Records of one chunk, and their bytes together: what one process works on at a time.
CHUNK_RECORDS = 2_000
CHUNK_BYTES = 8_000_000
#: Problems whose text is kept.
KEPT_PROBLEMS = 50

_EVTX_MAGIC = b"ElfFile\0"
_EVTX_HEADER, _EVTX_CHUNK = 4_096, 65_536
_GZIP_MAGIC = b"\x1f\x8b"


class ScanError(TocsinError):
    """A file cannot be read, or a record of it; the text says which."""

    code = "scan"


class Chunk(NamedTuple):
    """Consecutive records of a file: `records` pairs of number (from 0) and bytes."""

    file: str
    records: tuple[tuple[int, bytes], ...]


@dataclass(slots=True)
class Problems:
    """What could not be read: how many records, which files; the first texts."""

    records: int = 0
    files: int = 0
    texts: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Records and files together."""
        return self.records + self.files

    def record(self, text: str) -> None:
        """A record could not be read."""
        self.records += 1
        self._keep(text)

    def file(self, text: str) -> None:
        """A file could not be read, or not to its end."""
        self.files += 1
        self._keep(text)

    def _keep(self, text: str) -> None:
        if len(self.texts) < KEPT_PROBLEMS:
            self.texts.append(text)


@dataclass(slots=True)
class Progress:
    """How much there is and how much was read: bytes of files as they lie on disk."""

    total: int = 0
    read: int = 0
    problems: Problems = field(default_factory=Problems)


def files(paths: Sequence[Path]) -> list[Path]:
    """The files of these paths, directories walked, each once, sorted."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(child for child in path.rglob("*") if child.is_file())
        else:
            found[path] = None
    return sorted(found, key=str)


def chunks(
    paths: Sequence[Path], progress: Progress, input_field: str | None = None
) -> Iterator[Chunk]:
    """The records of all files; what cannot be read is noted in `progress.problems`."""
    sizes = {path: _size(path) for path in paths}
    progress.total = sum(sizes.values())
    for path, size in sizes.items():
        before = progress.read
        try:
            with path.open("rb") as stream:
                for chunk in _of_file(path, stream, input_field, progress):
                    progress.read = before + min(stream.tell(), size)
                    yield chunk
        except (OSError, EOFError, zlib.error, ScanError) as error:
            progress.problems.file(f"{path}: {error}")
        progress.read = before + size


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # opening it says why


def _of_file(
    path: Path, stream: IO[bytes], input_field: str | None, progress: Progress
) -> Iterator[Chunk]:
    magic = stream.read(8)
    stream.seek(0)
    if magic.startswith(_EVTX_MAGIC):
        return _gathered(path, _windows_events(path), progress)
    lines = gzip.GzipFile(fileobj=stream) if magic.startswith(_GZIP_MAGIC) else stream
    pick = picker(input_field)
    return _gathered(path, (pick(line) for line in _lines(lines)), progress)


def _gathered(path: Path, records: Iterator[bytes | str], progress: Progress) -> Iterator[Chunk]:
    """Chunks of records; a text instead of bytes says why a record is passed over."""
    held: list[tuple[int, bytes]] = []
    size = 0
    try:
        for number, record in enumerate(records):
            if isinstance(record, str):
                progress.problems.record(f"{path}:{number + 1}: {record}")
                continue
            held.append((number, record))
            size += len(record)
            if len(held) >= CHUNK_RECORDS or size >= CHUNK_BYTES:
                yield Chunk(str(path), tuple(held))
                held, size = [], 0
    except (OSError, EOFError, zlib.error, ScanError):
        # A file that is cut off or damaged further on: what came before counts.
        if held:
            yield Chunk(str(path), tuple(held))
        raise
    if held:
        yield Chunk(str(path), tuple(held))


def _lines(stream: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """Lines without their ends; of one too long only a beginning, which is too long as well."""
    while line := stream.readline(MAX_RECORD + 1):
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(MAX_RECORD + 1)):
            pass
        yield line.rstrip(b"\r\n")


def picker(input_field: str | None) -> Callable[[bytes], bytes | str]:
    """What of a line is the record: all of it, or one field of its JSON."""

    def pick(line: bytes) -> bytes | str:
        if len(line) > MAX_RECORD:
            return f"over {MAX_RECORD} bytes, passed over"
        if input_field is None or not line:
            return line
        try:
            value: Any = orjson.loads(line)[input_field]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            return f"no field {input_field}: {error}"
        return value.encode() if isinstance(value, str) else orjson.dumps(value)

    return pick


def _windows_events(path: Path) -> Iterator[bytes | str]:
    try:
        from evtx import PyEvtxParser
    except ImportError:
        raise ScanError(
            "Windows event logs are read by the package evtx: pip install 'tocsin[evtx]'"
        ) from None
    try:
        records: Any = iter(PyEvtxParser(str(path)).records_json())
    except RuntimeError as error:  # what the parser raises for a file that is none
        raise ScanError(f"no Windows event log, or a damaged one: {error}") from None
    while True:
        try:
            record = next(records)
        except StopIteration:
            break
        except RuntimeError as error:
            yield f"a damaged event: {error}"
            continue
        data = record["data"].encode()
        yield data if len(data) <= MAX_RECORD else f"over {MAX_RECORD} bytes, passed over"
    if (_size(path) - _EVTX_HEADER) % _EVTX_CHUNK:
        raise ScanError("cut off: its last chunk is not whole, and was not read")
