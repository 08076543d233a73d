"""Where raw records come from: what the records of one source have in common, worked out once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from ingest.times import TOLERANCE, rfc3339, time_zone
from tocsin.errors import BadInput
from tocsin.ids import hasher

if TYPE_CHECKING:
    from hashlib import blake2b

    from ingest.times import Instant


#: What stands before a number's digits in an id, by how many there are (tocsin.ids).
LENGTHS = [b"%d:" % length for length in range(32)]


class Origin:
    """A source's partition of the log, at one time of receipt."""

    __slots__ = (
        *("_providers", "begin", "created", "formats", "instant", "limit", "named", "partition"),
        *("prefix", "received", "source", "tenant", "topic", "whence", "zone"),
    )

    def __init__(
        self,
        topic: str,
        partition: int,
        source: str,
        tenant: str,
        received: int,
        zone: str,
        *,
        formats: str = "",
        peer: str = "",
    ) -> None:
        """`formats` are those that the source names, comma-separated; `peer` is who sent it.

        Raises BadInput `received_unreadable` or `timezone_unknown`.
        """
        self.formats = formats
        self.topic = topic
        self.partition = partition
        self.source = source
        self.tenant = tenant
        self.received = received
        self.zone = zone
        self.prefix = f"{topic}/{partition}/"
        try:
            self.created = rfc3339(received)
        except ValueError as error:
            raise BadInput("received_unreadable", f"time of receipt: {error}") from None
        self.instant: Instant = (received, self.created)
        #: The latest that a time without a year may be, milliseconds.
        self.limit = received + TOLERANCE
        self._providers: dict[str, blake2b] = {}
        if zone != "UTC":
            _check_zone(zone, source)
        #: What events say of it in `tocsin`, and as JSON members for functions that write JSON.
        self.whence = {"source": source, "tenant": tenant, **({"peer": peer} if peer else {})}
        self.named = orjson.dumps(self.whence)[1:-1].decode()
        #: Begins the digest of an id.
        self.begin = hasher("event", topic, partition).copy

    def place(self, offset: int) -> str:
        """The id of the event of the record at `offset` (tocsin.ids.event_id)."""
        own = self.begin()
        digits = b"%d" % offset
        own.update(LENGTHS[len(digits)] + digits)
        return own.hexdigest()

    def provided(self, parser: str, identity: str) -> str:
        """The id of an event that its provider names `identity`, within the tenant."""
        begun = self._providers.get(parser)
        if begun is None:
            begun = self._providers[parser] = _provider(parser, self.tenant)
        own = begun.copy()
        data = identity.encode("utf-8", "surrogatepass")
        own.update(b"%d:%b" % (len(data), data))
        return own.hexdigest()


@lru_cache(4_096)
def _provider(parser: str, tenant: str) -> blake2b:
    return hasher("event", f"{parser}/{tenant}")


def _check_zone(zone: str, source: str) -> None:
    try:
        time_zone(zone)
    except ValueError as error:
        raise BadInput(
            "timezone_unknown", f"{error}; correct `timezone` of source {source[:64]} and replay"
        ) from None
