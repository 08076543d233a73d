"""The file source: every line once, whatever happens to the file, the log or the process."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from ingest.sources import tail as tail_module
from ingest.sources.file import PARTIAL_AFTER, SAVE_EVERY, FileSource
from tests.ingest.sources.memory_log import Killed, MemoryLog, die_on, unavailable_once
from tocsin.clock import ManualClock
from tocsin.config import FileSource as FileSourceSettings
from tocsin.contracts import DeadLetter
from tocsin.errors import LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = 1_700_000_000_000


def settings(pattern: Path | str, **more: object) -> FileSourceSettings:
    return FileSourceSettings.model_validate({"path": str(pattern), **more})


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


Open = Callable[[FileSourceSettings], FileSource]


@pytest.fixture
def source_of(log: MemoryLog, clock: ManualClock) -> Iterator[Open]:
    """Makes sources, and closes their files as the end of a process would: nothing is saved."""
    made: list[FileSource] = []

    def make(chosen: FileSourceSettings) -> FileSource:
        made.append(FileSource(chosen, log, clock, interval=0))
        return made[-1]

    yield make
    for source in made:
        for tail in source._tails.values():
            tail.close()


def write(path: Path, text: bytes, mode: str = "ab") -> None:
    with path.open(mode) as handle:
        handle.write(text)


async def test_reads_from_the_start_and_follows(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    path = tmp_path / "auth.log"
    write(path, b"one\ntwo\n")
    source = source_of(settings(path))
    assert await source.poll() == 2
    assert await source.poll() == 0
    write(path, b"three\r\n\nfour\n")
    assert await source.poll() == 3
    assert log.lines() == [b"one", b"two", b"three\r", b"four"]
    assert (source.account.received, source.account.appended) == (5, 4)
    assert source.account.filtered == {"blank": 1}


async def test_record_says_where_it_comes_from(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    path = tmp_path / "nginx.log"
    write(path, b"one\n")
    berlin = settings(path, source="proxy", tenant="acme", timezone="Europe/Berlin")
    await source_of(berlin).poll()
    (record,) = log.topics["raw"]
    assert record.key == str(path).encode()
    assert record.timestamp == NOW
    headers = dict(record.headers)
    assert len(headers.pop("origin-id")) == 32
    assert headers == {
        "source": b"proxy",
        "tenant": b"acme",
        "received": str(NOW).encode(),
        "timezone": b"Europe/Berlin",
    }


async def test_source_defaults_to_the_path(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    write(tmp_path / "a.log", b"one\n")
    await source_of(settings(tmp_path / "*.log")).poll()
    assert log.topics["raw"][0].header("source") == str(tmp_path / "a.log").encode()
    assert log.topics["raw"][0].header("timezone") is None


async def test_goes_on_after_a_restart(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    path = tmp_path / "a.log"
    write(path, b"one\n")
    first = source_of(settings(path))
    await first.poll()
    await first.close()
    write(path, b"two\n")
    await source_of(settings(path)).poll()
    assert log.lines() == [b"one", b"two"]


@pytest.mark.parametrize("topic", ["raw", "source-positions"])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_anywhere_no_line_is_lost_and_ids_stay(
    tmp_path: Path,
    source_of: Open,
    log: MemoryLog,
    clock: ManualClock,
    topic: str,
    count: int,
    moment: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tail_module, "MAX_LINES", 2)
    path = tmp_path / "a.log"
    expected = [b"line %d" % number for number in range(7)]
    write(path, b"\n".join(expected) + b"\n")
    setattr(log, moment, die_on(topic, count))
    died = False
    try:
        dying = source_of(settings(path))
        await dying.poll()
        clock.advance(SAVE_EVERY)
        await dying.poll()
    except Killed:
        died = True
    assert died or (topic == "source-positions" and count == 3)
    log.before = log.after = lambda records: None
    reborn = source_of(settings(path))
    await reborn.poll()
    write(path, b"last\n")
    await reborn.poll()
    by_origin = dict(zip(log.origins(), log.lines(), strict=True))
    assert list(by_origin.values()) == [*expected, b"last"]


async def test_unavailable_log_loses_nothing(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    write(tmp_path / "a.log", b"one\ntwo\n")
    log.before = unavailable_once("raw")
    source = source_of(settings(tmp_path / "a.log"))
    with pytest.raises(LogUnavailable):
        await source.poll()
    assert await source.poll() == 2
    assert log.lines() == [b"one", b"two"]


async def test_rotation_by_rename_drains_the_old_file(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    path = tmp_path / "a.log"
    write(path, b"one\n")
    source = source_of(settings(path))
    await source.poll()
    write(path, b"two\n")
    path.rename(tmp_path / "a.log.1")
    write(path, b"three\n")
    await source.poll()
    write(tmp_path / "a.log.1", b"late\n")
    await source.poll()
    clock.advance(PARTIAL_AFTER)
    await source.poll()
    assert sorted(log.lines()) == [b"late", b"one", b"three", b"two"]
    assert len(set(log.origins())) == 4


async def test_rename_within_the_pattern_is_the_same_file(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    path = tmp_path / "a.log"
    write(path, b"one\n")
    source = source_of(settings(tmp_path / "a.log*"))
    await source.poll()
    path.rename(tmp_path / "a.log.1")
    write(path, b"two\n")
    write(tmp_path / "a.log.1", b"three\n")
    await source.poll()
    await source.close()
    await source_of(settings(tmp_path / "a.log*")).poll()
    assert sorted(log.lines()) == [b"one", b"three", b"two"]


async def test_compressed_after_rotation_is_not_read_again(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    path = tmp_path / "a.log"
    write(path, b"one\ntwo\n")
    source = source_of(settings(tmp_path / "a.log*"))
    await source.poll()
    packed = gzip.compress(path.read_bytes() + b"three\n")
    write(tmp_path / "a.log.1.gz", packed[:-9])
    await source.poll()
    write(path, b"three\n")
    write(tmp_path / "a.log.1.gz", packed[-9:])
    await source.poll()
    path.unlink()
    await source.poll()
    clock.advance(PARTIAL_AFTER)
    await source.poll()
    assert log.lines() == [b"one", b"two", b"three"]


async def test_copytruncate_goes_on_in_both(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    path = tmp_path / "a.log"
    write(path, b"2024-05-01 one\n2024-05-01 two\n")
    source = source_of(settings(tmp_path / "a.log*"))
    await source.poll()
    write(path, b"2024-05-01 unread\n")
    await source.close()
    shutil.copy(path, tmp_path / "a.log.1")
    write(path, b"2024-05-02 new\n", "wb")
    again = source_of(settings(tmp_path / "a.log*"))
    await again.poll()
    assert sorted(log.lines()) == [
        b"2024-05-01 one",
        b"2024-05-01 two",
        b"2024-05-01 unread",
        b"2024-05-02 new",
    ]


@pytest.mark.parametrize("rewritten", [b"new\n", b"new one\nnew two\nnew three and longer\n"])
async def test_truncation_begins_anew(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock, rewritten: bytes
) -> None:
    path = tmp_path / "a.log"
    write(path, b"old one\nold two\n")
    source = source_of(settings(path))
    await source.poll()
    inode = path.stat().st_ino
    write(path, rewritten, "wb")
    assert path.stat().st_ino == inode
    await source.poll()
    await source.poll()
    assert log.lines() == [b"old one", b"old two", *rewritten.splitlines()]
    assert len(set(log.origins())) == len(log.lines())


async def test_same_content_after_truncation_is_new(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    path = tmp_path / "a.log"
    write(path, b"begin\none\n")
    source = source_of(settings(path))
    await source.poll()
    write(path, b"begin\n", "wb")
    await source.poll()
    await source.poll()
    assert log.lines() == [b"begin", b"one", b"begin"]
    assert len(set(log.origins())) == 3


async def test_two_files_with_one_head_are_two(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    for name in ("a.log", "b.log"):
        write(tmp_path / name, b"begin\nsame\n")
    source = source_of(settings(tmp_path / "*.log"))
    await source.poll()
    await source.close()
    assert log.lines() == [b"begin", b"same"] * 2
    assert len(set(log.origins())) == 4
    await source_of(settings(tmp_path / "*.log")).poll()
    assert len(log.lines()) == 4


async def test_gzip_is_read(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    with gzip.open(tmp_path / "a.gz", "wb") as handle:
        handle.write(b"one\ntwo")
    source = source_of(settings(tmp_path / "*.gz", follow=False))
    assert await source.poll() == 2
    assert log.lines() == [b"one", b"two"]


async def test_broken_gzip_is_read_up_to_the_damage_and_reported(
    tmp_path: Path,
    source_of: Open,
    log: MemoryLog,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = gzip.compress(b"".join(b"line %d\n" % number for number in range(20_000)))
    write(tmp_path / "a.gz", whole[: len(whole) // 2])
    source = source_of(settings(tmp_path / "a.gz"))
    read = await source.poll()
    assert 0 < read < 20_000
    assert source.account.errors.total() == 1
    assert "broken gzip" in caplog.text
    write(tmp_path / "a.gz", whole[len(whole) // 2 :])
    await source.poll()
    assert log.lines() == [b"line %d" % number for number in range(20_000)]


async def test_gzip_without_content_is_reported(
    tmp_path: Path,
    source_of: Open,
    log: MemoryLog,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(tmp_path / "a.gz", gzip.compress(b"one\n")[:9])
    source = source_of(settings(tmp_path / "a.gz"))
    assert await source.poll() == await source.poll() == 0
    assert caplog.text.count("broken gzip") == 1


async def test_unterminated_line_waits_until_the_file_is_still(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    path = tmp_path / "a.log"
    write(path, b"one\nhal")
    source = source_of(settings(path))
    await source.poll()
    write(path, b"f")
    clock.advance(PARTIAL_AFTER - 1)
    await source.poll()
    assert log.lines() == [b"one"]
    clock.advance(PARTIAL_AFTER)
    await source.poll()
    assert log.lines() == [b"one", b"half"]


async def test_line_too_long_goes_to_dead_letters_in_parts(
    tmp_path: Path,
    source_of: Open,
    log: MemoryLog,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tail_module, "MAX_LINE", 100)
    monkeypatch.setattr(tail_module, "PART", 40)
    monkeypatch.setattr(tail_module, "CHUNK", 64)
    path = tmp_path / "a.log"
    long = bytes(range(97, 123)) * 10
    write(path, b"before\n" + long + b"\nafter\n")
    source = source_of(settings(path))
    await source.poll()
    assert log.lines() == [b"before", b"after"]
    letters = [DeadLetter.decode(record.value) for record in log.topics["dead-letters"]]
    assert b"".join(letter.original for letter in letters) == long
    assert {letter.code for letter in letters} == {"too_large"}
    assert len({letter.id for letter in letters}) == len(letters) == 7
    assert source.account.dead == {"too_large": 1}
    assert source.account.received == 3


async def test_killed_within_a_line_too_long(
    tmp_path: Path,
    source_of: Open,
    log: MemoryLog,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tail_module, "MAX_LINE", 100)
    monkeypatch.setattr(tail_module, "PART", 40)
    path = tmp_path / "a.log"
    long = bytes(range(97, 123)) * 10
    write(path, long + b"\nafter\n")
    log.before = die_on("dead-letters", 4)
    source = source_of(settings(path))
    with pytest.raises(Killed):
        await source.poll()
    log.before = lambda records: None
    await source.close()
    await source_of(settings(path)).poll()
    letters = {
        letter.id: letter.original
        for record in log.topics["dead-letters"]
        for letter in [DeadLetter.decode(record.value)]
    }
    assert b"".join(letters.values()) == long
    assert log.lines() == [b"after"]


async def test_more_files_than_may_be_open(
    tmp_path: Path,
    source_of: Open,
    log: MemoryLog,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingest.sources.file.MAX_OPEN", 3)
    for number in range(10):
        write(tmp_path / f"{number}.log", b"file %d\nhalf" % number)
    source = source_of(settings(tmp_path / "*.log"))
    before = len(os.listdir("/proc/self/fd"))
    await source.poll()
    assert len(os.listdir("/proc/self/fd")) <= before + 3
    for number in range(10):
        write(tmp_path / f"{number}.log", b" and half %d\n" % number)
    await source.poll()
    halves = [b"half and half %d" % number for number in range(10)]
    assert sorted(log.lines()) == sorted([b"file %d" % n for n in range(10)] + halves)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
async def test_unreadable_file_is_reported_once_and_others_are_read(
    tmp_path: Path,
    source_of: Open,
    log: MemoryLog,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(tmp_path / "a.log", b"secret\n")
    (tmp_path / "a.log").chmod(0)
    write(tmp_path / "b.log", b"open\n")
    source = source_of(settings(tmp_path / "*.log"))
    await source.poll()
    await source.poll()
    assert log.lines() == [b"open"]
    assert caplog.text.count("Permission denied") == 1


async def test_run_ends_when_everything_is_read_once(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    write(tmp_path / "a.log", b"one\ntwo")
    await source_of(settings(tmp_path / "a.log", follow=False)).run()
    assert log.lines() == [b"one", b"two"]


async def test_run_waits_for_the_log(
    tmp_path: Path,
    source_of: Open,
    log: MemoryLog,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingest.sources.file.RETRY", 0.0)
    write(tmp_path / "a.log", b"one\n")
    log.before = unavailable_once("source-positions")
    source = source_of(settings(tmp_path / "a.log", follow=False))
    await source.run()
    assert log.lines() == [b"one"]
    assert source.account.errors.total() == 1


async def test_stop_ends_run(
    tmp_path: Path, source_of: Open, log: MemoryLog, clock: ManualClock
) -> None:
    write(tmp_path / "a.log", b"one\n")
    source = source_of(settings(tmp_path / "a.log"))
    log.after = lambda records: source.stop()
    await source.run()
    await source_of(settings(tmp_path / "a.log", follow=False)).poll()
    assert set(log.lines()) == {b"one"}
