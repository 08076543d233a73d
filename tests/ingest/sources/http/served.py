"""An `http` source that serves, and a client for it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import httpx

from ingest.sources.http.source import HttpSource
from tests.ingest.sources.collected import running
from tocsin.source_config import HttpSource as HttpSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tocsin.clock import Clock
    from tocsin.log.base import Log

NONCE = "00112233aabbccdd"


def http_source(log: Log, clock: Clock, **settings: Any) -> HttpSource:
    chosen = HttpSettings.model_validate({"type": "http", "port": 0, **settings})
    return HttpSource(chosen, log, clock, nonce=NONCE)


@contextlib.asynccontextmanager
async def client(source: HttpSource, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the source, which serves meanwhile."""
    async with running(source) as (host, port):
        scheme = "https" if source._http.tls else "http"
        url = f"{scheme}://{host}:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, **options) as made:
            yield made
