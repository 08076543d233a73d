"""The embedded log in the contract suite."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.contracts.log.harness import Backend
from tocsin.clock import SystemClock
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from tocsin.log.base import Log

#: PRAGMA max_page_count at its largest: no limit.
UNLIMITED = 0xFFFFFFFE


class SqliteHarness:
    """One file in a directory."""

    partitions = 4
    patience = 30.0
    exclusive = True

    def __init__(self, directory: Path) -> None:
        self._path = directory / "log.db"

    async def open(self) -> SqliteLog:
        return await open_log({"path": str(self._path)})

    def spec(self) -> dict[str, Any]:
        return {"opener": f"{__name__}:open_log", "path": str(self._path)}

    def away(self, log: Log) -> AbstractAsyncContextManager[None]:
        assert isinstance(log, SqliteLog)
        return full_disk(log)


@asynccontextmanager
async def full_disk(log: SqliteLog) -> AsyncIterator[None]:
    """Inside, the file may not grow: SQLite answers as it does when the disk is full."""
    await _limit(log, 1)  # never less than there are
    try:
        yield
    finally:
        await _limit(log, UNLIMITED)


async def _limit(log: SqliteLog, pages: int) -> None:
    connection = log._opened().connection
    await log._run(lambda: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())


async def open_log(spec: dict[str, Any]) -> SqliteLog:
    """The log of a harness's spec, started."""
    log = SqliteLog(Path(spec["path"]), clock=SystemClock())
    await log.start()
    return log


@asynccontextmanager
async def _harness(directory: Path) -> AsyncIterator[SqliteHarness]:
    yield SqliteHarness(directory)


BACKENDS = (Backend("sqlite", _harness),)
