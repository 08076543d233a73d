"""The `http` source: one port that speaks HEC, `_bulk`, OTLP/HTTP logs, and plain lines."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from ingest.sources.http import probes
from ingest.sources.http.access import Access
from ingest.sources.http.body import Bodies
from ingest.sources.http.bulk import Bulk
from ingest.sources.http.endpoint import Endpoints
from ingest.sources.http.hec import Hec
from ingest.sources.http.intake import Intake
from ingest.sources.http.lines import Lines
from ingest.sources.http.otlp import Otlp
from ingest.sources.listening import BACKLOG, Listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.routing import Route

    from ingest.sources.account import SourceAccount
    from tocsin.clock import Clock
    from tocsin.log.base import Log
    from tocsin.source_config import HttpSource as HttpSettings

#: Uvicorn would warn of each request that is none: whoever reaches the port could fill the disk.
_PROTOCOL_LOGGER = logging.getLogger(f"{__name__}.protocol")
_PROTOCOL_LOGGER.setLevel(logging.ERROR)

#: How long requests under way may take after a stop, seconds.
GRACE = 10

#: All request bodies together may hold so many times `max_waiting`: those that wait for the log,
#: and as many that are being received.
BODIES = 2


class HttpSource(Listening):
    """One `http` entry."""

    def __init__(self, settings: HttpSettings, log: Log, clock: Clock, *, nonce: str) -> None:
        """Raises ConfigError for secrets and certificates that cannot be used."""
        kind = "https" if settings.tls else "http"
        super().__init__(settings, log, clock, nonce=nonce, kind=kind, source="http")
        self._http = settings
        self._intake = Intake(
            labels=self._labels,
            ids=self._ids,
            appender=self._appender,
            access=Access(settings),
            bodies=Bodies(
                max_body=settings.max_body,
                max_together=BODIES * settings.max_waiting,
                idle=settings.idle / 1_000,
            ),
            account=self.account,
            clock=clock,
        )

    @property
    def _socket_type(self) -> socket.SocketKind:
        return socket.SOCK_STREAM

    def app(self) -> Starlette:
        """The application, without a server."""
        return Starlette(routes=self._routes())

    def _routes(self) -> list[Route]:
        intake = self._intake
        endpoints = Endpoints(intake)
        return [
            *Hec(intake).routes(endpoints),
            *Otlp(intake).routes(endpoints),
            *Lines(intake, self._http).routes(endpoints),
            *Bulk(intake).routes(endpoints),
            *probes.routes(endpoints, self._http.elasticsearch_version),
        ]

    async def _serve(self, listener: socket.socket) -> None:
        settings = self._http
        config = uvicorn.Config(
            self.app(),
            http=bounded_protocol(self.account, settings.max_connections, settings.idle / 1_000),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=max(1, settings.idle // 1_000),
            timeout_graceful_shutdown=GRACE,
        )
        config.load()
        config.ssl = self._context
        server = _Server(config, self.listening.set)
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[listener]), name=f"{self.name} serving")
            await self._stopping.wait()
            server.should_exit = True
        for connection in list(server.server_state.connections):
            connection.transport.abort()


class _Server(uvicorn.Server):
    """Tells when it serves, and leaves signals to the process."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's call."""
        await super().startup(sockets)
        self._tell()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn's call; the pipeline has its own handlers."""
        yield


def bounded_protocol(
    account: SourceAccount, max_connections: int, patience: float
) -> type[H11Protocol]:
    """Uvicorn's protocol with what it lacks: a limit of connections that holds before a request
    is made, and a time (`patience`, seconds) within which a request's head must have come."""

    class Bounded(H11Protocol):
        _head: asyncio.TimerHandle | None = None
        _counted = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self.logger = _PROTOCOL_LOGGER
            super().connection_made(transport)
            if account.connections >= max_connections:
                account.refused["connections"] += 1
                transport.abort()
                return
            account.connections += 1
            self._counted = True
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._counted:
                account.connections -= 1
                self._counted = False
            if self._head is not None:
                self._head.cancel()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._await_head()

        def send_400_response(self, msg: str) -> None:
            account.refused["malformed"] += 1
            super().send_400_response(msg)

        def shutdown(self) -> None:
            # A close over TLS waits for the peer's word, and one that is silent gives none.
            cycle: Any = self.cycle
            under_way = cycle is not None and not cycle.response_complete
            if under_way or self.transport.get_write_buffer_size():
                super().shutdown()
            else:
                self.transport.abort()

        def _await_head(self) -> None:
            if self._head is not None:
                self._head.cancel()
            # Behind uvicorn's own time-out, which ends a connection that says nothing more.
            cycle: Any = self.cycle  # None before the first request, whatever uvicorn declares
            delay = patience if cycle is None else patience + 1
            self._head = self.loop.call_later(delay, self._no_head, cycle)

        def _no_head(self, cycle: Any) -> None:
            done: bool = cycle is None or cycle.response_complete
            if self.cycle is cycle and done:
                account.refused["timeout"] += 1
                self.transport.abort()

    return Bounded
