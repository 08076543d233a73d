"""An embedded log on a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tocsin.clock import ManualClock
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

#: 2026-01-01T00:00:00Z.
NOW = 1_767_225_600_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of `log`."""
    return tmp_path / "data" / "log.db"


@pytest_asyncio.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    """A started log without topics."""
    log = SqliteLog(path, clock=ManualClock(NOW))
    await log.start()
    yield log
    await log.close()
