"""The audit log: one hash chain per (stage, partition), so that any tampering shows.

Each entry's hash is SHA-256 over the previous entry's hash and the canonical JSON of the entry
without `hash`; the first entry follows GENESIS. The head (how far the chain has come) lives in
the stage's keyed state, so entry and head become durable together.

A chain on its own shows every change but two: a tail that was cut off, and a chain rewritten
from some entry to its end. Both show against a head that was noted elsewhere: see `heads`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypedDict

import orjson

from tocsin.contracts import AuditEntry
from tocsin.errors import AuditError
from tocsin.ids import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: What the first entry of a chain follows.
GENESIS = "0" * 64


class Head(TypedDict):
    """The last entry of a chain: plain JSON, to be kept in keyed state."""

    seq: int
    hash: str


def append(
    head: Head | None, chain: str, kind: str, body: Mapping[str, Any], at: int
) -> tuple[AuditEntry, Head]:
    """The next entry of `chain` after `head` (None: its first), and the new head.

    `at` is ms since the epoch. Raises TypeError if `body` is not plain JSON.
    """
    plain: dict[str, Any] = orjson.loads(canonical_json(dict(body)))
    seq, previous = (0, GENESIS) if head is None else (head["seq"] + 1, head["hash"])
    digest = _digest(previous, chain=chain, seq=seq, at=at, kind=kind, body=plain)
    entry = AuditEntry(
        chain=chain, seq=seq, at=at, kind=kind, body=plain, previous=previous, hash=digest
    )
    return entry, Head(seq=seq, hash=digest)


def _digest(previous: str, **content: Any) -> str:
    text = canonical_json({**content, "previous": previous})
    return sha256(previous.encode("ascii", "replace") + text).hexdigest()


def _is_intact(entry: AuditEntry) -> bool:
    """Whether an entry's content is the content that was hashed."""
    return entry.hash == _digest(
        entry.previous,
        chain=entry.chain,
        seq=entry.seq,
        at=entry.at,
        kind=entry.kind,
        body=entry.body,
    )


class Tampering(StrEnum):
    """What was done to a chain."""

    ALTERED = "altered"
    MISSING = "missing"
    INSERTED = "inserted"
    REORDERED = "reordered"


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where a chain does not hold; `seq` is the entry at fault."""

    chain: str
    seq: int
    kind: Tampering
    reason: str

    def __str__(self) -> str:
        return f"audit chain {self.chain}: entry {self.seq} {self.kind.value}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What was found of one chain: entries read, exact duplicates among them, its head."""

    chain: str
    entries: int
    duplicates: int
    head: Head | None
    broken: Break | None


@dataclass(frozen=True, slots=True)
class Report:
    """What was found of all chains, by name."""

    chains: tuple[ChainReport, ...]

    @property
    def breaks(self) -> tuple[Break, ...]:
        """The first break of each broken chain."""
        return tuple(report.broken for report in self.chains if report.broken is not None)

    @property
    def ok(self) -> bool:
        """Whether every chain holds."""
        return not self.breaks

    def check(self) -> None:
        """Raise AuditError naming the first break of each broken chain."""
        if not self.ok:
            raise AuditError("\n".join(str(found) for found in self.breaks))


def verify(entries: Iterable[AuditEntry], heads: Mapping[str, Head] | None = None) -> Report:
    """Check every chain among `entries`, which are read once, in the order of the log.

    Exact duplicates are what delivery at least once leaves behind: counted, no fault. `heads`
    are heads noted elsewhere (keyed by chain): each must be an entry of its chain. Memory is 32
    bytes an entry.
    """
    chains: dict[str, _Chain] = {}
    for entry in entries:
        chains.setdefault(entry.chain, _Chain(entry.chain)).read(entry)
    for name, head in (heads or {}).items():
        chains.setdefault(name, _Chain(name)).anchor(head)
    return Report(tuple(chains[name].report() for name in sorted(chains)))


@dataclass(slots=True)
class _Chain:
    """One chain while it is read; after the first break only what explains it is looked for."""

    name: str
    hashes: list[bytes] = field(default_factory=list)
    entries: int = 0
    duplicates: int = 0
    broken: Break | None = None

    @property
    def previous(self) -> str:
        return self.hashes[-1].hex() if self.hashes else GENESIS

    def read(self, entry: AuditEntry) -> None:
        self.entries += 1
        if self.broken is not None:
            self._explain(self.broken, entry)
        elif entry.seq < 0:
            self._break(entry.seq, Tampering.INSERTED, "no entry has a number below zero")
        elif entry.seq < len(self.hashes):
            self._read_again(entry)
        elif not _is_intact(entry):
            self._break(entry.seq, Tampering.ALTERED, "its content does not give its hash")
        elif entry.seq > len(self.hashes):
            self._gap(len(self.hashes), entry.seq)
        elif entry.previous != self.previous:
            self._unlinked(entry)
        else:
            self.hashes.append(bytes.fromhex(entry.hash))

    def _read_again(self, entry: AuditEntry) -> None:
        if entry.hash == self.hashes[entry.seq].hex() and _is_intact(entry):
            self.duplicates += 1
        else:
            self._break(entry.seq, Tampering.INSERTED, "two different entries have this number")

    def _gap(self, expected: int, found: int) -> None:
        last = f" to {found - 1}" if found - 1 > expected else ""
        self._break(expected, Tampering.MISSING, f"{expected}{last} not found before {found}")

    def _unlinked(self, entry: AuditEntry) -> None:
        if entry.seq == 0:
            self._break(0, Tampering.ALTERED, "the first entry does not start the chain")
        else:
            reason = f"entry {entry.seq} was made after another entry {entry.seq - 1} than this one"
            self._break(entry.seq - 1, Tampering.ALTERED, reason)

    def _explain(self, broken: Break, entry: AuditEntry) -> None:
        """A later entry may tell a missing one from a moved one, an altered from an inserted."""
        if (
            entry.seq != broken.seq
            or not _is_intact(entry)
            or entry.previous != self._before(entry)
        ):
            return
        if broken.kind is Tampering.MISSING:
            self._break(broken.seq, Tampering.REORDERED, "it stands after entries that follow it")
        elif broken.kind is Tampering.ALTERED and broken.seq == len(self.hashes):
            self._break(broken.seq, Tampering.INSERTED, "the true entry of this number follows")

    def _before(self, entry: AuditEntry) -> str:
        if 0 < entry.seq <= len(self.hashes):
            return self.hashes[entry.seq - 1].hex()
        return GENESIS if entry.seq == 0 else ""

    def _break(self, seq: int, kind: Tampering, reason: str) -> None:
        self.broken = Break(self.name, seq, kind, reason)

    def anchor(self, head: Head) -> None:
        if self.broken is not None:
            return
        if head["seq"] >= len(self.hashes):
            first = len(self.hashes)
            self._break(first, Tampering.MISSING, f"the chain once reached entry {head['seq']}")
        elif self.hashes[head["seq"]].hex() != head["hash"]:
            reason = "the chain was rewritten: this entry had another hash when its head was noted"
            self._break(head["seq"], Tampering.ALTERED, reason)

    def report(self) -> ChainReport:
        head = Head(seq=len(self.hashes) - 1, hash=self.previous) if self.hashes else None
        return ChainReport(self.name, self.entries, self.duplicates, head, self.broken)
