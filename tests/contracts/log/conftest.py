"""Which backends the contract suite runs on, and what every case of it starts from."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.contracts.log.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.contracts.log.harness import Backend

#: Modules that export BACKENDS; one that is not there yet is left out.
MODULES = ("tests.contracts.log.sqlite_harness", "tests.contracts.log.kafka_harness")


def _backends() -> list[Backend]:
    found = [name for name in MODULES if find_spec(name) is not None]
    return [backend for name in found for backend in import_module(name).BACKENDS]


@pytest.fixture(params=[pytest.param(b, id=b.name, marks=b.marks) for b in _backends()])
def backend(request: pytest.FixtureRequest) -> Backend:
    """The backend under test; skips a case that it cannot run, with the reason."""
    chosen: Backend = request.param
    name = request.node.originalname
    if reason := chosen.unsupported.get(name):
        pytest.skip(f"{chosen.name}: {reason}")
    return chosen


@pytest_asyncio.fixture
async def bench(backend: Backend, tmp_path: Path) -> AsyncIterator[Workbench]:
    """A workbench: the backend, logs that are closed at the end, topics of this test alone."""
    async with backend.harness(tmp_path) as harness:
        bench = Workbench(harness)
        try:
            yield bench
        finally:
            await bench.close()
