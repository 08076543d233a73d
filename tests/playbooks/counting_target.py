"""A product over real HTTP that counts effects by key and misbehaves when told to.

A real listening socket: it answers, hangs, answers 429 or 500, or acts and drops the connection.
A request may also be late: it waits until `release`, and succeeds then. Requests are counted, and
by idempotency key distinct effects.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class CountingTarget:
    """`plan` says how to behave, request by request; then it answers.

    `plans` says the same for one path, and comes before `plan`.
    """

    def __init__(self) -> None:
        self.plan: list[str] = []
        self.plans: dict[str, list[str]] = {}
        self.requests: Counter[str] = Counter()
        self.keys: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.held: Counter[str] = Counter()
        self.signatures: list[str] = []
        self.bodies: list[bytes] = []
        self.url = ""
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let go of the requests that hang; those that are only late are carried out now."""
        self._released.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        line, *rest = head.split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)
        }
        self.bodies.append(await reader.readexactly(int(headers["content-length"])))
        body = orjson.loads(self.bodies[-1])
        path = line.split()[1]
        self.requests[path] += 1
        self.signatures.append(headers.get("x-tocsin-signature", ""))
        plan = self.plans.get(path) or self.plan
        how = plan.pop(0) if plan else "ok"
        if how == "late":
            await self._released.wait()
        if how in ("ok", "late", "act_and_drop", "act_and_hang"):
            self.act(path, headers["idempotency-key"], body)
        match how:
            case "act_and_drop":
                return
            case "hang" | "act_and_hang":
                await self._released.wait()
            case "429":
                writer.write(
                    b"HTTP/1.1 429 Slow Down\r\nRetry-After: 2\r\nContent-Length: 0\r\n"
                    b"Connection: close\r\n\r\n"
                )
            case "500":
                writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            case _:
                answer = orjson.dumps(self.said(path, body))
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer)
                )
        await writer.drain()

    def act(self, path: str, key: str, body: Mapping[str, str]) -> None:
        """A keyed product: a key seen before changes nothing."""
        change = {"/apply": 1, "/undo": -1}.get(path, 0)
        if change and not self.keys[path][key]:
            self.held[body["entity"]] += change
        self.keys[path][key] += 1

    def said(self, path: str, body: Mapping[str, str]) -> dict[str, Any]:
        """What a request that went well is answered."""
        return {"ok": True}


@asynccontextmanager
async def serving(target: CountingTarget) -> AsyncIterator[None]:
    """Listening on a free port of loopback until the end."""
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    target.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield
    finally:
        target.release()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def counting_target() -> AsyncIterator[CountingTarget]:
    """A target, listening."""
    target = CountingTarget()
    async with serving(target):
        yield target
