"""Reading one file on: plain or gzip, growing, rotated, truncated, with lines of any length.

Blocking file I/O only; offsets are bytes of the uncompressed content. Nothing is consumed until
`advance`: a piece that could not be appended is taken again.
"""

from __future__ import annotations

import gzip
import os
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from ingest.sources.positions import ANCHOR, fingerprint
from tocsin.ids import digest
from tocsin.log.base import MAX_RECORD

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ingest.sources.positions import FilePosition

#: Bytes read at a time.
CHUNK = 1024 * 1024

#: Most lines handed over at a time.
MAX_LINES = 2_000

#: Longest line that becomes a raw record, bytes; a longer one is cut up into dead letters.
MAX_LINE = MAX_RECORD

#: Length of the parts that a longer line is cut into, bytes (Base64 makes them a third more).
PART = 4 * 1024 * 1024

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class Piece:
    """What comes next in a file: lines with their offsets, or a part of a line too long.

    `end` is where reading goes on; `line` is where the line began that `part` is of, and
    `unfinished` says that more parts of it follow. `unreadable` says what is wrong with a part
    that is not too long but broken.
    """

    lines: Sequence[tuple[int, bytes]]
    end: int
    part: bytes | None = None
    line: int = -1
    unfinished: bool = False
    unreadable: str = ""


class Reader(Protocol):
    """What is needed of an open file."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, /) -> int: ...

    def fileno(self) -> int: ...

    def close(self) -> None: ...


def open_file(path: Path) -> tuple[Reader, bool]:
    """The file opened for reading, decompressed if it is gzip, and whether it is gzip.

    Plain files are read without a buffer: it would go on showing what was truncated away.
    Raises OSError.
    """
    handle = path.open("rb", buffering=0)
    if handle.read(2) == _GZIP_MAGIC:
        handle.close()
        return gzip.open(path, "rb"), True
    return handle, False


def read_at(handle: Reader, offset: int, length: int) -> bytes:
    """Up to `length` bytes from `offset`; fewer at the end, or where a gzip file is broken."""
    return _gather(handle, offset, length)[0]


def _gather(handle: Reader, offset: int, length: int) -> tuple[bytes, str]:
    """The bytes, and what is wrong behind them."""
    if not isinstance(handle, gzip.GzipFile):
        handle.seek(offset)
        return handle.read(length), ""
    data = b""
    try:
        handle.seek(offset)
        # Small reads: a large one that meets damage loses what stands before it.
        while len(data) < length and (more := handle.read1(length - len(data))):
            data += more
    except _GZIP_ERRORS as error:
        return data, str(error) or type(error).__name__
    return data, ""


class Tail:
    """One file that is being read: its position, and what was read but not yet taken.

    `file_id` is (device, inode). Opened on first use.
    """

    def __init__(self, path: Path, position: FilePosition, file_id: tuple[int, int]) -> None:
        self.path = path
        self.position = position
        self.file_id = file_id
        self.replaced = False
        self.broken = ""
        self._offset = position.offset
        self._line = position.line
        self._size = -1
        self._handle: Reader | None = None
        self._compressed = False
        self._buffer = b""
        self._anchor: bytes | None = None

    @property
    def compressed(self) -> bool:
        """Whether it is a gzip file; False before the first read."""
        return self._compressed

    @property
    def pending(self) -> bool:
        """Whether there is an unterminated line that was read and not taken."""
        return bool(self._buffer)

    def identity(self, offset: int, _: bytes) -> str:
        """The identity of the line that stands at an offset of this file."""
        return digest("line", self.position.identity, offset)

    def lines_at(self, offsets: Sequence[int]) -> list[tuple[int, bytes]]:
        """Lines before the position, by where they begin, without their newline.

        Raises OSError.
        """
        found = []
        for offset in offsets:
            longest = min(self._offset - offset, MAX_LINE)
            line = read_at(self._open(), offset, longest).partition(b"\n")[0]
            found.append((offset, line))
        return found

    def _open(self) -> Reader:
        if self._handle is None:
            self._handle, self._compressed = open_file(self.path)
            info = os.fstat(self._handle.fileno())
            if (info.st_dev, info.st_ino) != self.file_id:
                self.replaced = True
        if self._anchor is None:
            length = self.position.anchor_length
            self._anchor = read_at(self._handle, self._offset - length, length) if length else b""
        return self._handle

    def gone(self) -> bool:
        """Whether the path now is another file, or none."""
        try:
            info = self.path.stat()
        except OSError:
            return True
        return (info.st_dev, info.st_ino) != self.file_id

    def grown(self) -> bool:
        """Whether the file changed since the last call.

        If its content is no longer the one that was read so far (truncated, rewritten),
        `replaced` is set: only what is in the buffer still belongs to this file.
        Raises OSError.
        """
        try:
            info = os.stat(self.path) if self._handle is None else os.fstat(self._handle.fileno())
        except FileNotFoundError:
            self.replaced = True
            return True
        if info.st_size == self._size:
            return False
        if self._compressed and self._size != -1:
            self._restart()
        self._size = info.st_size
        handle = self._open()
        if not self._compressed and info.st_size < self._offset + len(self._buffer):
            self.replaced = True
        if self._anchor and not self.replaced:
            before = read_at(handle, self._offset - len(self._anchor), len(self._anchor))
            self.replaced = before != self._anchor
        return True

    def _restart(self) -> None:
        """A gzip stream that ended in the middle can only be read on from a fresh start."""
        self.close()
        self._buffer = b""
        self.broken = ""

    def take(self, *, final: bool) -> Piece | None:
        """The next piece, None at the end; `final` takes an unterminated last line as well."""
        ended = self._fill()
        if self._line >= 0:
            return self._take_part(ended=ended and final)
        lines, consumed = _split(self._buffer, self._offset)
        if lines:
            return Piece(lines, self._offset + consumed)
        if len(self._buffer) > MAX_LINE:
            self._line = self._offset
            return self._take_part(ended=False)
        if ended and final and self._buffer:
            end = self._offset + len(self._buffer)
            return Piece([(self._offset, self._buffer)], end)
        return None

    def _fill(self) -> bool:
        """Read until there is a line, or too much for one; True at the end of the file."""
        if self.replaced:
            return True
        while b"\n" not in self._buffer and len(self._buffer) <= MAX_LINE:
            data = self._next()
            if not data:
                return True
            self._buffer += data
        return False

    def _next(self) -> bytes:
        data, broken = _gather(self._open(), self._offset + len(self._buffer), CHUNK)
        self.broken = broken or self.broken
        return data

    def _take_part(self, *, ended: bool) -> Piece | None:
        newline = self._buffer.find(b"\n", 0, PART)
        if newline >= 0:
            return Piece((), self._offset + newline + 1, self._buffer[:newline], self._line)
        if len(self._buffer) >= PART:
            end = self._offset + PART
            return Piece((), end, self._buffer[:PART], self._line, unfinished=True)
        if ended and self._buffer:
            return Piece((), self._offset + len(self._buffer), self._buffer, self._line)
        return None

    def advance(self, piece: Piece, now: int) -> None:
        """The piece is durable: go on behind it."""
        consumed = piece.end - self._offset
        self._anchor = ((self._anchor or b"") + self._buffer[:consumed])[-ANCHOR:]
        self._buffer = self._buffer[consumed:]
        self._offset = piece.end
        self._line = piece.line if piece.unfinished else -1
        self.position = replace(
            self.position,
            offset=self._offset,
            anchor=fingerprint(self._anchor),
            anchor_length=len(self._anchor),
            seen=now,
            line=self._line,
        )

    def release(self) -> None:
        """Give file and memory back until the next `take`, which reads again from the offset."""
        if not self.replaced:
            self.close()
            self._buffer = b""

    def close(self) -> None:
        """Give the file back; it is opened again when it is needed."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def _split(buffer: bytes, offset: int) -> tuple[list[tuple[int, bytes]], int]:
    """Complete lines without their newline, at most MAX_LINES, and the bytes they take."""
    lines: list[tuple[int, bytes]] = []
    start = 0
    while len(lines) < MAX_LINES:
        newline = buffer.find(b"\n", start)
        if newline < 0 or newline - start > MAX_LINE:
            break
        lines.append((offset + start, buffer[start:newline]))
        start = newline + 1
    return lines, start
