"""The door between what a source said and what leaves: enrichment, then privacy, in that order.

What is added is under the same rules as what was there. The normalize stage has a door only where
one of the two is configured.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tocsin.errors import BadInput, TocsinError

if TYPE_CHECKING:
    from ingest.enrich import Enricher
    from ingest.privacy import Policy
    from tocsin.contracts import Document
    from tocsin.log.base import Record

_log = logging.getLogger(__name__)

#: What a dead letter of a source with privacy rules says instead of quoting it.
UNTOLD = "the reason may quote the source, whose privacy rules keep it back; see the code"

#: Headers that a replayed record needs; others may name who sent it.
_KEPT = frozenset({"source", "tenant", "received", "timezone", "format", "origin-id", "attempts"})


class Door:
    """Everything that happens to an event between its parser and the log."""

    def __init__(self, enricher: Enricher | None = None, policy: Policy | None = None) -> None:
        self._enricher = enricher
        self._policy = policy

    def admit(self, document: Document, source: str) -> None:
        """Enrich the document and apply the source's policies, in place.

        Raises StoreUnavailable where a subject's key cannot be had: nothing leaves then.
        """
        if self._enricher is not None:
            self._enricher.apply(document)
        if self._policy is not None:
            if self._policy.covers(source):
                # Who sent a line may be a person's machine, and no rule names it.
                document["tocsin"].pop("peer", None)
            self._policy.apply(document, source)

    def record_key(self, key: bytes | None, source: str) -> bytes | None:
        """The key of an event's record: a line's key may be the name of a person's machine."""
        return key if self._policy is None else self._policy.record_key(key, source)

    def opened(self, record: Record) -> Record:
        """A raw record with its bytes; those of a dead letter that is replayed may be sealed.

        Raises BadInput `sealed` if they do not open any more.
        """
        if self._policy is None:
            return record
        value = self._policy.open_original(record.value, source_of(record))
        return record if value is record.value else record._replace(value=value)

    def letter(self, record: Record, error: Exception) -> tuple[Record, str, str]:
        """Record, code and reason as a dead letter may hold them.

        Without rules for the source that is all there is, and what nobody foresaw is raised again
        for the runtime to deal with.
        """
        if isinstance(error, TocsinError) and error.retriable:
            raise error
        source = source_of(record)
        foreseen = isinstance(error, BadInput)
        policy = self._policy
        if policy is None or not policy.covers(source):
            if isinstance(error, BadInput):
                return record, error.reason_code, str(error)
            raise error
        if not foreseen:
            # Without the trace: its last line may quote the event.
            _log.error("normalize: %s: %s", record.position, type(error).__name__)
        sealed = record._replace(
            value=policy.seal_original(record.value, source),
            key=policy.record_key(record.key, source),
            headers=tuple(header for header in record.headers if header[0] in _KEPT),
        )
        code = error.reason_code if isinstance(error, BadInput) else "internal"
        return sealed, code, UNTOLD

    def flush(self) -> None:
        """After a batch, before it is written. Raises StoreUnavailable."""
        if self._policy is not None:
            self._policy.flush()


def source_of(record: Record) -> str:
    """The source that a raw record names, as the normalize stage reads it."""
    header = record.header("source") or b""
    return header.decode("utf-8", "replace") or record.topic
