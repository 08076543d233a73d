"""The embedded log's file: everything that speaks SQL. Synchronous, for one thread.

Records that are appended together stand in batches (record_batch.py), one row each. A batch's
row id is `partition id << 40 | offset of its first record`: appending writes at the right edge of
its partition's stretch of one B-tree, reading from an offset is a range scan, and no second index
is kept. WAL with synchronous=FULL: a transaction that has returned is on the disk (one fsync).
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from itertools import islice, takewhile
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from tocsin.errors import LogError
from tocsin.log.base import Position, Topic, TopicPartition, partition_for
from tocsin.log.record_batch import cut, pack, unpack
from tocsin.log.sqlite_errors import damaged, foreign, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tocsin.log.base import Outgoing, Record

#: Marks the file as an embedded log ("TcsL"); SQLite keeps it at byte 68 of the file.
APPLICATION_ID = 0x5463734C
SCHEMA_VERSION = 1

#: Offsets have 40 bits (10^12 records in a partition), partition ids the 23 above.
OFFSET_BITS = 40
OFFSET_MASK = (1 << OFFSET_BITS) - 1

#: One read or poll stops after the record with which it has this many bytes of values.
MAX_READ_BYTES = 64 * 1024 * 1024

#: Batches that one step of pruning deletes: a bound on how long appending waits for it.
PRUNE_STEP = 16

#: How long a lock that some other program (a backup, the sqlite3 shell) holds is waited for, s.
BUSY_TIMEOUT = 5.0

# 16 KiB pages: 500-byte records go in 20 % faster than with 4 KiB, and a small transaction still
# writes little; 32 KiB gain another 5 % only for large ones.
_SCHEMA = f"""
PRAGMA page_size = 16384;
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE topics (
    name TEXT PRIMARY KEY, partitions INTEGER NOT NULL,
    compacted INTEGER NOT NULL, retention INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE partitions (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL REFERENCES topics, partition INTEGER NOT NULL,
    next INTEGER NOT NULL DEFAULT 0, UNIQUE (topic, partition)
) STRICT;
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, count INTEGER NOT NULL, appended INTEGER NOT NULL,
    checksum INTEGER NOT NULL, records BLOB NOT NULL
) STRICT;
CREATE TABLE offsets (
    "group" TEXT NOT NULL, partition INTEGER NOT NULL REFERENCES partitions, next INTEGER NOT NULL,
    PRIMARY KEY ("group", partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE state (
    "group" TEXT NOT NULL, partition INTEGER NOT NULL REFERENCES partitions, key BLOB NOT NULL,
    value BLOB NOT NULL, PRIMARY KEY ("group", partition, key)
) STRICT, WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""

_PRAGMAS = (
    "synchronous = FULL",
    "foreign_keys = ON",
    "wal_autocheckpoint = 512",  # pages, 8 MiB
    "journal_size_limit = 67108864",  # bytes that the -wal file keeps after a burst
    "cache_size = -16384",  # KiB, so that a large batch fits
)


# From the batch that holds the offset on, or the first one where that was pruned.
_READ = """
SELECT id, count, checksum, records FROM batches
WHERE id < :end AND id >= coalesce(
    (SELECT max(id) FROM batches WHERE id >= :base AND id <= :start), :start)
ORDER BY id
"""


class Commit(NamedTuple):
    """Progress of a group on one partition: next offset (None: as it is) and changed state."""

    group: str
    partition: TopicPartition
    offset: int | None
    changes: Mapping[str, bytes | None]


class Write(NamedTuple):
    """What one caller wants written, all of it or nothing."""

    records: Sequence[Outgoing]
    commits: Sequence[Commit] = ()


class Written(NamedTuple):
    """For each write its positions or why it failed; and the new ends of the partitions."""

    results: list[list[Position] | Exception]
    ends: dict[TopicPartition, int]


class Progress(NamedTuple):
    """Where a group stands on a partition."""

    offset: int
    state: dict[str, bytes]


class _Partition(NamedTuple):
    id: int
    at: TopicPartition


class Store:
    """The open file. Raises LogUnavailable for what may pass, LogError for what will not."""

    def __init__(self, path: Path) -> None:
        """Open or create `path` (readable by its owner only); the caller holds the lock file."""
        self._path = path
        self._partitions: dict[str, list[_Partition]] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._now = 0
        self._turn = 0
        self.topics: dict[str, Topic] = {}
        with translated(path, "opened"):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self.connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            with translated(path, "opened"):
                self._prepare()
                self._load_topics()
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self) -> None:
        tables = self._value("SELECT count(*) FROM sqlite_schema")
        if tables == 0:
            self.connection.executescript(_SCHEMA)
        elif self._value("PRAGMA application_id") != APPLICATION_ID:
            raise foreign(self._path, "it is a SQLite database of another program")
        elif (version := self._value("PRAGMA user_version")) != SCHEMA_VERSION:
            raise LogError(
                f"{self._path} has log format {version}, this Tocsin reads {SCHEMA_VERSION}; "
                "nothing was changed. Run the version of Tocsin that wrote it, or set data_dir "
                "to an empty directory."
            )
        for pragma in _PRAGMAS:
            self.connection.execute(f"PRAGMA {pragma}")

    def _value(self, sql: str) -> int:
        value: int = self.connection.execute(sql).fetchone()[0]
        return value

    def _load_topics(self) -> None:
        self.topics = {
            name: Topic(name, partitions, bool(compacted), retention)
            for name, partitions, compacted, retention in self.connection.execute(
                "SELECT name, partitions, compacted, retention FROM topics"
            )
        }
        self._partitions = {name: [] for name in self.topics}
        for id_, topic, partition, end in self.connection.execute(
            "SELECT id, topic, partition, next FROM partitions ORDER BY topic, partition"
        ):
            at = TopicPartition(topic, partition)
            self._partitions[topic].append(_Partition(id_, at))
            self._ends[at] = end

    def close(self) -> None:
        """Close the file; what was written stays."""
        self.connection.close()

    @contextmanager
    def _transaction(self, doing: str) -> Iterator[None]:
        ends = dict(self._ends)
        try:
            with translated(self._path, doing):
                self.connection.execute("BEGIN IMMEDIATE")
                yield
                self.connection.execute("COMMIT")
        except BaseException:
            self._ends = ends
            if self.connection.in_transaction:  # SQLite itself rolls back on some errors
                self.connection.execute("ROLLBACK")
            raise

    def ends(self) -> dict[TopicPartition, int]:
        """The offset that the next record of each partition will get."""
        return dict(self._ends)

    def create(self, topics: Sequence[Topic]) -> None:
        """Create the topics that do not exist."""
        missing = {topic.name: topic for topic in topics if topic.name not in self.topics}
        with self._transaction("written"):
            for topic in missing.values():
                self.connection.execute(
                    "INSERT INTO topics VALUES (?, ?, ?, ?)",
                    (topic.name, topic.partitions, topic.compacted, topic.retention),
                )
                self.connection.executemany(
                    "INSERT INTO partitions (topic, partition) VALUES (?, ?)",
                    [(topic.name, partition) for partition in range(topic.partitions)],
                )
        with translated(self._path, "read"):
            self._load_topics()

    def write(self, writes: Sequence[Write], now: int) -> Written:
        """All writes in one transaction; if that fails, each alone, so that faults stay apart.

        `now` (ms) is what retention counts from.
        """
        before, self._now = dict(self._ends), now
        results = self._write(writes)
        changed = {at: end for at, end in self._ends.items() if before[at] != end}
        return Written(results, changed)

    def _write(self, writes: Sequence[Write]) -> list[list[Position] | Exception]:
        before = dict(self._ends)
        try:
            with self._transaction("written"):
                # All at once: records of one partition share a batch, whoever appends them.
                positions = iter(self._append([r for write in writes for r in write.records]))
                self._save_ends(before)
                for write in writes:
                    for commit in write.commits:
                        self._commit(commit)
        except Exception as error:
            if len(writes) == 1:
                return [error]
            return [self._write([write])[0] for write in writes]
        return [list(islice(positions, len(write.records))) for write in writes]

    def _append(self, records: Sequence[Outgoing]) -> list[Position]:
        positions, ends = [], self._ends
        routed: dict[_Partition, list[Outgoing]] = {}
        for record in records:
            partition = self._route(record)
            at = partition.at
            offset = ends[at]
            ends[at] = offset + 1
            positions.append(Position(at.topic, at.partition, offset))
            routed.setdefault(partition, []).append(record)
        for partition, appended in routed.items():
            self._insert(partition, appended)
        return positions

    def _insert(self, partition: _Partition, records: Sequence[Outgoing]) -> None:
        offset = self._ends[partition.at] - len(records)
        rows = []
        for batch in cut(records):
            data = pack(batch)
            row_id = partition.id << OFFSET_BITS | offset
            rows.append((row_id, len(batch), self._now, crc32(data), data))
            offset += len(batch)
        self.connection.executemany("INSERT INTO batches VALUES (?, ?, ?, ?, ?)", rows)

    def _route(self, record: Outgoing) -> _Partition:
        partitions = self._partitions[record.topic]
        if record.partition is not None:
            return partitions[record.partition]
        if record.key is not None:
            return partitions[partition_for(record.key, len(partitions))]
        self._turn += 1
        return partitions[self._turn % len(partitions)]

    def _save_ends(self, before: Mapping[TopicPartition, int]) -> None:
        self.connection.executemany(
            "UPDATE partitions SET next = ? WHERE topic = ? AND partition = ?",
            [(end, *at) for at, end in self._ends.items() if before[at] != end],
        )

    def _commit(self, commit: Commit) -> None:
        partition = self._id(commit.partition)
        if commit.offset is not None:
            self.connection.execute(
                "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)",
                (commit.group, partition, commit.offset),
            )
        kept, dropped = [], []
        for key, value in commit.changes.items():
            row = (commit.group, partition, _key(key))
            if value is None:
                dropped.append(row)
            else:
                kept.append((*row, value))
        self.connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)", kept)
        self.connection.executemany(
            'DELETE FROM state WHERE "group" = ? AND partition = ? AND key = ?', dropped
        )

    def _id(self, at: TopicPartition) -> int:
        return self._partitions[at.topic][at.partition].id

    def fetch(
        self, wanted: Sequence[tuple[TopicPartition, int, int]], max_bytes: int = MAX_READ_BYTES
    ) -> dict[TopicPartition, list[Record]]:
        """For each (partition, offset, most records) the records from there on, in order.

        Stops once it has `max_bytes` of values; each partition asked gets an entry until then.
        """
        found: dict[TopicPartition, list[Record]] = {}
        with translated(self._path, "read"):
            for at, offset, most in wanted:
                records, size = self._read(at, offset, most, max_bytes)
                found[at] = records
                max_bytes -= size
                if max_bytes <= 0:
                    break
        return found

    def _read(
        self, at: TopicPartition, offset: int, most: int, max_bytes: int
    ) -> tuple[list[Record], int]:
        base = self._id(at) << OFFSET_BITS
        offset = max(0, offset)
        if most <= 0:
            return [], 0
        bounds = {"base": base, "start": base + offset, "end": base + self._ends[at]}
        records: list[Record] = []
        size = 0
        with closing(self.connection.execute(_READ, bounds)) as batches:
            for row_id, count, checksum, data in batches:
                first = row_id & OFFSET_MASK
                if crc32(data) != checksum:
                    if records:
                        break  # what stands before it is good; the next read begins with it
                    raise damaged(self._path, f"{at.topic}/{at.partition}/{first}")
                for record in unpack(at, first, count, data, offset):
                    records.append(record)
                    size += len(record.value)
                    if len(records) >= most or size >= max_bytes:
                        return records, size
        return records, size

    def progress(
        self, group: str, partitions: Sequence[TopicPartition], *, stateful: bool
    ) -> dict[TopicPartition, Progress]:
        """Committed offset (0 without) and, if asked for, the keyed state of a group."""
        found = {}
        with translated(self._path, "read"):
            for at in partitions:
                id_ = self._id(at)
                row = self.connection.execute(
                    'SELECT next FROM offsets WHERE "group" = ? AND partition = ?', (group, id_)
                ).fetchone()
                state = self._state(group, id_) if stateful else {}
                found[at] = Progress(row[0] if row else 0, state)
        return found

    def _state(self, group: str, partition: int) -> dict[str, bytes]:
        rows = self.connection.execute(
            'SELECT key, value FROM state WHERE "group" = ? AND partition = ?', (group, partition)
        )
        return {key.decode("utf-8", "surrogatepass"): value for key, value in rows}

    def prune(self, at: TopicPartition, before: int, upto: int) -> tuple[int, bool]:
        """Delete up to PRUNE_STEP batches at the partition's start that are older than `before`.

        Batches that reach to the offset `upto` or beyond stay. Returns how many records went,
        and whether there may be more.
        """
        base = self._id(at) << OFFSET_BITS
        with self._transaction("pruned"):
            batches = self.connection.execute(
                "SELECT id, count, appended FROM batches WHERE id >= ? AND id < ?"
                " ORDER BY id LIMIT ?",
                (base, base + self._ends[at], PRUNE_STEP),
            ).fetchall()
            old = list(
                takewhile(
                    lambda batch: batch[2] < before and batch[0] + batch[1] <= base + upto, batches
                )
            )
            if old:
                self.connection.execute(
                    "DELETE FROM batches WHERE id >= ? AND id <= ?", (base, old[-1][0])
                )
        return sum(count for _, count, _ in old), len(old) == PRUNE_STEP


def _key(key: str) -> bytes:
    """A state key as bytes: keys hold hostile text, and a blob takes any (NUL, lone surrogate)."""
    return key.encode("utf-8", "surrogatepass")
