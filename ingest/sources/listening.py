"""What all sources that others connect to have in common: binding, TLS, starting, stopping."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ingest.sources.account import SourceAccount
from ingest.sources.appender import Appender, rest
from ingest.sources.gathering import Gathered, Gathering, joiner_of
from ingest.sources.records import Labels, OriginIds, raw, syslog_key, syslog_stream
from tocsin.errors import ConfigError, LogError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.clock import Clock
    from tocsin.log.base import Log, Outgoing
    from tocsin.source_config import Listener, Tls

logger = logging.getLogger(__name__)

#: Seconds to wait before trying the log again, doubled from the first to the last; and before
#: trying to listen again.
RETRY_FIRST, RETRY_LAST = 0.1, 5.0
LISTEN_AGAIN = 5.0

#: Longest that a TLS handshake may take, seconds.
HANDSHAKE = 10.0

#: How often it is looked whether lines have waited long enough, by their time-out: so many times
#: in it, but no more often than this, seconds.
LOOKS, LOOK_LEAST = 4, 0.02

#: When told to stop: how long a connection may be silent before it is closed, and how long any
#: sender may go on, seconds.
LINGER, LINGER_MAX = 0.2, 3.0

#: Connections that the kernel accepts before we do.
BACKLOG = 1_024


class Listening(ABC):
    """A worker that listens on one address until stopped.

    `nonce` (16 hexadecimal digits) is the chance that identities of messages without one of
    their own are made of; it must differ in each process.
    """

    def __init__(
        self, settings: Listener, log: Log, clock: Clock, *, nonce: str, kind: str, source: str
    ) -> None:
        self.account = SourceAccount()
        #: Where it listens, once it does.
        self.address: tuple[str, int] | None = None
        self.listening = asyncio.Event()
        self._kind = kind
        self._settings = settings
        self._clock = clock
        self._labels = Labels(settings, source)
        self._gathering = Gathering(joiner_of(settings))
        self._ids = OriginIds(nonce)
        self._appender = Appender(log, max_waiting=settings.max_waiting)
        self._stopping = asyncio.Event()
        self._context = None if settings.tls is None else server_context(settings.tls)

    @property
    def name(self) -> str:
        host = self._settings.host
        return f"{self._kind} {f'[{host}]' if ':' in host else host}:{self._settings.port}"

    @property
    def down(self) -> str:
        """Why nothing can be collected just now, or ""."""
        return self.account.down

    @property
    def idle(self) -> bool:
        """Whether everything that was received is in the log."""
        return self.account.waiting == 0

    def stop(self) -> None:
        """Take what senders have sent already, then let `run` return."""
        self._stopping.set()

    async def check(self) -> str:
        """What `tocsin doctor` says of it; raises ConfigError if it cannot listen."""
        try:
            bind(self._settings, self._socket_type).close()
        except OSError as error:
            raise ConfigError(
                f"cannot listen: {error.strerror}; if Tocsin runs already that is its own port"
            ) from None
        reach = "this machine" if self._settings.loopback else "other machines too"
        secured = "TLS" if self._context is not None else "no TLS"
        return f"can listen; reached by {reach}, {secured}"

    async def run(self) -> None:
        """Listen until stopped; a port in use is tried again, and everything else goes on."""
        while not self._stopping.is_set():
            try:
                listener = bind(self._settings, self._socket_type)
            except OSError as error:
                self.account.errors["listen"] += 1
                self.account.down = f"cannot listen: {error.strerror}"
                logger.error("%s: %s, next try in %g s", self.name, self.down, LISTEN_AGAIN)
                await rest(LISTEN_AGAIN, self._stopping)
                continue
            self.account.down = ""
            host, port = listener.getsockname()[:2]
            self.address = (host, port)
            with listener:
                await self._work(listener)

    async def _work(self, listener: socket.socket) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._appender.run(), name=f"{self.name} appending")
            try:
                await self._serve(listener)
            finally:
                self._appender.close()

    # Messages that are not simply one line each

    def _is_plain(self, messages: Sequence[bytes]) -> bool:
        """Whether each of these that is not blank is a message of its own, as it stands."""
        return self._gathering.plain and not any(_may_direct(message) for message in messages)

    def _gather(self, gathered: Gathered, message: bytes, peer: bytes, now: int) -> None:
        """Take a message of one sender: `gathered` is told what is whole, and what is none."""
        stream, head = syslog_stream(message, peer)
        self._gathering.take(gathered, 0, message, now, stream, head)

    def _gathered(self, gathered: Gathered, now: int) -> list[Outgoing]:
        """The raw records of whole messages; a stream begins with the address of its sender."""
        records = []
        for group in gathered.groups:
            peer, text = group.stream.partition(b" ")[0], group.text
            headers = self._labels.headers(now, peer.decode("utf-8", "replace"))
            records.append(raw(text, syslog_key(text, peer), headers, self._ids.next(), now))
        return records

    async def _settle(self) -> None:
        """Until stopped, and then for the last time, let lines go that have waited enough."""
        if not self._gathering.joins:
            return
        pause = max(self._gathering.timeout / 1_000 / LOOKS, LOOK_LEAST)
        while not self._stopping.is_set():
            await rest(pause, self._stopping)
            now = self._clock.now()
            await self._deliver(self._gathering.due(now), now)

    async def _deliver(self, gathered: Gathered, now: int) -> None:
        """Append whole messages; they are dropped and counted if we are stopped before."""
        self.account.filtered.update(gathered.filtered)
        records = self._gathered(gathered, now)
        if not records:
            return
        size = sum(len(record.value) for record in records)
        await self._appender.until_room(size)
        if await self._append(records, size):
            self.account.appended += gathered.lines
        else:
            self.account.dropped["stopped"] += gathered.lines

    @property
    @abstractmethod
    def _socket_type(self) -> socket.SocketKind: ...

    @abstractmethod
    async def _serve(self, listener: socket.socket) -> None:
        """Serve until `_stopping` is set, and set `listening` once a sender is served."""

    async def _append(self, records: Sequence[Outgoing], size: int) -> bool:
        """Append, and again while the log is away; False if it still is when we are stopped.

        A record that an attempt did append in spite of its error is the same event: it keeps
        its identity.
        """
        pause = RETRY_FIRST
        while True:
            try:
                await self._appender.append(records, size)
            except LogError as error:
                self.account.errors[error.code] += 1
                if not self.account.down:
                    logger.warning("%s: %s; senders wait", self.name, error)
                self.account.down = str(error)
            else:
                self.account.down = ""
                return True
            if self._stopping.is_set():
                return False
            await rest(pause, self._stopping)
            pause = min(pause * 2, RETRY_LAST)


def _may_direct(message: bytes) -> bool:
    """Whether a message may be a directive of a W3C log, behind a syslog header too."""
    first = message[:1]
    return first == b"#" or (first == b"<" and b" #" in message[:512])


def bind(settings: Listener, kind: socket.SocketKind) -> socket.socket:
    """A socket bound as the settings say, listening if it is a stream, not blocking.

    Raises OSError. Listening is part of it because with SO_REUSEADDR two may bind one port, and
    only the second to listen is told.
    """
    host = "127.0.0.1" if settings.host == "localhost" else settings.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it each answer takes 40 ms.
    protocol = socket.IPPROTO_TCP if kind is socket.SOCK_STREAM else socket.IPPROTO_UDP
    bound = socket.socket(family, kind, protocol)
    try:
        if kind is socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind((host, settings.port))
        if kind is socket.SOCK_STREAM:
            bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def server_context(tls: Tls) -> ssl.SSLContext:
    """The TLS context of a listener: 1.2 or newer; a client certificate where one is asked for.

    Raises ConfigError for files that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate_file, tls.key_file, password=_no_password)
        if tls.client_ca_file is not None:
            context.load_verify_locations(tls.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = [tls.certificate_file, tls.key_file, tls.client_ca_file]
        named = ", ".join(str(file) for file in files if file is not None)
        raise ConfigError(f"sources: the TLS files {named} cannot be used: {error}") from None
    return context


def _no_password() -> str:
    """OpenSSL would ask at the terminal."""
    raise ValueError("the key is encrypted; decrypt it, and let only its owner read it")
