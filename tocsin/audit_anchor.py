"""A second place for the audit's roots: a file that is only ever appended to.

Lines are audit entries as they stand in the log. What is delivered twice stands there twice.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from tocsin.audit_roots import is_root
from tocsin.contracts import AuditEntry, Topics
from tocsin.errors import StoreUnavailable
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tocsin.log.base import Record


class FileAnchor:
    """A sink of the topic AUDIT that keeps its roots in a file."""

    name = "anchor-file"
    topic = Topics.AUDIT

    def __init__(self, path: Path) -> None:
        self._path = path

    async def write(self, records: Sequence[Record]) -> Batch:
        """Append the roots durably; raises StoreUnavailable while the file cannot be written."""
        batch, lines = Batch(), []
        for record in records:
            if (entry := root_of(record.value)) is None:
                batch.filtered["no_root"] += 1
            else:
                lines.append(entry.encode() + b"\n")
                batch.sent += 1
        if lines:
            await asyncio.to_thread(self._append, b"".join(lines))
        return batch

    def _append(self, data: bytes) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            descriptor = os.open(self._path, flags, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                if _is_cut_off(self._path):
                    file.write(b"\n")
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreUnavailable(
                f"roots of the audit cannot be appended to {self._path}: {error.strerror}"
            ) from None


def _is_cut_off(path: Path) -> bool:
    """Whether the last line lacks its end: somebody was killed while writing it."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def root_of(value: bytes) -> AuditEntry | None:
    """The root in a record or a line, None if it is none."""
    try:
        entry = AuditEntry.decode(value)
    except ValueError:
        return None
    return entry if is_root(entry) else None


def anchored(path: Path) -> tuple[list[AuditEntry], list[int]]:
    """The roots in a file, and the numbers of the lines that are none.

    One line may be cut off, by a crash while it was written: the same root follows it.
    """
    roots: list[AuditEntry] = []
    unreadable: dict[int, bytes] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if (entry := root_of(line)) is not None:
                roots.append(entry)
                if (cut := unreadable.get(number - 1)) and line.startswith(cut.rstrip()):
                    del unreadable[number - 1]
            elif line.strip():
                unreadable[number] = line
    return roots, sorted(unreadable)
