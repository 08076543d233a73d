"""The embedded log when its file is damaged, foreign, locked, or the disk does not take more."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import stat
import sys
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING

import pytest

from tests.log.conftest import NOW
from tocsin.clock import ManualClock
from tocsin.errors import LogError, LogUnavailable
from tocsin.log import sqlite_store
from tocsin.log.base import Completion, Outgoing, Topic, TopicPartition
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from pathlib import Path

AT = TopicPartition("t", 0)
MARK = b"this value stands on the disk "


def opened(path: Path) -> SqliteLog:
    return SqliteLog(path, clock=ManualClock(NOW))


async def written(path: Path, count: int = 50) -> None:
    """A closed log at `path` with records in AT."""
    log = opened(path)
    await log.start()
    await log.create([Topic("t", 1)])
    for n in range(count):
        await log.append([Outgoing("t", MARK + b"%d" % n, timestamp=1)])
    await log.close()


def content(path: Path) -> bytearray:
    """The bytes of a file, to be altered."""
    return bytearray(path.read_bytes())


def overwrite(path: Path, data: bytearray) -> None:
    """Put these bytes on the disk behind the log's back."""
    path.write_bytes(data)


async def refused(path: Path, match: str) -> None:
    """Starting is a LogError that no retry helps, names the file and leaves it as it is."""
    before = content(path)
    with pytest.raises(LogError, match=match) as caught:
        await opened(path).start()
    assert str(path) in str(caught.value)
    assert not caught.value.retriable
    assert content(path) == before


async def test_two_logs_on_one_file_are_refused(log: SqliteLog, path: Path) -> None:
    second = opened(path)
    with pytest.raises(LogError, match=f"in use by process {os.getpid()}"):
        await second.start()
    await log.create([Topic("t")])  # the first is not disturbed
    await log.close()
    await second.start()
    await second.close()


async def test_a_lock_held_by_another_process_is_seen(path: Path) -> None:
    await written(path, 1)
    script = (
        "import fcntl, os, sys\n"
        "lock = open(sys.argv[1], 'r+')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "lock.truncate(0); lock.write(str(os.getpid())); lock.flush()\n"
        "print('held', flush=True); sys.stdin.read()\n"
    )
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, f"{path}.lock"), stdin=PIPE, stdout=PIPE
    )
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        with pytest.raises(LogError, match=f"in use by process {holder.pid}"):
            await opened(path).start()
    finally:
        holder.kill()
        await holder.communicate()
    log = opened(path)
    await log.start()  # the lock went with its holder
    await log.close()


async def test_what_has_returned_was_synchronized(log: SqliteLog) -> None:
    """No process can see its own power cut; SQLite promises it for WAL with FULL (2)."""
    connection = log._opened().connection
    query = "SELECT journal_mode, synchronous FROM pragma_journal_mode, pragma_synchronous"
    assert await log._run(lambda: connection.execute(query).fetchone()) == ("wal", 2)


async def test_only_the_owner_may_read_the_file(log: SqliteLog, path: Path) -> None:
    await log.create([Topic("t")])
    names = (path.name, f"{path.name}-wal", f"{path.name}.lock")
    modes = {name: stat.S_IMODE((path.parent / name).stat().st_mode) for name in names}
    assert modes == dict.fromkeys(names, 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"Dear diary, nothing was blocked today. " * 100)
    await refused(path, "not a readable Tocsin log.*file is not a database")


async def test_a_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE songs (title)")
    other.close()
    await refused(path, "database of another program")


async def test_a_log_of_a_newer_version(path: Path) -> None:
    await written(path)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 999")
    other.close()
    await refused(path, "log format 999, this Tocsin reads 1")


async def test_a_file_whose_pages_are_overwritten(path: Path) -> None:
    await written(path)
    data = content(path)
    data[100:16384] = b"\xa5" * (16384 - 100)
    overwrite(path, data)
    await refused(path, "not a readable Tocsin log")


async def test_a_flipped_bit_in_a_record_is_found(path: Path) -> None:
    await written(path)
    data = content(path)
    data[data.index(MARK + b"7") + 5] ^= 1
    overwrite(path, data)
    log = opened(path)
    await log.start()
    assert len(await log.read(AT, 0, 7)) == 7
    assert len(await log.read(AT, 0, 50)) == 7
    with pytest.raises(LogError, match=r"t/0/7 on are damaged.*checksum") as caught:
        await log.read(AT, 7, 50)
    assert not caught.value.retriable
    assert len(await log.read(AT, 8, 50)) == 42
    await log.close()


async def test_a_torn_journal_loses_only_its_end(path: Path) -> None:
    """As after a power cut on a disk that lied: a prefix of the transactions is there."""
    await written(path, 5)
    log = opened(path)
    await log.start()
    subscription = await log.subscribe("g", "t", stateful=True)
    await subscription.poll(1, 30.0)
    state = subscription.state(0)
    for n in range(5, 45):
        state["n"] = n
        outputs = [Outgoing("t", MARK + b"%d" % n, timestamp=1)]
        await subscription.complete([Completion(AT, n, outputs, state)])
    image, journal = content(path), content(path.with_name("log.db-wal"))
    await log.close()
    found = []
    for part in range(1, 8):
        torn = path.parent / f"torn{part}.db"
        overwrite(torn, image)
        cut = len(journal) * part // 8 + 11  # somewhere in a page
        overwrite(torn.with_name(f"torn{part}.db-wal"), journal[:cut])
        log = opened(torn)
        await log.start()
        records = await log.read(AT, 0, 100)
        assert [r.value for r in records] == [MARK + b"%d" % n for n in range(len(records))]
        subscription = await log.subscribe("g", "t", stateful=True)
        await subscription.poll(1, 30.0)
        n = subscription.state(0).get("n", 4)
        assert len(records) == n + 1
        assert (await log.committed("g", "t"))[AT] == (n if n > 4 else 0)
        found.append(n)
        await log.append([Outgoing("t", b"goes on", timestamp=1)])
        await log.close()
    assert found == sorted(found)
    assert found[0] < found[-1]


async def test_an_error_of_the_disk_passes(log: SqliteLog, path: Path) -> None:
    """A limit on the size of files makes writing fail as a broken disk does (EFBIG)."""
    await log.create([Topic("t", 1)])
    await log.append([Outgoing("t", b"before", timestamp=1)])
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = path.with_name("log.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(LogUnavailable, match=f"{path}.*disk") as caught:
            await log.append([Outgoing("t", bytes(200_000), timestamp=1)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert "nothing was half written" in str(caught.value).lower()
    assert [r.value for r in await log.read(AT, 0, 9)] == [b"before"]
    await log.append([Outgoing("t", b"after", timestamp=1)])
    assert [(r.offset, r.value) for r in await log.read(AT, 0, 9)] == [
        (0, b"before"), (1, b"after"),
    ]  # fmt: skip


async def test_a_full_disk_hits_only_what_does_not_fit(log: SqliteLog) -> None:
    await log.create([Topic("t", 1)])
    store = log._opened()
    await log.append([Outgoing("t", b"0", timestamp=1)])
    await log._run(lambda: store.connection.execute("PRAGMA max_page_count = 1").fetchone())
    small, large = await asyncio.gather(
        log.append([Outgoing("t", b"1", timestamp=1)]),
        log.append([Outgoing("t", bytes(500_000), timestamp=1)]),
        return_exceptions=True,
    )
    assert isinstance(small, list)
    assert isinstance(large, LogUnavailable)
    assert "free space" in str(large)
    assert [r.value for r in await log.read(AT, 0, 9)] == [b"0", b"1"]


async def test_a_file_locked_by_another_program_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_TIMEOUT", 0.01)
    log = opened(path)
    await log.start()
    await log.create([Topic("t", 1)])
    shell = sqlite3.connect(path, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailable, match="Another program holds"):
        await log.append([Outgoing("t", b"v")])
    shell.execute("ROLLBACK")
    shell.close()
    assert await log.append([Outgoing("t", b"v")])
    await log.close()


async def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = opened(tmp_path / "file" / "log.db")
    with pytest.raises(LogUnavailable, match=str(tmp_path)):
        await log.start()


async def test_starting_twice_is_refused(log: SqliteLog) -> None:
    with pytest.raises(LogError, match="started already"):
        await log.start()
    await log.create([Topic("t")])
