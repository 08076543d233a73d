"""Reading request bodies: decompressed as they come, bounded one by one and all together."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ingest.sources.http.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.requests import Request

#: Most that one step of decompression yields, bytes: a bomb costs a step, not the memory it names.
STEP = 256 * 1024

#: zlib's window bits: gzip, zlib (RFC 1950), and raw deflate, which some mean by `deflate`.
_GZIP, _ZLIB, _RAW = 31, 15, -15
_ZLIB_MAGIC = 0x8


class Bodies:
    """The bodies being read or worked on by one source.

    `max_body` bounds one of them, `max_together` all, in bytes after decompression; `idle` is the
    longest pause of a sender, seconds.
    """

    def __init__(self, *, max_body: int, max_together: int, idle: float) -> None:
        self.held = 0
        self._max_body = max_body
        self._max_together = max_together
        self._idle = idle

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The body, which counts as held until the block is left.

        Raises Refusal: too large, broken or unknown compression, too slow, too much held.
        """
        self._check_length(request)
        parts: list[bytes] = []
        size = 0
        try:
            async for part in self._parts(request):
                size += len(part)
                self.held += len(part)
                if size > self._max_body:
                    raise _too_large(self._max_body)
                if self.held > self._max_together and self.held > size:
                    raise Refusal("busy", "too much is being received at once")
                parts.append(part)
            yield b"".join(parts)
        finally:
            self.held -= size

    def _check_length(self, request: Request) -> None:
        length = request.headers.get("content-length", "")
        if length.isdecimal() and len(length) < 20 and int(length) > self._max_body:
            raise _too_large(self._max_body)

    async def _parts(self, request: Request) -> AsyncIterator[bytes]:
        decoder = decoder_for(request.headers.get("content-encoding", ""))
        stream = aiter(request.stream())
        while True:
            try:
                async with asyncio.timeout(self._idle):
                    chunk = await anext(stream)
            except TimeoutError:
                raise Refusal("timeout", f"nothing came for {self._idle:g} s") from None
            except StopAsyncIteration:
                break
            for part in decoder.feed(chunk):
                yield part
                await asyncio.sleep(0)
        decoder.end()


def _too_large(limit: int) -> Refusal:
    return Refusal("too_large", f"a body may have {limit} bytes; send smaller batches")


class Plain:
    """No compression."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bytes themselves."""
        if data:
            yield data

    def end(self) -> None:
        """There is nothing that could be missing."""


class Compressed:
    """gzip (of one or several members) or deflate, in steps."""

    def __init__(self, window: int | None) -> None:
        """`window`: zlib's window bits, None to see by the first byte."""
        self._window = window
        self._inflate: zlib._Decompress | None = None
        self._more = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the compressed bytes hold, at most STEP at a time; raises Refusal."""
        while data or self._more:
            inflate = self._inflate = self._inflate or self._open(data)
            try:
                part = inflate.decompress(data, STEP)
            except zlib.error as error:
                raise Refusal("malformed", f"the compressed body is broken: {error}") from None
            self._more = len(part) == STEP and not inflate.eof
            data = inflate.unconsumed_tail
            if inflate.eof:
                self._inflate = None
                data = inflate.unused_data.lstrip(b"\0")
            if part:
                yield part

    def _open(self, data: bytes) -> zlib._Decompress:
        if self._window is None:
            # RFC 9110 means zlib by `deflate`; a stream without its header is raw.
            self._window = _ZLIB if data[0] & 0x0F == _ZLIB_MAGIC else _RAW
        return zlib.decompressobj(self._window)

    def end(self) -> None:
        """Raises Refusal for a stream that is cut off."""
        if self._inflate is not None:
            raise Refusal("malformed", "the compressed body is cut off")


def decoder_for(encoding: str) -> Plain | Compressed:
    """The decoder of a Content-Encoding; raises Refusal for an unknown one."""
    match encoding.strip().lower():
        case "" | "identity":
            return Plain()
        case "gzip" | "x-gzip":
            return Compressed(_GZIP)
        case "deflate":
            return Compressed(None)
    raise Refusal("unsupported", "Content-Encoding may be gzip or deflate")
