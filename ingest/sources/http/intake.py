"""What every protocol of the `http` source does with the lines of a request.

A request is answered with success only after the log has acknowledged its records. One that was
told so and was sent again all the same makes no second event if its lines bring identities.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

from ingest.sources.http.refusal import Refusal
from ingest.sources.records import BLANK, canonical_peer, dead, raw
from tocsin.errors import LogError
from tocsin.ids import digest
from tocsin.log.base import MAX_RECORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from starlette.requests import Request

    from ingest.sources.account import SourceAccount
    from ingest.sources.appender import Appender
    from ingest.sources.http.access import Access
    from ingest.sources.http.body import Bodies
    from ingest.sources.records import Labels, OriginIds
    from tocsin.clock import Clock
    from tocsin.log.base import Outgoing

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

#: A body larger than this is taken apart on a thread, so that the event loop has its turns, bytes.
LARGE = 512 * 1024


class Line(NamedTuple):
    """A line of a request, the identity it brings (32 hexadecimal digits), and its host.

    Lines of one host stay in order; without a host those of one sender do.
    """

    data: bytes
    origin_id: bytes | None = None
    host: bytes | None = None


class Intake:
    """The way of lines into the log."""

    def __init__(
        self,
        *,
        labels: Labels,
        ids: OriginIds,
        appender: Appender,
        access: Access,
        bodies: Bodies,
        account: SourceAccount,
        clock: Clock,
    ) -> None:
        self.account = account
        self._labels = labels
        self._ids = ids
        self._appender = appender
        self._access = access
        self._bodies = bodies
        self._clock = clock

    @property
    def full(self) -> bool:
        """Whether nothing more is taken just now."""
        return self._appender.room == 0

    def admit(self, request: Request) -> None:
        """Raises Refusal unless the request brings what is asked for."""
        if not self._access.admits(request.headers):
            raise Refusal("unauthorized", "a valid token or password is needed")

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The request's body; raises Refusal, first of all while nothing can be taken."""
        if self.full:
            raise Refusal("busy", "too much is waiting for the log")
        async with self._bodies.read(request) as body:
            yield body

    def identity(self, *parts: str | int) -> bytes:
        """The identity of a line that its sender's own id gives it: the same at each sending."""
        return digest("sent", self._labels.tenant, self._labels.source, *parts).encode()

    def fitting(self, lines: Sequence[Line]) -> int:
        """How many of these lines, from the first on, there is room for just now."""
        room = self._appender.room
        for number, line in enumerate(lines):
            room -= len(line.data)
            if room < 0 and not (number == 0 and self._appender.has_room(len(line.data))):
                return number
        return len(lines)

    async def take(self, lines: Sequence[Line], request: Request) -> list[str]:
        """Append; the identities of the lines once they are durable, "" of a blank one.

        Raises Refusal: busy (there is no room) or unavailable (the log is away); the sender
        shall come again.
        """
        size = sum(len(line.data) for line in lines)
        if not self._appender.has_room(size):
            raise Refusal("busy", "too much is waiting for the log")
        peer = canonical_peer(request.client.host) if request.client else ""
        records, identities, large = await off_loop(size, self._records, lines, peer)
        if records:
            try:
                await self._appender.append(records, size)
            except LogError as error:
                self.account.errors[error.code] += 1
                self.account.down = str(error)
                logger.warning("%s; the sender shall come again", error)
                raise Refusal("unavailable", "the log is not available") from None
            self.account.down = ""
        self._count(identities, large, size)
        return identities

    def leave_out(self, reasons: Sequence[str]) -> None:
        """Count lines that are no messages, by why."""
        self.account.received += len(reasons)
        self.account.filtered.update(reasons)

    def _count(self, identities: Sequence[str], large: int, size: int) -> None:
        account, blank = self.account, identities.count("")
        account.received += len(identities)
        account.bytes += size
        account.filtered["blank"] += blank
        account.dead["too_long"] += large
        account.appended += len(identities) - blank - large

    def _records(self, lines: Sequence[Line], peer: str) -> tuple[list[Outgoing], list[str], int]:
        """The records, the lines' identities, and how many were too large for a raw record."""
        now, sender = self._clock.now(), peer.encode()
        headers = self._labels.headers(now, peer)
        records: list[Outgoing] = []
        identities: list[str] = []
        large = 0
        for data, given, host in lines:
            if not data.strip(BLANK):
                identities.append("")
                continue
            identity = given or self._ids.next()
            identities.append(identity.decode())
            key = host or sender
            if len(data) <= MAX_RECORD:
                records.append(raw(data, key, headers, identity, now))
            else:
                reason = f"a line of {len(data)} bytes; a record has at most {MAX_RECORD}"
                records += dead("too_long", reason, data, key, headers, identity, now)
                large += 1
        return records, identities, large

    async def keep(self, refusal: Refusal, request: Request) -> None:
        """Keep the body that cannot be read as a dead letter: its sender may throw it away."""
        if refusal.original is None:
            return
        now = self._clock.now()
        peer = canonical_peer(request.client.host) if request.client else ""
        headers = self._labels.headers(now, peer)
        # The same body, sent again and again, is one letter.
        content = blake2b(refusal.original, digest_size=16).hexdigest()
        identity = self.identity("body", request.url.path, content)
        letters = dead(
            "malformed", str(refusal), refusal.original, peer.encode(), headers, identity, now
        )
        try:
            await self._appender.append(letters, len(refusal.original))
        except LogError as error:
            self.account.errors[error.code] += 1
            raise Refusal("unavailable", "the log is not available") from None
        self.account.received += 1
        self.account.bytes += len(refusal.original)
        self.account.dead["malformed"] += 1


def host_key(host: object) -> bytes | None:
    """The key that a host's name makes; None for what is none."""
    return host.encode("utf-8", "replace")[:255] if isinstance(host, str) and host else None


async def off_loop(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, done on a thread if there is much (`size` bytes) of it."""
    if size <= LARGE:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
