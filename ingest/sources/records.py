"""Making the records of `raw` and of `dead-letters` that a source writes.

Headers of a raw record, all optional for who reads it: `source`, `tenant`, `received` (ms),
`timezone` unless UTC, `format` (the expected formats, comma-separated), `peer` (address of who
sent it), `origin-id` (32 hexadecimal digits that become event.id).
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from itertools import count
from typing import TYPE_CHECKING

from tocsin.contracts import DeadLetter, Topics
from tocsin.ids import digest
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from tocsin.log.base import Headers
    from tocsin.source_config import Source

#: What a message of nothing else is not worth a record.
BLANK = b" \t\r\n\0"


class Labels:
    """What every record of a source says of itself."""

    def __init__(self, settings: Source, default: str) -> None:
        """`default` names the source where the settings do not."""
        self.source = settings.source or default
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
) -> Outgoing:
    """The dead letter of a message that could not be taken whole; `original` is what there is.

    Its headers are those that the raw record would have had: replayed, it is the same event.
    """
    kept = {name: value.decode("utf-8", "replace") for name, value in headers}
    origin = origin_id.decode()
    letter = DeadLetter(
        id=digest("dead-letter", "collect", origin),
        stage="collect",
        code=code,
        reason=reason,
        origin=f"{kept.get('source', '')}/{origin}",
        original=original,
        key=key,
        headers={**kept, "origin-id": origin},
        at=now,
    )
    return Outgoing(Topics.DEAD_LETTERS, letter.encode(), key, timestamp=now)


def canonical_peer(host: str) -> str:
    """An address as everybody writes it: without scope, IPv4 not as IPv6; other text as it is."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
