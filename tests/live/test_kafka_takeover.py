"""A worker on Kafka transactions is lost: another takes over within 15 s, exactly."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.live.takeover import LIMIT, takeover

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


async def test_kill_9_of_a_worker(tmp_path: Path) -> None:
    seconds = await takeover("kafka", tmp_path, how=signal.SIGKILL)
    assert seconds < LIMIT


async def test_a_frozen_worker_that_wakes_up_is_fenced(tmp_path: Path) -> None:
    seconds = await takeover("kafka", tmp_path, how=signal.SIGSTOP)
    assert seconds < LIMIT
