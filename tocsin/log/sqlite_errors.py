"""SQLite's errors as the log's: what may pass (try again) and what needs a person."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tocsin.errors import LogError, LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: SQLite result codes (https://www.sqlite.org/rescode.html) that pass, and what to do meanwhile.
_PASSING = {
    sqlite3.SQLITE_FULL: "The disk is full: free space on it",
    sqlite3.SQLITE_IOERR: "The disk reports an I/O error: see dmesg, check its health and space",
    sqlite3.SQLITE_BUSY: "Another program holds the file locked: end it (a backup, sqlite3?)",
    sqlite3.SQLITE_LOCKED: "Another program holds the file locked: end it (a backup, sqlite3?)",
    sqlite3.SQLITE_READONLY: "The file or its file system is read-only: make it writable",
    sqlite3.SQLITE_PERM: "The file may not be opened: give this user the right to",
    sqlite3.SQLITE_CANTOPEN: "The file cannot be opened: check the directory, rights and space",
    sqlite3.SQLITE_NOMEM: "The machine is out of memory: give it more, or end something",
}

#: The system's own words for it: no space, a quota reached, a file as large as it may be.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def translated(path: Path, doing: str) -> Iterator[None]:
    """Raise SQLite's and the system's errors as LogError; `doing` is a past participle."""
    try:
        yield
    except sqlite3.Error as error:
        if (known := _known(error, path, doing)) is None:
            raise
        raise known from error
    except OSError as error:
        advice = "Check the path and the rights of this user"
        if error.errno in _NO_SPACE:
            advice = _PASSING[sqlite3.SQLITE_FULL]
        raise LogUnavailable(
            f"the log {path} could not be {doing}: {error.strerror}. Nothing was half written. "
            f"{advice}."
        ) from error


def _known(error: sqlite3.Error, path: Path, doing: str) -> LogError | None:
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF  # the low byte is the primary code
    if extended == sqlite3.SQLITE_IOERR_SHMSIZE:  # there is no room for the index of the WAL
        code = sqlite3.SQLITE_FULL
    if code in _DAMAGED:
        return foreign(path, str(error))
    if code not in _PASSING:
        return None
    return LogUnavailable(
        f"the log {path} could not be {doing} ({error}). {_PASSING[code]}. Nothing was half "
        "written, what was acknowledged is safe, and the work goes on by itself afterwards."
    )


def foreign(path: Path, what: str) -> LogError:
    """The file is damaged or not ours."""
    return LogError(
        f"{path} is not a readable Tocsin log ({what}). It was left as it is. If it was one, "
        f"restore it (with its -wal file) from a backup or save what `sqlite3 {path} .recover` "
        "still finds; to start with an empty log, move it away or set data_dir elsewhere."
    )


def damaged(path: Path, position: str) -> LogError:
    """Records were altered on the disk."""
    return LogError(
        f"{path}: the records from {position} on are damaged on the disk (their checksum is "
        "wrong); the rest of the log is readable. Check the disk's health, then restore the file "
        "(with its -wal file) from a backup."
    )
