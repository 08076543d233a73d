"""The keys of subjects: durable, shared between processes, and gone when erased."""

from __future__ import annotations

import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tocsin.clock import ManualClock
from tocsin.errors import StoreUnavailable
from tocsin.subject_keys import SubjectKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "subjects.sqlite"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[[], SubjectKeys]]:
    made: list[SubjectKeys] = []

    def open_keys() -> SubjectKeys:
        made.append(SubjectKeys(path, ManualClock(5_000)))
        return made[-1]

    yield open_keys
    for keys in made:
        keys.close()


Opened = "Callable[[], SubjectKeys]"


def test_a_key_stays_a_subjects_key(opened: Callable[[], SubjectKeys]) -> None:
    first = opened()
    made = first.key("ada")
    assert len(made.secret) == 32
    assert first.key("ada") == made
    assert first.key("bob") != made
    first.flush()
    second = opened()
    assert second.key("ada") == made
    assert second.by_id(made.id) == made
    assert second.by_id("nobody") is None
    assert [each.subject for each in second.subjects()] == ["ada", "bob"]
    assert [each.subject for each in second.subjects("b")] == ["bob"]
    assert second.subjects("a%") == []
    assert second.subjects(limit=1)[0].made == 5_000


def test_what_was_not_flushed_was_never_there(opened: Callable[[], SubjectKeys]) -> None:
    """A crash between making a key and writing what it sealed."""
    first = opened()
    lost = first.key("ada")
    first.close()
    assert opened().key("ada") != lost


def test_the_file_is_this_users_alone(opened: Callable[[], SubjectKeys], path: Path) -> None:
    opened()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_erased_is_gone_from_every_byte_of_the_directory(
    opened: Callable[[], SubjectKeys], path: Path
) -> None:
    keys = opened()
    gone, kept = keys.key("ada"), keys.key("bob")
    keys.flush()

    def found(needle: bytes) -> bool:
        return any(needle in file.read_bytes() for file in path.parent.iterdir())

    assert found(gone.secret)
    assert keys.erase("ada")
    assert not keys.erase("ada")
    assert not found(gone.secret)
    assert not found(gone.id.encode())
    assert not found(b"ada")
    assert found(kept.secret)
    assert keys.key("ada").secret != gone.secret


def test_another_process_that_erases_is_noticed_with_the_next_batch(
    opened: Callable[[], SubjectKeys],
) -> None:
    """Or a running pipeline would go on sealing under a key that nobody can open."""
    running, command = opened(), opened()
    made = running.key("ada")
    running.flush()
    assert command.erase("ada")
    running.flush()
    assert running.key("ada") != made


SCRIPT = """
import sys
from pathlib import Path
from tocsin.clock import SystemClock
from tocsin.subject_keys import SubjectKeys
keys = SubjectKeys(Path(sys.argv[1]), SystemClock())
for number in range(200):
    print(number % 20, keys.key(f"user-{number % 20}").id)
    keys.flush()
"""


def test_two_processes_make_one_key(path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    told = [process.communicate(timeout=50)[0].decode().split("\n") for process in running]
    assert all(process.returncode == 0 for process in running)
    assert set(told[0]) == set(told[1])
    assert len(set(told[0])) == 21  # and the end of the last line


def test_a_file_that_cannot_be_used_holds_back(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all, and longer than a header of one hundred bytes" * 4)
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        SubjectKeys(path, ManualClock())


def test_a_lock_that_is_held_too_long_is_said(
    opened: Callable[[], SubjectKeys], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.subject_keys._PATIENCE", 0.05)
    first, second = opened(), opened()
    first.key("ada")
    with pytest.raises(StoreUnavailable, match="locked"):
        second.key("bob")
    first.flush()
    second.key("bob")
    second.flush()
