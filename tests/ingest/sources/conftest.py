"""Fixtures of the sources' tests: an embedded log, certificates, a running source."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.ingest.sources.certificates import make_certificates
from tests.ingest.sources.collected import TOPICS
from tocsin.clock import ManualClock
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.ingest.sources.certificates import Certificates

NOW = 1_700_000_000_000


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def log(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteLog]:
    opened = SqliteLog(tmp_path / "log.sqlite", clock=clock)
    await opened.start()
    await opened.create(TOPICS)
    with contextlib.suppress(asyncio.CancelledError):
        yield opened
    await opened.close()
