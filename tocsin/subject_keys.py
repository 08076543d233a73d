"""The keys that people's data is sealed under: one SQLite file, one row for each person.

Erasing a row erases the person: what was sealed under it can never be opened again, wherever
copies of it lie. So the file overwrites what it deletes, and it is not written anew from a copy:
a backup of it that is older than an erasure brings the person back.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tocsin.errors import StoreUnavailable
from tocsin.subjects import SubjectKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tocsin.clock import Clock

#: Keys held in memory, about 300 bytes each.
REMEMBERED = 100_000
#: Bytes of a key, and of its name.
_SECRET, _ID = 32, 12
#: Longest wait for another process that writes, seconds.
_PATIENCE = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS subjects (
    subject TEXT PRIMARY KEY, id TEXT UNIQUE NOT NULL, secret BLOB NOT NULL, made INTEGER NOT NULL
) WITHOUT ROWID
"""


class Subject(NamedTuple):
    """Whose key there is; `made` is ms since the epoch."""

    subject: str
    id: str
    made: int


class SubjectKeys:
    """The file, opened; several processes of one machine may use it at the same time.

    A new key is in the file after `flush`; until then this process holds the file's write lock.
    All calls raise StoreUnavailable where the file cannot be used.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._remembered: dict[str, SubjectKey] = {}
        self._version = -1
        with self._guarded():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._file = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
            self._file.execute("PRAGMA secure_delete = ON")
            self._file.execute("PRAGMA synchronous = FULL")
            self._file.execute(_SCHEMA)

    def close(self) -> None:
        """Forget what was not flushed."""
        self._file.close()

    def key(self, subject: str) -> SubjectKey:
        """The key of a subject, made if there is none."""
        if (known := self._remembered.get(subject)) is not None:
            return known
        with self._guarded():
            key = self._read(subject)
            if key is None:
                if not self._file.in_transaction:
                    self._file.execute("BEGIN IMMEDIATE")
                    key = self._read(subject)  # another process may have made it meanwhile
                if key is None:
                    key = self._make(subject)
        if len(self._remembered) >= REMEMBERED:
            self._remembered.clear()
        self._remembered[subject] = key
        return key

    def by_id(self, id: str) -> SubjectKey | None:
        """The key of that name, None if it was erased."""
        with self._guarded():
            row = self._file.execute("SELECT id, secret FROM subjects WHERE id = ?", (id,))
            return next((SubjectKey(*each) for each in row), None)

    def flush(self) -> None:
        """Make new keys durable, and forget those that another process has erased."""
        with self._guarded():
            if self._file.in_transaction:
                self._file.execute("COMMIT")
            # Changes with each commit of another connection: 3 µs.
            ((version,),) = self._file.execute("PRAGMA data_version")
        if version != self._version:
            self._version = version
            self._remembered.clear()

    def erase(self, subject: str) -> bool:
        """Destroy a subject's key; False if there is none."""
        with self._guarded():
            done = self._file.execute("DELETE FROM subjects WHERE subject = ?", (subject,))
        self._remembered.pop(subject, None)
        return done.rowcount > 0

    def subjects(self, start: str = "", limit: int = 1000) -> list[Subject]:
        """Subjects whose name begins with `start`, in order of their names."""
        with self._guarded():
            rows = self._file.execute(
                "SELECT subject, id, made FROM subjects WHERE substr(subject, 1, ?) = ? "
                "ORDER BY subject LIMIT ?",
                (len(start), start, limit),
            )
            return [Subject(*row) for row in rows]

    def _read(self, subject: str) -> SubjectKey | None:
        rows = self._file.execute("SELECT id, secret FROM subjects WHERE subject = ?", (subject,))
        return next((SubjectKey(*row) for row in rows), None)

    def _make(self, subject: str) -> SubjectKey:
        key = SubjectKey(secrets.token_hex(_ID), secrets.token_bytes(_SECRET))
        self._file.execute(
            "INSERT INTO subjects VALUES (?, ?, ?, ?)",
            (subject, key.id, key.secret, self._clock.now()),
        )
        return key

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self._remembered.clear()
            raise StoreUnavailable(
                f"the keys of subjects in {self._path} cannot be used: {error}"
            ) from error
