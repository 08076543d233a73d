"""A console over documents in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tocsin.clock import ManualClock
from tocsin.console.app import Console, allowed_hosts
from tocsin.metrics import Metrics

if TYPE_CHECKING:
    from tocsin.console.control import Control

NOW = 1_767_225_600_000


class Shelves:
    """Documents by kind; `away` is raised by every read."""

    def __init__(self) -> None:
        self.kinds: dict[str, list[dict[str, Any]]] = {}
        self.away: Exception | None = None

    async def list(self, kind: str, *, limit: int) -> list[dict[str, Any]]:
        if self.away is not None:
            raise self.away
        return self.kinds.get(kind, [])[:limit]

    async def count(self, kind: str) -> int:
        if self.away is not None:
            raise self.away
        return len(self.kinds.get(kind, []))


class Site:
    """A console and everything it looks at."""

    def __init__(self) -> None:
        self.documents = Shelves()
        self.metrics = Metrics()
        self.down: list[str] = []
        self.mode = "dry_run"

    async def get(
        self, path: str, *, control: Control | None = None, **headers: str
    ) -> httpx.Response:
        return await self.ask("GET", path, control=control, headers=headers)

    async def ask(
        self, method: str, path: str, *, control: Control | None = None, **options: Any
    ) -> httpx.Response:
        clock = ManualClock(NOW)
        console = Console(self.documents, self.metrics, self.mode, lambda: self.down, clock)
        return await request(
            console.app(allowed_hosts("127.0.0.1"), control), method, path, **options
        )


async def request(app: Any, method: str, path: str, **options: Any) -> httpx.Response:
    """One request over ASGI; the client is this machine unless `client` says otherwise."""
    transport = httpx.ASGITransport(app, client=options.pop("client", ("127.0.0.1", 40_000)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8790") as client:
        return await client.request(method, path, **options)


@pytest.fixture
def site() -> Site:
    return Site()
