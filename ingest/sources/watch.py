"""Which files a pattern names now, and which of them were read before, under whatever name."""

from __future__ import annotations

import glob
import os
import stat
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ingest.sources import evtx
from ingest.sources.positions import HEAD, FilePosition, fingerprint
from ingest.sources.tail import open_file, read_at
from tocsin.ids import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ingest.sources.tail import Tail

#: (device, inode).
FileId = tuple[int, int]


class Found(NamedTuple):
    """A file to read, and where from."""

    path: Path
    position: FilePosition
    file_id: FileId
    evtx: bool


class Candidate:
    """A file that is not read yet: is it one of the known positions?"""

    def __init__(self, path: Path) -> None:
        """Raises OSError if the file cannot be read."""
        self.path = path
        self._handle, self.compressed = open_file(path)
        self.head = read_at(self._handle, 0, HEAD)
        self.evtx = self.head.startswith(evtx.MAGIC)
        if self.evtx:
            self.head = evtx.head_of(path)
        info = os.fstat(self._handle.fileno())
        self.file_id: FileId = (info.st_dev, info.st_ino)

    def continues(self, position: FilePosition) -> bool:
        """Whether what was read last of the file at `position` stands in this one as well."""
        length = position.anchor_length
        if not length:
            return True
        anchor = read_at(self._handle, position.offset - length, length)
        return len(anchor) == length and fingerprint(anchor) == position.anchor

    def close(self) -> None:
        """Give the file back."""
        self._handle.close()


class Known:
    """Positions by the head of their file: thousands of files are looked up in no time."""

    def __init__(self, positions: Iterable[FilePosition]) -> None:
        self._by_head: dict[tuple[int, str], list[FilePosition]] = defaultdict(list)
        for position in positions:
            self._by_head[position.head_length, position.head].append(position)
        self._lengths = sorted({length for length, _ in self._by_head}, reverse=True)

    def like(self, head: bytes) -> list[FilePosition]:
        """The positions of files that begin as `head` does, the longest match first."""
        return [
            position
            for length in self._lengths
            if length <= len(head)
            for position in self._by_head.get((length, fingerprint(head[:length])), ())
        ]


def listing(pattern: str) -> list[tuple[Path, FileId]]:
    """Regular files that are not empty, the least recently written first, each inode once."""
    files: dict[FileId, tuple[int, str]] = {}
    for name in sorted(glob.glob(pattern, recursive=True)):
        try:
            info = os.stat(name)
        except OSError:
            continue  # gone since the listing
        if stat.S_ISREG(info.st_mode) and info.st_size:
            files.setdefault((info.st_dev, info.st_ino), (info.st_mtime_ns, name))
    ordered = sorted(files.items(), key=lambda item: item[1])
    return [(Path(name), file_id) for file_id, (_, name) in ordered]


def look(
    pattern: str,
    tails: Mapping[str, Tail | evtx.EvtxTail],
    positions: Mapping[str, FilePosition],
    now: int,
    complain: Callable[[Path, str], None],
) -> list[Found]:
    """Files that no tail reads yet, each with the position to read it from.

    Tells tails whose file was renamed its new path. `complain` is told of unreadable files.
    """
    unread = list(_unread(pattern, tails))
    if not unread:
        return []
    known = Known(positions.values())
    # A file that is gone may have come back under another name, or compressed.
    claimed = {identity for identity, tail in tails.items() if not tail.gone()}
    found: list[Found] = []
    # A file that is still where it was goes before a copy of it.
    for same_path in (True, False):
        left: list[Path] = []
        for path in unread:
            try:
                candidate = Candidate(path)
            except OSError as error:
                complain(path, error.strerror or str(error))
                continue
            try:
                if candidate.compressed and not candidate.head:
                    complain(path, "nothing can be read of it: empty, unfinished or broken gzip")
                    continue
                position = _known(candidate, known, claimed, same_path=same_path)
                if position is None and candidate.compressed and _copies(candidate, known, tails):
                    continue
                if position is None and not same_path and candidate.head:
                    position = _new(pattern, candidate, positions, now)
                if position is None:
                    left.append(path)
                    continue
                claimed.add(position.identity)
                found.append(Found(path, position, candidate.file_id, candidate.evtx))
            finally:
                candidate.close()
        unread = left
    return found


def _unread(pattern: str, tails: Mapping[str, Tail | evtx.EvtxTail]) -> Iterable[Path]:
    read = {tail.file_id: tail for tail in tails.values()}
    for path, file_id in listing(pattern):
        tail = read.get(file_id)
        if tail is None:
            yield path
        elif tail.path != path and tail.gone():
            tail.path = path


def _known(
    candidate: Candidate, known: Known, claimed: set[str], *, same_path: bool
) -> FilePosition | None:
    for position in known.like(candidate.head):
        if same_path and position.path != str(candidate.path):
            continue
        if position.identity not in claimed and candidate.continues(position):
            return position
    return None


def _copies(candidate: Candidate, known: Known, tails: Mapping[str, Tail | evtx.EvtxTail]) -> bool:
    """Whether a gzip file is being made of one that is still there and read.

    It is left alone: when the original is gone, it continues the original's position.
    """
    return any(
        (tail := tails.get(position.identity)) is not None and not tail.compressed
        for position in known.like(candidate.head)
    )


def _new(
    pattern: str, candidate: Candidate, positions: Mapping[str, FilePosition], now: int
) -> FilePosition:
    """The position at the start of a file never seen before."""
    head = fingerprint(candidate.head)
    number = 0
    while (identity := digest("file", str(candidate.path), head, number)) in positions:
        number += 1
    return FilePosition(
        pattern=pattern,
        identity=identity,
        path=str(candidate.path),
        offset=0,
        head=head,
        head_length=len(candidate.head),
        anchor=fingerprint(b""),
        anchor_length=0,
        seen=now,
    )
