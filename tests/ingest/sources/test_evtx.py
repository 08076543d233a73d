"""EVTX files through the file source: every event once, whatever becomes of the file."""

from __future__ import annotations

import random
import shutil
import sys
from typing import TYPE_CHECKING

import orjson
import pytest

from ingest.sources.evtx import events_of
from ingest.sources.file import FileSource
from tests.ingest.sources.evtx_file import CHUNK, HEADER, event, evtx
from tests.ingest.sources.memory_log import MemoryLog, unavailable_once
from tocsin.contracts import DeadLetter
from tocsin.errors import LogUnavailable
from tocsin.source_config import FileSource as FileSourceSettings

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.clock import ManualClock

pytest.importorskip("evtx", reason="needs the evtx extra")


def written(path: Path, *numbers: int) -> Path:
    path.write_bytes(evtx({n: event(n, TargetUserName=f"user{n}") for n in numbers}))
    return path


def source_of(path: Path, log: MemoryLog, clock: ManualClock) -> FileSource:
    return FileSource(FileSourceSettings(path=str(path)), log, clock, interval=0)


def users(log: MemoryLog) -> list[str]:
    """The user of each event, each event once, in the order in which they came."""
    by_origin = {o: orjson.loads(v) for o, v in zip(log.origins(), log.lines(), strict=True)}
    return [each["Event"]["EventData"]["TargetUserName"] for each in by_origin.values()]


@pytest.fixture
def memory() -> MemoryLog:
    return MemoryLog()


async def test_each_event_is_a_record_in_the_shape_of_evtx_dump(
    tmp_path: Path, memory: MemoryLog, clock: ManualClock
) -> None:
    path = written(tmp_path / "Security.evtx", 1, 2)
    source = source_of(path, memory, clock)
    assert await source.poll() == 2
    assert await source.poll() == 0
    first, _ = (orjson.loads(line) for line in memory.lines())
    assert first["Event"]["System"]["Channel"] == "Security"
    assert first["Event"]["System"]["EventRecordID"] == "1"
    assert first["Event"]["EventData"] == {"TargetUserName": "user1"}
    assert memory.topics["raw"][0].key == str(path).encode()
    assert (source.account.received, source.account.appended) == (2, 2)
    await source.close()


async def test_it_goes_on_after_a_restart_and_where_the_file_has_grown(
    tmp_path: Path, memory: MemoryLog, clock: ManualClock
) -> None:
    path = written(tmp_path / "a.evtx", 1, 2)
    source = source_of(path, memory, clock)
    await source.poll()
    written(path, 1, 2, 3)
    assert await source.poll() == 1
    await source.close()
    again = source_of(path, memory, clock)
    assert await again.poll() == 0
    await again.close()
    assert len(memory.lines()) == 3


async def test_copies_exports_and_a_lost_position_make_no_second_event(
    tmp_path: Path, memory: MemoryLog, clock: ManualClock
) -> None:
    path = written(tmp_path / "a.evtx", 1, 2, 3)
    shutil.copy(path, tmp_path / "b.evtx")
    written(tmp_path / "export.evtx", 2, 3, 4)
    source = source_of(tmp_path / "*.evtx", memory, clock)
    await source.poll()
    assert len(memory.lines()) == 9
    assert sorted(users(memory)) == ["user1", "user2", "user3", "user4"]
    await source.close()


async def test_two_files_that_begin_alike_are_two(
    tmp_path: Path, memory: MemoryLog, clock: ManualClock
) -> None:
    first, second = tmp_path / "a.evtx", tmp_path / "b.evtx"
    first.write_bytes(evtx({7: event(7, TargetUserName="one")}))
    source = source_of(tmp_path / "*.evtx", memory, clock)
    await source.poll()
    first.unlink()
    await source.poll()
    second.write_bytes(evtx({7: event(7, TargetUserName="two")}))
    await source.poll()
    assert users(memory) == ["one", "two"]
    await source.close()


async def test_while_the_log_is_away_nothing_is_lost(
    tmp_path: Path, memory: MemoryLog, clock: ManualClock
) -> None:
    memory.before = unavailable_once("raw")
    source = source_of(written(tmp_path / "a.evtx", 1, 2), memory, clock)
    with pytest.raises(LogUnavailable):
        await source.poll()
    assert await source.poll() == 2
    assert users(memory) == ["user1", "user2"]
    await source.close()


async def test_a_broken_event_is_a_dead_letter_and_the_others_are_read(
    tmp_path: Path, memory: MemoryLog, clock: ManualClock
) -> None:
    path = written(tmp_path / "a.evtx", 1, 2, 3)
    whole = path.read_bytes()
    second = whole.index(b"**\0\0", HEADER + 600)
    path.write_bytes(whole[: second + 30] + b"\xff" * 40 + whole[second + 70 :])
    source = source_of(path, memory, clock)
    await source.poll()
    assert users(memory) == ["user1", "user3"]
    (record,) = memory.topics["dead-letters"]
    letter = DeadLetter.decode(record.value)
    assert letter.code == "unreadable"
    assert "record number 2" in letter.reason
    assert source.account.dead == {"unreadable": 1}
    path.write_bytes(whole)  # it had not been copied to its end
    await source.poll()
    assert sorted(users(memory)) == ["user1", "user2", "user3"]
    await source.close()


async def test_a_file_that_is_being_copied_is_read_to_its_end(
    tmp_path: Path, memory: MemoryLog, clock: ManualClock
) -> None:
    whole = written(tmp_path / "whole", 1, 2, 3).read_bytes()
    path = tmp_path / "a.evtx"
    source = source_of(path, memory, clock)
    for size in (64, HEADER, HEADER + 1_000, HEADER + CHUNK):
        path.write_bytes(whole[:size])
        await source.poll()
    assert sorted(users(memory)) == ["user1", "user2", "user3"]
    await source.close()


async def test_without_the_package_it_says_what_to_install(
    tmp_path: Path,
    memory: MemoryLog,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "evtx", None)
    (tmp_path / "plain.log").write_bytes(b"one\n")
    written(tmp_path / "a.evtx", 1)
    source = source_of(tmp_path / "*", memory, clock)
    for _ in range(3):
        await source.poll()
    assert memory.lines() == [b"one"]
    assert caplog.text.count("pip install 'tocsin[evtx]'") == 1
    await source.close()


def test_whatever_a_file_holds_reading_it_ends(tmp_path: Path) -> None:
    """The parser is another's: no panic, no endless loop, on damaged bytes."""
    chance = random.Random(7)  # noqa: S311  (test data)
    path = written(tmp_path / "a.evtx", 1, 2, 3)
    whole = path.read_bytes()
    used = len(whole.rstrip(b"\0"))
    outcomes: set[type] = set()
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 9)):
            damaged[chance.randrange(8, used)] = chance.randrange(256)
        end = chance.choice([len(damaged), chance.randrange(64, len(damaged))])
        path.write_bytes(damaged[:end])
        try:
            outcomes.update(type(each) for each in events_of(path))
        except OSError:
            outcomes.add(OSError)
    assert outcomes == {bytes, str, OSError}
