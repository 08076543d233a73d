"""The audit log: one hash chain per (stage, partition), so that any tampering shows.

Each entry's hash is SHA-256 over the previous entry's hash and the canonical JSON of the entry
without `hash`; the first entry follows GENESIS. The head (how far the chain has come) lives in
the stage's keyed state, so entry and head become durable together.

A chain on its own shows every change but two: a tail that was cut off, and a chain rewritten
from some entry to its end. Both show against a head that was noted elsewhere (`heads`), against
signed roots (`audit_roots`), and against another copy of the chain (`compare`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypedDict

import orjson

from tocsin.audit_roots import differing, flaw, is_root
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


def is_intact(entry: AuditEntry) -> bool:
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
    """What was found of one chain: entries read, duplicates, its head, how many are signed."""

    chain: str
    entries: int
    duplicates: int
    head: Head | None
    broken: Break | None
    signed: int = 0


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


def verify(
    entries: Iterable[AuditEntry],
    heads: Mapping[str, Head] | None = None,
    *,
    roots: Iterable[AuditEntry] = (),
    keys: Mapping[str, bytes] | None = None,
    whole: bool = True,
) -> Report:
    """Check every chain among `entries`, which are read once, in the order of the log.

    Exact duplicates are what delivery at least once leaves behind: counted, no fault. `heads`
    are heads noted elsewhere (keyed by chain): each must be an entry of its chain. `roots` are
    signed roots from anywhere, verified with `keys` (by name) together with those among the
    entries: each must be signed, stand in its own chain, and fit the entries that it covers. A copy
    that may be behind is not `whole`: what it lacks at its end is no fault. Memory is 32 bytes an
    entry, besides the roots.
    """
    chains: dict[str, _Chain] = {}
    found: dict[str, AuditEntry] = {}
    for entry in entries:
        chains.setdefault(entry.chain, _Chain(entry.chain)).read(entry)
        if is_root(entry) and is_intact(entry):
            found[entry.hash] = entry
    for root in sorted(roots, key=lambda each: (each.chain, each.seq)):
        found[root.hash] = root
        chain = chains.setdefault(root.chain, _Chain(root.chain))
        if is_intact(root):
            chain.anchor(Head(seq=root.seq, hash=root.hash), whole=whole)
        else:
            chain.spoil(root.seq, "a copy of this root does not give its hash")
    for root in sorted(found.values(), key=lambda each: (each.chain, each.seq)):
        if keys is None:
            break
        if why := flaw(root, keys):
            chains[root.chain].spoil(root.seq, why)
        else:
            name = str(root.body["chain"])
            chains.setdefault(name, _Chain(name)).attest(root.body, whole=whole)
    for name, head in (heads or {}).items():
        chains.setdefault(name, _Chain(name)).anchor(head, whole=whole)
    return Report(tuple(chains[name].report() for name in sorted(chains)))


def compare(
    one: Mapping[str, Mapping[int, str]], other: Mapping[str, Mapping[int, str]]
) -> list[Break]:
    """Where two copies have different entries: the first of each chain.

    The copies are hashes by chain and number. What only one copy has is no difference: a copy may
    be behind.
    """
    found = []
    for chain in sorted(one.keys() & other.keys()):
        both = sorted(one[chain].keys() & other[chain].keys())
        wrong = next((seq for seq in both if one[chain][seq] != other[chain][seq]), None)
        if wrong is not None:
            reason = "the log and the store have different entries with this number"
            found.append(Break(chain, wrong, Tampering.ALTERED, reason))
    return found


@dataclass(slots=True)
class _Chain:
    """One chain while it is read; after the first break only what explains it is looked for."""

    name: str
    hashes: list[bytes] = field(default_factory=list)
    entries: int = 0
    duplicates: int = 0
    broken: Break | None = None
    signed: int = 0

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
        elif not is_intact(entry):
            self._break(entry.seq, Tampering.ALTERED, "its content does not give its hash")
        elif entry.seq > len(self.hashes):
            self._gap(len(self.hashes), entry.seq)
        elif entry.previous != self.previous:
            self._unlinked(entry)
        else:
            self.hashes.append(bytes.fromhex(entry.hash))

    def _read_again(self, entry: AuditEntry) -> None:
        if entry.hash == self.hashes[entry.seq].hex() and is_intact(entry):
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
        if entry.seq != broken.seq or not is_intact(entry) or entry.previous != self._before(entry):
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

    def anchor(self, head: Head, *, whole: bool) -> None:
        if self.broken is not None:
            return
        if head["seq"] >= len(self.hashes):
            if not whole:
                return
            first = len(self.hashes)
            self._break(first, Tampering.MISSING, f"the chain once reached entry {head['seq']}")
        elif self.hashes[head["seq"]].hex() != head["hash"]:
            reason = "the chain was rewritten: this entry had another hash when its head was noted"
            self._break(head["seq"], Tampering.ALTERED, reason)

    def spoil(self, seq: int, why: str) -> None:
        """An entry that cannot be believed, whatever the chain says."""
        if self.broken is None or self.broken.seq > seq:
            self._break(seq, Tampering.ALTERED, why)

    def attest(self, body: Mapping[str, Any], *, whole: bool) -> None:
        """A root of this chain, whose signature is good: what it covers must be what is here."""
        first, last = int(body["first"]), int(body["last"])
        earliest = self.broken.seq if self.broken is not None else None
        wrong = differing(body, self.hashes)
        if wrong is not None and (earliest is None or wrong < earliest):
            reason = "another entry was signed: the chain was written anew from here or before"
            self._break(wrong, Tampering.ALTERED, reason)
        elif last >= len(self.hashes) and earliest is None and whole:
            self._break(len(self.hashes), Tampering.MISSING, f"entries up to {last} were signed")
        elif wrong is None and last < len(self.hashes):
            self.signed += last - first + 1

    def report(self) -> ChainReport:
        head = Head(seq=len(self.hashes) - 1, hash=self.previous) if self.hashes else None
        return ChainReport(self.name, self.entries, self.duplicates, head, self.broken, self.signed)
