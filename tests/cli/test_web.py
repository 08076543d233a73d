"""Serving the status page: answers on a connection that is kept do not wait for the other side."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tocsin.cli.web import unbound


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", "AF_INET"), ("::1", "AF_INET6")])
async def test_connections_do_not_gather_what_they_send(host: str, family: str) -> None:
    delayed = asyncio.get_running_loop().create_future()

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken = writer.get_extra_info("socket")
        delayed.set_result(not taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with unbound(host) as listener:
        assert listener.family == getattr(socket, family)
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no {host}")
        async with await asyncio.start_server(connected, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            assert not await delayed
            writer.close()
