"""Request bodies: compression in any pieces, bombs, cuts."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.sources.http.body import STEP, decoder_for
from ingest.sources.http.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    "identity": lambda data: data,
    "gzip": gzip.compress,
    "x-gzip": lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:]),
    "deflate": zlib.compress,
    " Deflate": raw_deflate,
}


def decoded(encoding: str, *chunks: bytes) -> bytes:
    decoder = decoder_for(encoding)
    data = b"".join(part for chunk in chunks for part in decoder.feed(chunk))
    decoder.end()
    return data


@settings(deadline=None)
@given(
    st.sampled_from(sorted(ENCODINGS)),
    st.binary(max_size=2_000).map(lambda data: data * 300),
    st.lists(st.integers(0, 10_000), max_size=20),
)
def test_any_pieces_give_what_was_compressed(encoding: str, data: bytes, cuts: list[int]) -> None:
    sent = ENCODINGS[encoding](data)
    bounds = [0, *sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]
    assert decoded(encoding, *(sent[a:b] for a, b in pairwise(bounds))) == data


@settings(deadline=None)
@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=300))
def test_what_is_not_compressed_is_refused_or_read_and_nothing_else(
    encoding: str, data: bytes
) -> None:
    outcome = "read"
    try:
        decoded(encoding, data)
    except Refusal as refusal:
        outcome = refusal.reason
    assert outcome in ("read", "malformed")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_is_cut_off_is_refused(encoding: str) -> None:
    sent = ENCODINGS[encoding](b"line\n" * 1_000)
    with pytest.raises(Refusal, match="cut off"):
        decoded(encoding, sent[:-5])


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "\x00"])
def test_an_unknown_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(Refusal, match="gzip or deflate") as caught:
        decoder_for(encoding)
    assert caught.value.status == 415


@pytest.mark.parametrize("encoding", ["gzip", "deflate", " Deflate"])
def test_a_bomb_costs_a_step_at_a_time(encoding: str) -> None:
    bomb = ENCODINGS[encoding](bytes(50_000_000))
    assert len(bomb) < 100_000
    decoder = decoder_for(encoding)
    tracemalloc.start()
    try:
        total = 0
        for part in decoder.feed(bomb):
            assert len(part) <= STEP
            total += len(part)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 50_000_000
    assert peak < 4 * STEP + 2 * len(bomb)
