"""Fixtures of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How fast a machine makes inputs says nothing about what is tested; a time-out bounds each test.
settings.register_profile("tocsin", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tocsin")

#: Where third-party data for tests/corpus lies unless TOCSIN_SHARED says otherwise.
SHARED = Path(__file__).resolve().parents[2] / "shared"

#: The files that take longest: one that begins last is waited for by idle processes.
LONGEST = ("test_crash_matrix_kafka_live.py", "test_bad_days_live.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files of LONGEST first, all others in their order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Commands keep compiled rules for the suite, not for the person who runs it."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of third-party data; the test is skipped on a machine without it."""
    path = Path(os.environ.get("TOCSIN_SHARED", SHARED))
    if not path.is_dir():
        pytest.skip(f"no third-party data at {path}; set TOCSIN_SHARED to where it is")
    return path
