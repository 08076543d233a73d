"""Programs that connectors run: without a shell, bounded, and never left behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Largest output that is read, bytes.
MAX_OUTPUT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it wrote."""

    status: int
    out: bytes
    err: str


async def run(argv: Sequence[str], data: bytes, *, advice: str) -> Ended:
    """Run a program to its end with `data` as its input.

    Raises ConnectorError if it cannot be started (`advice` says what to do) or writes more than
    MAX_OUTPUT. A time-out or a shutdown kills it: nothing may stay behind and act later.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=pipe, stdout=pipe, stderr=pipe, limit=MAX_OUTPUT
        )
    except OSError as error:
        message = f"{argv[0]} cannot be started ({error.strerror}): {advice}"
        raise ConnectorError("unavailable", message) from None
    try:
        out, err, _ = await asyncio.gather(
            _bounded(process.stdout, argv[0]),
            _bounded(process.stderr, argv[0]),
            _feed(process.stdin, data),
        )
        status = await process.wait()
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    return Ended(status, out, err.decode("utf-8", "replace"))


async def _feed(stdin: asyncio.StreamWriter | None, data: bytes) -> None:
    assert stdin is not None  # noqa: S101  (a pipe was asked for)
    try:
        stdin.write(data)
        await stdin.drain()
        stdin.close()
        await stdin.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        return  # it ended without reading: its status says why


async def _bounded(stream: asyncio.StreamReader | None, program: str) -> bytes:
    assert stream is not None  # noqa: S101  (a pipe was asked for)
    data = bytearray()
    while chunk := await stream.read(64 * 1024):
        data += chunk
        if len(data) > MAX_OUTPUT:
            message = f"{program} wrote more than {MAX_OUTPUT} bytes"
            raise ConnectorError("oversized", message, after_send=True)
    return bytes(data)
