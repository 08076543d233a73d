"""Making the records of `raw` and of `dead-letters` that a source writes.

Headers of a raw record, all optional for who reads it: `source`, `tenant`, `received` (ms),
`timezone` unless UTC, `format` (the expected formats, comma-separated), `peer` (address of who
sent it), `origin-id` (32 hexadecimal digits that become event.id).
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from itertools import count
from typing import TYPE_CHECKING

from tocsin.contracts import Topics
from tocsin.deadletters import dead_letters
from tocsin.log.base import Outgoing, Record

if TYPE_CHECKING:
    from tocsin.log.base import Headers
    from tocsin.source_config import Source

#: The host in a syslog header (RFC 5424, RFC 3164 with its own or an ISO time).
_HOST = re.compile(
    rb"<\d{1,3}>(?:1 \S{1,64} |[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d |\d{4}-\d\d-\d\dT\S{8,32} )"
    rb"([A-Za-z0-9][A-Za-z0-9._-]{0,254}) "
)

#: A whole syslog header with its tag: what stands before the text, and host and tag.
_HEADER = re.compile(
    rb"<\d{1,3}>(?:1 \S{1,64} (\S{1,255} \S{1,48} \S{1,128}) \S{1,32} (?:-|\[[^\]]{0,1024}\]) ?"
    rb"|(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S{8,32}) "
    rb"(\S{1,255} [^\s:]{1,128}):(?: |\Z))"
)

#: What a message of nothing else is not worth a record.
BLANK = b" \t\r\n\0"


class Labels:
    """What every record of a source says of itself."""

    def __init__(self, settings: Source, default: str) -> None:
        """`default` names the source where the settings do not."""
        self.source = settings.source or default
        self.tenant = settings.tenant
        self._always: Headers = (
            ("source", self.source.encode("utf-8", "replace")),
            ("tenant", settings.tenant.encode()),
        )
        later: list[tuple[str, bytes]] = []
        if settings.timezone != "UTC":
            later.append(("timezone", settings.timezone.encode()))
        if settings.formats:
            later.append(("format", ",".join(settings.formats).encode()))
        self._later: Headers = tuple(later)

    def headers(self, received: int, peer: str = "") -> Headers:
        """The headers of records received at one time (ms) from one peer."""
        headers = (*self._always, ("received", b"%d" % received), *self._later)
        return (*headers, ("peer", peer.encode())) if peer else headers


class OriginIds:
    """Identities for messages that bring none: each differs from every other one, ever.

    A record that is appended again because its acknowledgement was lost keeps its identity, so
    it is one event still. `nonce` is 16 hexadecimal digits of chance, new in each process.
    """

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce
        self._numbers = count()

    def next(self) -> bytes:
        """The next identity, 32 hexadecimal digits."""
        return f"{self._nonce}{next(self._numbers):016x}".encode()


def raw(data: bytes, key: bytes | None, headers: Headers, origin_id: bytes, now: int) -> Outgoing:
    """The `raw` record of a message."""
    return Outgoing(Topics.RAW, data, key, (*headers, ("origin-id", origin_id)), now)


def dead(
    code: str,
    reason: str,
    original: bytes,
    key: bytes | None,
    headers: Headers,
    origin_id: bytes,
    now: int,
) -> list[Outgoing]:
    """The dead letter of what could not be taken whole, in parts where it is large.

    `original` is what there is of it; the headers are those its raw record would have had.
    """
    place = f"source/{origin_id.decode()}"
    headers = (*headers, ("origin-id", origin_id))
    record = Record(place, 0, 0, key, original, headers, now)
    return dead_letters("collect", record, code, reason, now)


def syslog_key(message: bytes, peer: bytes) -> bytes:
    """The key of a syslog message: its host, so that a relay's messages go to many partitions and
    one host's stay in order; who sent it where the header names none.
    """
    match = _HOST.match(message)
    return match[1] if match is not None else peer


def syslog_stream(message: bytes, peer: bytes) -> tuple[bytes, int]:
    """What a message's neighbours have in common with it (sender, host, program), and how long
    its header is; 0 for a message without one."""
    if message[:1] != b"<" or (match := _HEADER.match(message)) is None:
        return peer, 0
    return b"%b %b" % (peer, match[1] or match[2]), match.end()


def canonical_peer(host: str) -> str:
    """An address as everybody writes it: without scope, IPv4 not as IPv6; other text as it is."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
