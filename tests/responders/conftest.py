"""A server for the products that do not run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.responders.vendors.identity import CANARY
from tests.responders.vendors.server import Vendor, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def mount() -> Iterator[Callable[[Vendor], str]]:
    with serving() as mounting:
        yield mounting


@pytest.fixture(autouse=True)
def _canary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", CANARY)
