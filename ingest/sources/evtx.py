"""Windows' own log files (EVTX): each event becomes JSON in the shape that evtx_dump gives it.

Needs `pip install 'tocsin[evtx]'`; the parsing is that package's. A file is read from its start
and its position is a number of events; one that has grown is read on behind them. Copies,
exports and renamed files may hold the same events: an event's identity is its content (computer,
channel, record number and time are in it), so however often it is read it is one event.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ingest.sources.positions import fingerprint
from ingest.sources.tail import MAX_LINE, MAX_LINES, Piece
from tocsin.ids import digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.sources.positions import FilePosition

#: How an EVTX file begins.
MAGIC = b"ElfFile\0"

#: What tells one file from another: the head of the file and that of its first chunk, which has a
#: checksum of its events. Offset and length, bytes.
HEAD = ((0, 128), (4_096, 512))

#: Most bytes of events handed over at a time.
PIECE_BYTES = 4 * 1024 * 1024

#: Broken events of one file that are told one by one.
MAX_BROKEN = 10_000

_MISSING = "an EVTX file, which needs pip install 'tocsin[evtx]'"


def parser_of(path: Path) -> Any:
    """The parser of a file; raises OSError, also if the file or the package is unusable."""
    try:
        from evtx import PyEvtxParser
    except ImportError:
        raise OSError(0, _MISSING) from None
    try:
        return PyEvtxParser(str(path), number_of_threads=1)
    except RuntimeError as error:
        raise OSError(0, f"a broken EVTX file: {error}") from None


def events_of(path: Path) -> Iterator[bytes | str]:
    """The events of a file as JSON, and as text what is wrong with those that are broken.

    Raises OSError.
    """
    records = iter(parser_of(path).records_json())
    broken = 0
    while broken < MAX_BROKEN:
        try:
            yield next(records)["data"].encode("utf-8", "surrogatepass")
        except StopIteration:
            return
        except RuntimeError as error:
            broken += 1
            yield str(error)


def head_of(path: Path) -> bytes:
    """What tells this file from others; raises OSError."""
    with path.open("rb") as handle:
        parts = []
        for offset, length in HEAD:
            handle.seek(offset)
            parts.append(handle.read(length))
    return b"".join(parts)


class EvtxTail:
    """One EVTX file that is being read; the interface is that of `tail.Tail`.

    Offsets count events, broken ones too. A broken one may have been half copied only: then the
    position's `line` is 0, and the file is read from its start when it has changed. Blocking.
    """

    compressed = False

    def __init__(self, path: Path, position: FilePosition, file_id: tuple[int, int]) -> None:
        self.path = path
        self.position = _fresh(position)
        self.file_id = file_id
        self.replaced = False
        self.broken = ""
        self._seen: tuple[int, int] | None = None
        self._events: Iterator[bytes | str] | None = None
        #: The event that comes next, and its number.
        self._next: bytes | str | None = None
        self._at = 0
        self._piece: Piece | None = None

    @property
    def pending(self) -> bool:
        """Whether there are events that were read and not taken."""
        return self._piece is not None

    def identity(self, _: int, event: bytes) -> str:
        """The identity of an event."""
        return digest("evtx", event.decode("utf-8", "surrogatepass"))

    def gone(self) -> bool:
        """Whether the path now is another file, or none."""
        try:
            info = self.path.stat()
        except OSError:
            return True
        return (info.st_dev, info.st_ino) != self.file_id

    def grown(self) -> bool:
        """Whether the file changed since the last call; then it is looked at anew.

        Raises OSError.
        """
        try:
            info = self.path.stat()
        except FileNotFoundError:
            self.replaced = True
            return True
        if (info.st_size, info.st_mtime_ns) == self._seen:
            return False
        if self._seen is not None:
            head = head_of(self.path)
            self.position = replace(
                _fresh(self.position), head=fingerprint(head), head_length=len(head)
            )
        self._seen = (info.st_size, info.st_mtime_ns)
        self.close()
        return True

    def take(self, *, final: bool) -> Piece | None:
        """The next events, None at the end; raises OSError. There is no unfinished last one."""
        if self._piece is None and not self.replaced:
            self._piece = self._read()
        return self._piece

    def _read(self) -> Piece | None:
        start = self.position.offset
        while self._at < start and self._peek() is not None:
            self._skip()
        events: list[tuple[int, bytes]] = []
        size = 0
        while len(events) < MAX_LINES and size < PIECE_BYTES:
            event = self._peek()
            if not isinstance(event, bytes) or len(event) > MAX_LINE:
                break
            events.append((self._at, event))
            size += len(event)
            self._skip()
        if events:
            return Piece(events, self._at)
        return self._unreadable()

    def _unreadable(self) -> Piece | None:
        """The piece that says what is wrong with the next event, None at the end."""
        if (event := self._peek()) is None:
            return None
        self._skip()
        wrong = event if isinstance(event, str) else f"an event of {len(event)} bytes"
        original = b"" if isinstance(event, str) else event[:PIECE_BYTES]
        return Piece((), self._at, original, self._at - 1, unreadable=wrong)

    def _peek(self) -> bytes | str | None:
        if self._events is None:
            self._events, self._at = events_of(self.path), 0
        if self._next is None:
            self._next = next(self._events, None)
        return self._next

    def _skip(self) -> None:
        self._next = None
        self._at += 1

    def advance(self, piece: Piece, now: int) -> None:
        """The piece is durable: go on behind it."""
        self._piece = None
        line = 0 if piece.unreadable else self.position.line
        self.position = replace(self.position, offset=piece.end, seen=now, line=line)

    def release(self) -> None:
        """Give file and memory back until the next `take`."""
        self._piece = None
        self.close()

    def close(self) -> None:
        """Give the file back; it is opened again when it is needed."""
        self._events = self._next = None
        self._at = 0


def _fresh(position: FilePosition) -> FilePosition:
    """The position to read from: the start, if anything was broken before."""
    return position if position.line < 0 else replace(position, offset=0, line=-1)
