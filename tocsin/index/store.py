"""The document store: what alerts, events and runs are searched in; two homes, one meaning.

A store only ever holds copies of what stands in the log: writing is idempotent by (kind, id), and
everything can be written again by reading the topics from their start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tocsin.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: ECS events.
EVENTS = "events"
#: The newest revision of each alert.
ALERTS = "alerts"
#: Every revision of each alert, immutable.
ALERT_RECORDS = "alert_records"
#: RunEvents.
RUNS = "runs"
#: Links of the audit chains.
AUDIT = "audit"
DEAD_LETTERS = "dead_letters"
#: The newest state of each lease.
LEASES = "leases"

KINDS = (EVENTS, ALERTS, ALERT_RECORDS, RUNS, AUDIT, DEAD_LETTERS, LEASES)

#: Kinds whose documents are replaced by newer versions; the others are written once.
VERSIONED = frozenset({ALERTS, LEASES})

#: Longest id, bytes: Elasticsearch's limit of `_id`.
MAX_ID = 512
#: Most documents that one `list` returns: Elasticsearch's default `index.max_result_window`.
MAX_LIMIT = 10_000

#: The JSON of a document, as it was given to `write`.
Body = dict[str, Any]

_FIELD = re.compile(r"[@A-Za-z0-9_\-]+(\.[@A-Za-z0-9_\-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoreDocument:
    """A document to store.

    `at` (ms since the epoch) is what lists are sorted by. Of a versioned kind the highest
    `version` wins, whatever the order of writing; of the others the first write does. `body` is
    an ECS document for events, alerts and alert records, else the JSON form of its contract.
    """

    kind: str
    id: str
    version: int | None
    at: int
    body: Body


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that the store will never take; `code` is from a bounded set."""

    kind: str
    id: str
    version: int | None
    code: str
    reason: str


# Within a class that has a method `list` the name means that method.
Bodies = list[Body]
Refusals = list[Refusal]
Lines = list[str]


class Store(Protocol):
    """Where documents are written once and read often.

    Reading raises StoreUnavailable as writing does, and StoreError for an unknown kind or a
    field name that is none.
    """

    async def start(self) -> None:
        """Open; a server need not be there yet."""
        ...

    async def close(self) -> None: ...

    async def setup(self) -> Lines:
        """Install what the store needs beforehand (templates) and say what; idempotent."""
        ...

    async def write(self, documents: Sequence[StoreDocument]) -> Refusals:
        """Store durably; a document that is there already, or older than it, is a success.

        Returns what was refused for good. Raises StoreUnavailable: some may have been written,
        all may be written again.
        """
        ...

    async def list(
        self,
        kind: str,
        *,
        limit: int,
        newest_first: bool = True,
        where: Mapping[str, str] = {},
    ) -> Bodies:
        """Bodies by time, at most `limit`.

        `where` maps field paths ("tocsin.alert.status") to the text they must equal; a field
        that is a list matches by any of its elements.
        """
        ...

    async def links(self, chain: str, first: int) -> Bodies:
        """Up to MAX_LIMIT entries of an audit chain with numbers from `first` on, by number."""
        ...

    async def get(self, kind: str, id: str) -> Body | None:
        """The body of one document."""
        ...

    async def count(self, kind: str) -> int:
        """How many documents there are."""
        ...


def check_kind(kind: str) -> None:
    """Raises StoreError if there is no such kind."""
    if kind not in KINDS:
        raise StoreError(f"there are no documents of kind '{kind}'; there are {', '.join(KINDS)}")


def check_query(kind: str, limit: int, where: Mapping[str, str]) -> None:
    """Raises StoreError if `list` cannot be asked so."""
    check_kind(kind)
    if not 1 <= limit <= MAX_LIMIT:
        raise StoreError(f"a limit of {limit} is not possible; ask for 1 to {MAX_LIMIT} documents")
    for field in where:
        if _FIELD.fullmatch(field) is None:
            raise StoreError(f"'{field}' is no field name; write it like source.ip")


def refusal(document: StoreDocument, code: str, reason: str) -> Refusal:
    """The refusal of `document`."""
    return Refusal(document.kind, document.id, document.version, code, reason)


def inspect(document: StoreDocument) -> Refusal | None:
    """What is wrong with a document whatever the store, None if nothing."""
    check_kind(document.kind)
    if not document.id or len(document.id.encode("utf-8", "surrogatepass")) > MAX_ID:
        return refusal(document, "invalid_id", f"an id has 1 to {MAX_ID} bytes")
    if (document.version is None) == (document.kind in VERSIONED):
        needs = "needs a" if document.kind in VERSIONED else "has no"
        return refusal(
            document, "invalid_version", f"a document of {document.kind} {needs} version"
        )
    if document.version is not None and not 0 <= document.version < 2**63:
        return refusal(document, "invalid_version", "a version has 63 bits")
    return None
