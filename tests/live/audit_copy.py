"""What somebody with the right to write to Elasticsearch can do to the copy of the audit."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tocsin.audit import Head, append
from tocsin.contracts import AuditEntry
from tocsin.index import documents
from tocsin.index.store import AUDIT, StoreDocument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elasticsearch import Elasticsearch

FORGED = "198.51.100.1"


def forged_after(entry: AuditEntry) -> AuditEntry:
    """An entry that was never written, with a number and a hash that fit behind `entry`."""
    head = Head(seq=entry.seq, hash=entry.hash)
    made, _ = append(head, entry.chain, entry.kind, {"target": FORGED}, entry.at + 1)
    return made


class AuditCopy:
    """The audit in one namespace; each deed is undone when its context ends."""

    def __init__(self, client: Elasticsearch, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._stream = f"logs-tocsin.audit-{namespace}"

    def chain(self) -> list[AuditEntry]:
        """The entries of the longest chain of effects, by number."""
        found: dict[str, list[AuditEntry]] = {}
        for hit in self._hits():
            entry = AuditEntry.model_validate(hit["_source"]["tocsin"]["audit"])
            if entry.chain.startswith("act-"):
                found.setdefault(entry.chain, []).append(entry)
        longest = max(found.values(), key=len)
        return sorted(longest, key=lambda entry: entry.seq)

    @contextmanager
    def altered(self, entry: AuditEntry) -> Iterator[None]:
        """Another target, and nothing else."""
        with self.dropped(entry), self.inserted(entry, target=FORGED):
            yield

    @contextmanager
    def dropped(self, *entries: AuditEntry) -> Iterator[None]:
        """Documents deleted from the backing index."""
        gone = {entry.hash for entry in entries}
        hits = [hit for hit in self._hits() if hit["_id"] in gone]
        assert len(hits) == len(entries)
        for hit in hits:
            self._client.delete(index=hit["_index"], id=hit["_id"], refresh=True)
        try:
            yield
        finally:
            for hit in hits:
                self._create(hit["_id"], hit["_source"])

    @contextmanager
    def inserted(self, *entries: AuditEntry, target: str = "") -> Iterator[None]:
        """Documents created as the index stage does it; `target` is put into their bodies."""
        for entry in entries:
            body = entry.model_dump(mode="json")
            if target:
                body["body"] = {**body["body"], "target": target}
            made = StoreDocument(AUDIT, entry.hash, None, entry.at, body)
            self._create(entry.hash, documents.action(made, self._namespace)[1])
        try:
            yield
        finally:
            added = {entry.hash for entry in entries}
            for hit in self._hits():
                if hit["_id"] in added:
                    self._client.delete(index=hit["_index"], id=hit["_id"], refresh=True)

    @contextmanager
    def rewritten(self, entries: Sequence[AuditEntry], seq: int) -> Iterator[None]:
        """The chain written anew from number `seq` to its end, every hash as it should be."""
        made = [forged_after(entries[seq - 1])]
        for entry in entries[seq + 1 :]:
            head = Head(seq=made[-1].seq, hash=made[-1].hash)
            made.append(append(head, entry.chain, entry.kind, entry.body, entry.at)[0])
        with self.dropped(*entries[seq:]), self.inserted(*made):
            yield

    def _hits(self) -> list[dict[str, Any]]:
        self._client.indices.refresh(index=self._stream)
        hits: list[dict[str, Any]] = self._client.search(index=self._stream, size=1000)["hits"][
            "hits"
        ]
        return hits

    def _create(self, id: str, document: dict[str, Any]) -> None:
        self._client.create(index=self._stream, id=id, document=document, refresh=True)
