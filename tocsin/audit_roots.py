"""Signed Merkle roots over stretches of an audit chain.

A root is itself an audit entry, of kind `root`, in a chain of its own for each partition
(`roots-0`): so roots are linked, kept for ever and copied to the store like everything else. Its
tree is that of RFC 6962 over the hashes of the stretch's entries. `marks` are the beginnings of
those hashes: not what proves anything, but what tells which entry was changed when a chain was
written anew, hashes and all.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from tocsin.audit_keys import is_signed
from tocsin.ids import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.audit_keys import Signer
    from tocsin.contracts import AuditEntry

#: Kind of the entries, and what the names of their chains begin with.
KIND, CHAINS = "root", "roots-"
#: Most entries that one root covers; a stretch that has so many is signed at once.
MAX_LEAVES = 512
#: Hexadecimal digits of a mark.
MARK = 12


def is_root(entry: AuditEntry) -> bool:
    """Whether an entry is a root, or claims to be one."""
    return entry.chain.startswith(CHAINS) and entry.kind == KIND


def merkle(leaves: Sequence[bytes]) -> bytes:
    """The tree's root (RFC 6962, 2.1); raises ValueError without leaves."""
    if not leaves:
        raise ValueError("a tree needs leaves")
    level = [sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        # An odd one goes up as it is: the same tree as the recursive definition gives.
        pairs = [level[n : n + 2] for n in range(0, len(level), 2)]
        level = [sha256(b"\1" + b"".join(pair)).digest() if pair[1:] else pair[0] for pair in pairs]
    return level[0]


def root_body(chain: str, first: int, hashes: Sequence[str], at: int, by: Signer) -> dict[str, Any]:
    """The signed body of a root over the entries of `chain` from number `first` on."""
    body: dict[str, Any] = {
        "chain": chain,
        "first": first,
        "last": first + len(hashes) - 1,
        "root": merkle([bytes.fromhex(each) for each in hashes]).hex(),
        "marks": [each[:MARK] for each in hashes],
        "signed_at": at,
        "key": by.id,
    }
    return body | {"signature": by.sign(canonical_json(body))}


def flaw(entry: AuditEntry, keys: Mapping[str, bytes]) -> str:
    """Why a root proves nothing, "" if it is signed by a known key."""
    body = dict(entry.body)
    signature, key = body.pop("signature", ""), body.get("key", "")
    if not isinstance(key, str) or key not in keys:
        return "it is signed by a key that is not known here (audit.trusted)"
    if not is_signed(keys, key, canonical_json(body), str(signature)):
        return "its signature does not fit"
    first, last, marks = body.get("first"), body.get("last"), body.get("marks")
    if not (isinstance(first, int) and isinstance(last, int) and isinstance(marks, list)):
        return "it is no root"
    return "" if len(marks) == last - first + 1 else "it is no root"


def differing(body: Mapping[str, Any], hashes: Sequence[bytes]) -> int | None:
    """The first entry that is not the one that was signed, None if those there are all fit.

    `hashes` are those of the chain's entries from number 0 on, as far as they go.
    """
    first, last = int(body["first"]), int(body["last"])
    there = hashes[first : last + 1]
    for number, (found, mark) in enumerate(zip(there, body["marks"], strict=False), first):
        if found.hex()[:MARK] != mark:
            return number
    if len(there) == last - first + 1 and merkle(there).hex() != body["root"]:
        return first
    return None
