"""Serving the status page inside the process that runs the stages."""

from __future__ import annotations

import logging
import socket
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from starlette.applications import Starlette

    from tocsin.config import ConsoleSettings

logger = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Leaves signals to the process: the pipeline stops first, then the page."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    settings: ConsoleSettings,
    app: Starlette,
    announce: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Serve until cancelled; a port in use is reported and the pipeline goes on without a page.

    `announce` is entered with the page's address while it is served.
    """
    listener = unbound(settings.host)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        logger.warning(
            "the status page cannot listen on %s:%d: %s; set console.port to another port, or 0",
            settings.host,
            settings.port,
            error.strerror,
        )
        return
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", proxy_headers=False
    )
    with listener, announce(_url(listener)):
        server = _Server(config)
        try:
            await server.serve(sockets=[listener])
        finally:
            server.should_exit = True


def unbound(host: str) -> socket.socket:
    """A socket to listen on an address of this kind.

    asyncio sets TCP_NODELAY only where the protocol is named; without it each answer on a
    connection that is kept takes 40 ms.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def _url(listener: socket.socket) -> str:
    """Where this machine reaches a listener, also one on all addresses."""
    host, port = listener.getsockname()[:2]
    if ":" in host:
        return f"http://[{'::1' if host == '::' else host}]:{port}"
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104  (compared)
