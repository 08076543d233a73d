"""The embedded store: the contract, other processes, disks, retention."""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC240  (nothing else runs on this event loop)
from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.index.contract import StoreContract, plain
from tests.index.documents import START, alert_documents, event_document, lease, letter
from tocsin.clock import ManualClock
from tocsin.errors import StoreError, StoreUnavailable
from tocsin.index.sqlite import MAX_BODY, PRUNE, PRUNE_MORE, SqliteStore
from tocsin.index.store import Store, StoreDocument

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOUR = 3_600_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, clock=ManualClock(START))
    await store.start()
    yield store
    await store.close()


class TestSqliteStore(StoreContract):
    pass


async def test_another_process_reads_while_this_one_writes(store: Store, path: Path) -> None:
    reading = """
import asyncio, sys
from pathlib import Path
from tocsin.clock import SystemClock
from tocsin.index.sqlite import SqliteStore

async def main() -> None:
    store = SqliteStore(Path(sys.argv[1]), clock=SystemClock())
    await store.start()
    for line in sys.stdin:
        print(await store.count("events"), len(await store.list("events", limit=10)), flush=True)
    await store.close()

asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", reading, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as reader:  # fmt: skip
        assert reader.stdin is not None
        assert reader.stdout is not None
        for number in range(1, 4):
            await store.write([event_document(number)])
            reader.stdin.write("count\n")
            reader.stdin.flush()
            assert reader.stdout.readline().split() == [str(number), str(number)]
        reader.stdin.close()
        assert reader.wait(30) == 0


async def test_what_was_written_survives_a_kill(path: Path) -> None:
    writing = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.index.documents import event_document
from tocsin.clock import SystemClock
from tocsin.index.sqlite import SqliteStore

async def main() -> None:
    store = SqliteStore(Path(sys.argv[1]), clock=SystemClock())
    await store.start()
    await store.write([event_document(n) for n in range(100)])
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    killed = subprocess.run([sys.executable, "-c", writing, str(path)], timeout=50, check=False)
    assert killed.returncode == -9
    store = SqliteStore(path, clock=ManualClock())
    await store.start()
    assert await store.count("events") == 100
    await store.close()


async def test_a_full_disk_holds_writes_back_and_loses_nothing(store: SqliteStore) -> None:
    await store.write([event_document(1)])
    connection = store._open_connection

    def limit(pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    pages = await store._run(lambda: int(connection.execute("PRAGMA page_count").fetchone()[0]))
    await store._run(lambda: limit(pages))
    many = [event_document(n) for n in range(1, 200)]
    with pytest.raises(StoreUnavailable, match="disk is full: free space"):
        await store.write(many)
    assert await store.count("events") == 1, "half a batch was kept"
    await store._run(lambda: limit(2**30))
    assert await store.write(many) == []
    assert await store.count("events") == 199


async def test_a_locked_file_is_unavailable_for_now(store: SqliteStore, path: Path) -> None:
    connection = store._open_connection
    await store._run(lambda: connection.execute("PRAGMA busy_timeout = 10"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="Another program holds the file locked"):
        await store.write([event_document(1)])
    other.execute("ROLLBACK")
    other.close()
    assert await store.write([event_document(1)]) == []


async def test_a_search_without_end_is_given_up_and_writes_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write([event_document(n) for n in range(200)])
    monkeypatch.setattr("tocsin.index.sqlite.READ_DEADLINE", -1.0)
    monkeypatch.setattr("tocsin.index.sqlite.READ_STEPS", 100)
    with pytest.raises(StoreError, match="took longer") as caught:
        await store.list("events", limit=1, where={"user.name": "nobody"})
    assert not isinstance(caught.value, StoreUnavailable)
    assert await store.write([event_document(n) for n in range(200, 300)]) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"this is no database, it is a text file " * 50, "not a readable Tocsin store"),
        (None, "of another program"),
    ],
)
async def test_a_foreign_file_is_left_as_it_is(
    path: Path, content: bytes | None, says: str
) -> None:
    if content is None:
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE mine (x)")
        other.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=says):
        await SqliteStore(path, clock=ManualClock()).start()
    assert path.read_bytes() == before


async def test_a_newer_format_is_not_touched(store: SqliteStore, path: Path) -> None:
    await store._run(lambda: store._open_connection.execute("PRAGMA user_version = 99"))
    await store.close()
    with pytest.raises(StoreError, match="format 99, this Tocsin reads 1"):
        await SqliteStore(path, clock=ManualClock()).start()


async def test_the_file_is_its_owners_alone(store: SqliteStore, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


async def test_an_impossible_path_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(StoreUnavailable, match=r"could not be opened: File exists\. Check"):
        await SqliteStore(tmp_path / "file" / "store.sqlite", clock=ManualClock()).start()


async def test_a_monstrous_document_is_refused(store: Store) -> None:
    monster = event_document(1, message="x" * MAX_BODY)
    (refused,) = await store.write([monster, event_document(2)])
    assert (refused.id, refused.code) == ("event-1", "too_large")
    assert await store.count("events") == 1


async def test_what_has_no_json_form_is_refused(store: Store) -> None:
    (refused,) = await store.write([event_document(1, labels={"x": {1, 2}}), event_document(2)])
    assert refused.code == "invalid_json"


async def test_retention_counts_from_the_writing_and_spares_audit_and_leases(path: Path) -> None:
    clock = ManualClock(START)
    store = SqliteStore(path, clock=clock, retention=HOUR)
    await store.start()
    ancient = StoreDocument("events", "old", None, 1_000, event_document(0).body)
    await store.write([ancient, event_document(1), *alert_documents(1)])
    await store.write([StoreDocument("leases", "lease-1", 1, START, plain(lease(1)))])
    await store.write([StoreDocument("audit", "h", None, START, {"chain": "c"})])
    assert await store.count("events") == 2, "old events that were read just now stay"
    clock.advance(HOUR // 2)
    await store.write(alert_documents(2))
    clock.advance(HOUR // 2 + 1)
    await store.write([StoreDocument("dead_letters", "l", None, START, plain(letter(1)))])
    assert await store.count("events") == 0
    assert await store.count("alerts") == 1, "a revised alert is young"
    assert await store.count("leases") == 1
    assert await store.count("audit") == 1
    await store.close()


async def test_retention_outruns_the_growth(path: Path) -> None:
    clock = ManualClock(START)
    store = SqliteStore(path, clock=clock, retention=HOUR)
    await store.start()
    old = 2 * PRUNE_MORE + 10
    await store.write([event_document(n) for n in range(old)])
    clock.advance(HOUR + 1)
    await store.write([event_document(old)])
    assert await store.count("events") == PRUNE_MORE + 10, "one write removes a bounded number"
    await store.write([])
    await store.write([])
    assert await store.count("events") == 1
    await store.close()


def test_pruning_reads_only_what_is_old(store: SqliteStore, path: Path) -> None:
    """SQLite's own choice was to read every document at every write."""
    with closing(sqlite3.connect(path)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {PRUNE}", (0, 1)).fetchall()
    steps = [step for *_, step in plan]
    assert any("by_age" in step for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps
