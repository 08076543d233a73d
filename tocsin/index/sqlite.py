"""The embedded store: one SQLite file that other processes may read while this one writes.

All SQL runs on one thread, so the event loop never waits for the disk. WAL with synchronous=FULL:
the log's offset is committed after `write` returned, so what was written must be on the disk.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from tocsin.errors import StoreError, StoreUnavailable
from tocsin.index.store import (
    ALERT_RECORDS,
    ALERTS,
    AUDIT,
    DEAD_LETTERS,
    EVENTS,
    KINDS,
    MAX_LIMIT,
    RUNS,
    VERSIONED,
    Bodies,
    Body,
    Lines,
    Refusal,
    Refusals,
    StoreDocument,
    check_kind,
    check_query,
    inspect,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tocsin.clock import Clock

T = TypeVar("T")
Rows = list[tuple[Any, ...]]

#: Marks the file as a document store ("TcsD"); SQLite keeps it at byte 68 of the file.
APPLICATION_ID = 0x54637344
SCHEMA_VERSION = 1
#: How long another process's lock is waited for, s.
BUSY_TIMEOUT = 5.0
#: A read that takes longer is given up, s: writes wait behind it. Looked at so often (SQLite
#: instructions).
READ_DEADLINE = 10.0
READ_STEPS = 100_000
#: Largest body, bytes; well above a record of the log.
MAX_BODY = 32 * 1024 * 1024
#: Kinds that retention removes: the audit chain stays whole and leases stay known.
PRUNED = (EVENTS, ALERTS, ALERT_RECORDS, RUNS, DEAD_LETTERS)
#: Documents that one write removes at most besides its own number: it must outrun the growth.
PRUNE_MORE = 500

_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}

_PRUNABLE = f"kind IN ({', '.join(str(_NUMBERS[kind]) for kind in PRUNED)})"

PRUNE = (
    "DELETE FROM documents WHERE seq IN (SELECT seq FROM documents INDEXED BY by_age "  # noqa: S608  (constants)
    f"WHERE {_PRUNABLE} AND stored < ? ORDER BY stored LIMIT ?) RETURNING kind"
)

_COUNTS = ", ".join(f"({number}, 0)" for number in _NUMBERS.values())

# Put together from numbers of this module only.
_SCHEMA = f"""
PRAGMA page_size = 8192;
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE documents (
    seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER,
    at INTEGER NOT NULL, stored INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX by_id ON documents (kind, id);
CREATE INDEX by_time ON documents (kind, at);
CREATE INDEX by_age ON documents (stored) WHERE {_PRUNABLE};
CREATE TABLE counts (kind INTEGER PRIMARY KEY, documents INTEGER NOT NULL) STRICT;  -- not VERSIONED
INSERT INTO counts VALUES {_COUNTS};
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""  # noqa: S608

# Without a version the comparison is NULL, which is not true: the first write stays.
_UPSERT = """
INSERT INTO documents (kind, id, version, at, stored, body) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE SET
    version = excluded.version, at = excluded.at, stored = excluded.stored, body = excluded.body
WHERE excluded.version > documents.version
"""

# json_each gives the elements of a list, and one row for anything else; it takes text, a BLOB
# would be SQLite's own binary JSON.
_WHERE = """ AND EXISTS (
    SELECT 1 FROM json_each(CAST(body AS TEXT), ?)
    WHERE ? = CASE type WHEN 'true' THEN type WHEN 'false' THEN type ELSE CAST(atom AS TEXT) END
)"""

#: What to do about SQLite's result codes that pass (https://www.sqlite.org/rescode.html).
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


class SqliteStore:
    """The store in one file; `retention` (ms, 0 keeps for ever) counts from the writing."""

    def __init__(self, path: Path, *, clock: Clock, retention: int = 0) -> None:
        self._path = path
        self._clock = clock
        self._retention = retention
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def start(self) -> None:
        """Open or create the file, readable by its owner only."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        try:
            await self._run(self._open)
        except BaseException:
            self._thread.shutdown(wait=True)
            self._thread = None
            raise

    async def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._thread is None:
            return
        await self._run(self._shut)
        self._thread.shutdown(wait=True)
        self._thread = None

    async def setup(self) -> Lines:
        """Nothing to install beyond the file, which `start` made."""
        return [f"embedded store {self._path}"]

    async def write(self, documents: Sequence[StoreDocument]) -> Refusals:
        """Store in one transaction; see Store.write."""
        return await self._run(partial(self._write, documents))

    async def list(
        self,
        kind: str,
        *,
        limit: int,
        newest_first: bool = True,
        where: Mapping[str, str] = {},
    ) -> Bodies:
        """See Store.list; documents of the same time come in the order of writing."""
        check_query(kind, limit, where)
        order = "DESC" if newest_first else "ASC"
        # The pieces put together are constants of this module; values are bound.
        sql = (
            "SELECT body FROM documents WHERE kind = ?"  # noqa: S608
            + _WHERE * len(where)
            + f" ORDER BY at {order}, seq {order} LIMIT ?"
        )
        terms = [term for field, text in where.items() for term in (_json_path(field), text)]
        rows = await self._run(partial(self._rows, sql, (_NUMBERS[kind], *terms, limit)))
        return [orjson.loads(row[0]) for row in rows]

    async def links(self, chain: str, first: int) -> Bodies:
        """See Store.links."""
        chain_of, number = (
            f"json_extract(CAST(body AS TEXT), '$.{name}')" for name in ("chain", "seq")
        )
        sql = (
            f"SELECT body FROM documents WHERE kind = ? AND {chain_of} = ? AND {number} >= ? "  # noqa: S608  (constants)
            f"ORDER BY {number}, seq LIMIT ?"
        )
        rows = await self._run(partial(self._rows, sql, (_NUMBERS[AUDIT], chain, first, MAX_LIMIT)))
        return [orjson.loads(row[0]) for row in rows]

    async def get(self, kind: str, id: str) -> Body | None:
        """See Store.get."""
        check_kind(kind)
        sql = "SELECT body FROM documents WHERE kind = ? AND id = ?"
        rows = await self._run(partial(self._rows, sql, (_NUMBERS[kind], id)))
        return orjson.loads(rows[0][0]) if rows else None

    async def count(self, kind: str) -> int:
        """See Store.count; for events and other large kinds it costs the same for any number."""
        check_kind(kind)
        sql = "SELECT documents FROM counts WHERE kind = ?"
        if kind in VERSIONED:
            sql = "SELECT count(*) FROM documents WHERE kind = ?"
        rows = await self._run(partial(self._rows, sql, (_NUMBERS[kind],)))
        return int(rows[0][0])

    async def _run(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreError(f"the store {self._path} is not open; call start() first")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    @property
    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"the store {self._path} is not open; call start() first")
        return self._connection

    def _open(self) -> None:
        with _translated(self._path, "opened"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT, isolation_level=None
            )
            try:
                self._prepare(self._connection)
            except BaseException:
                self._shut()
                raise

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if _value(connection, "PRAGMA application_id") != APPLICATION_ID:
            if _value(connection, "SELECT count(*) FROM sqlite_schema"):
                raise _foreign(self._path, "it is a SQLite database of another program")
            self._create(connection)
        version = _value(connection, "PRAGMA user_version")
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"{self._path} has store format {version}, this Tocsin reads {SCHEMA_VERSION}; "
                "nothing was changed. Run the version of Tocsin that wrote it, or move the file "
                "away: the store is filled again from the log as far back as the log reaches."
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")

    def _create(self, connection: sqlite3.Connection) -> None:
        try:
            connection.executescript(_SCHEMA)
        except sqlite3.OperationalError:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            # Another process may have been first; anything else is the caller's to report.
            if _value(connection, "PRAGMA application_id") != APPLICATION_ID:
                raise

    def _shut(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, sql: str, values: tuple[object, ...]) -> Rows:
        connection = self._open_connection
        deadline = time.monotonic() + READ_DEADLINE
        connection.set_progress_handler(lambda: time.monotonic() > deadline, READ_STEPS)
        try:
            with _translated(self._path, "read"):
                return connection.execute(sql, values).fetchall()
        finally:
            connection.set_progress_handler(None, 0)

    def _write(self, documents: Sequence[StoreDocument]) -> Refusals:
        now = self._clock.now()
        rows, refusals = [], []
        for document in documents:
            row = _row(document, now)
            if isinstance(row, Refusal):
                refusals.append(row)
            else:
                rows.append(row)
        with self._transaction() as connection:
            gained = _insert(connection, rows)
            if self._retention:
                most = len(rows) + PRUNE_MORE
                gained.subtract(_prune(connection, now - self._retention, most))
            connection.executemany(
                "UPDATE counts SET documents = documents + ? WHERE kind = ?",
                [(number, kind) for kind, number in gained.items()],
            )
        return refusals

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open_connection
        with _translated(self._path, "written"):
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")


Row = tuple[int, str, int | None, int, int, bytes]


def _row(document: StoreDocument, now: int) -> Row | Refusal:
    if (wrong := inspect(document)) is not None:
        return wrong
    try:
        body = orjson.dumps(document.body)
        document.id.encode()
    except (orjson.JSONEncodeError, UnicodeEncodeError) as error:
        return refusal(document, "invalid_json", f"it has no JSON form: {error}")
    if len(body) > MAX_BODY:
        return refusal(document, "too_large", f"{len(body)} bytes, at most {MAX_BODY} are stored")
    number = _NUMBERS[document.kind]
    return number, document.id, document.version, document.at, now, body


def _insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> Counter[int]:
    """Insert or replace; how many rows of each kind came anew.

    Counted here: a trigger that counts costs 40 % of the throughput. Of versioned kinds the
    number includes replacements and is not used.
    """
    gained: Counter[int] = Counter()
    for kind in {row[0] for row in rows}:
        of_kind = [row for row in rows if row[0] == kind]
        gained[kind] = connection.executemany(_UPSERT, of_kind).rowcount
    return gained


def _prune(connection: sqlite3.Connection, before: int, most: int) -> Counter[int]:
    """Remove up to `most` documents written before `before`; how many of each kind.

    The partial index holds only the kinds that may go. It is named because SQLite would rather
    read every document of those kinds, at every write: four fifths of the stage's time.
    """
    removed = connection.execute(PRUNE, (before, most))
    return Counter(kind for (kind,) in removed)


def _json_path(field: str) -> str:
    """SQLite's JSON path of a dotted field; names are quoted, `@timestamp` is one."""
    return "$" + "".join(f'."{name}"' for name in field.split("."))


def _value(connection: sqlite3.Connection, sql: str) -> int:
    return int(connection.execute(sql).fetchone()[0])


@contextmanager
def _translated(path: Path, doing: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        extended = getattr(error, "sqlite_errorcode", 0)
        code = extended & 0xFF  # the low byte is the primary code
        if extended == sqlite3.SQLITE_IOERR_SHMSIZE:  # there is no room for the index of the WAL
            code = sqlite3.SQLITE_FULL
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise _foreign(path, str(error)) from error
        if code == sqlite3.SQLITE_INTERRUPT:
            raise StoreError(
                f"looking through {path} took longer than {READ_DEADLINE:.0f} s and was given up; "
                "ask for less, or search large amounts in Elasticsearch"
            ) from error
        if code not in _PASSING:
            raise
        raise StoreUnavailable(
            f"the store {path} could not be {doing} ({error}). {_PASSING[code]}. The records wait "
            "in the log and are written by themselves afterwards."
        ) from error
    except OSError as error:
        raise StoreUnavailable(
            f"the store {path} could not be {doing}: {error.strerror}. Check the path, its space "
            "and the rights of this user. The records wait in the log."
        ) from error


def _foreign(path: Path, what: str) -> StoreError:
    return StoreError(
        f"{path} is not a readable Tocsin store ({what}). It was left as it is. Move it away: "
        "the store is filled again from the log as far back as the log reaches."
    )
