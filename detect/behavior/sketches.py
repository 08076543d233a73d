"""Small sets that fit into a profile: how many distinct ones, within some per cent."""

from __future__ import annotations

from hashlib import blake2b
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Bits of a sketch; it counts to about three times as many.
BITS = 512


def add(sketch: int, values: Iterable[str]) -> int:
    """The sketch (a bitmap) with values added: linear counting, Whang et al. 1990."""
    for value in values:
        digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=2).digest()
        sketch |= 1 << (int.from_bytes(digest) % BITS)
    return sketch


def size(sketch: int) -> float:
    """About how many distinct values a sketch has taken in."""
    empty = BITS - sketch.bit_count()
    return BITS * log(BITS / max(empty, 0.5))


def short(value: str) -> str:
    """Six characters that stand for a value where its text does not fit."""
    return blake2b(value.encode("utf-8", "surrogatepass"), digest_size=3).hexdigest()
