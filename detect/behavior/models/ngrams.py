"""Character n-grams of texts, hashed into columns; numpy over the whole batch at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Indices = np.ndarray[Any, np.dtype[np.int64]]

#: Longest n-gram: eight bytes are one number.
MAX_LENGTH = 8
#: Around each text, so that its beginning and end are n-grams of their own.
_BEGIN, _END = b"\x02", b"\x03"
#: Odd constants of a multiplicative hash (splitmix64's).
_SPREAD, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


class Grams(NamedTuple):
    """Which n-grams stand in which text: `counts[i]` times column `columns[i]` in `rows[i]`."""

    rows: Indices
    columns: Indices
    counts: np.ndarray[Any, np.dtype[np.float32]]


def grams(texts: Sequence[bytes], lengths: tuple[int, ...], bits: int) -> Grams:
    """The n-grams of `lengths` bytes of each text in 2**bits columns, sorted by row and column."""
    marked = [_BEGIN + text + _END for text in texts]
    sizes = np.array([len(text) for text in marked], np.int64)
    data = np.frombuffer(b"".join(marked) + bytes(MAX_LENGTH), np.uint8).astype(np.uint64)
    size = len(data) - MAX_LENGTH
    row = np.repeat(np.arange(len(marked), dtype=np.int64), sizes)
    # How many bytes are left in the text, this one counted: n-grams do not cross texts.
    left = np.repeat(np.cumsum(sizes), sizes) - np.arange(size)
    code = np.zeros(size, np.uint64)
    keys = []
    for length in range(1, max(lengths) + 1):
        code |= data[length - 1 : length - 1 + size] << np.uint64(8 * (length - 1))
        if length in lengths:
            whole = left >= length
            keys.append((row[whole] << bits) | _hashed(code[whole], length, bits))
    found, counts = np.unique(np.concatenate(keys), return_counts=True)
    return Grams(found >> bits, found & ((1 << bits) - 1), counts.astype(np.float32))


def unit(found: Grams, texts: int) -> Grams:
    """With log(1 + count) for counts, and each text's Euclidean length one."""
    values = np.log1p(found.counts)
    length = np.sqrt(np.bincount(found.rows, values.astype(np.float64) ** 2, minlength=texts))
    return found._replace(counts=(values / length[found.rows]).astype(np.float32))


def _hashed(code: Any, length: int, bits: int) -> Indices:
    mixed = (code + np.uint64(length) * np.uint64(0xD1B54A32D192ED03 >> 8)) * _SPREAD
    mixed ^= mixed >> np.uint64(31)
    mixed *= _MIX
    hashed: Indices = (mixed >> np.uint64(64 - bits)).astype(np.int64)
    return hashed
