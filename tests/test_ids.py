"""Ids are functions of their parts: pinned, or every stored id would change with a refactoring."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ids import (
    alert_id,
    canonical_json,
    content_hash,
    digest,
    effect_id,
    event_id,
    finding_id,
    provider_event_id,
    run_id,
)


def test_digest_is_blake2b_of_length_prefixed_parts() -> None:
    expected = blake2b(b"4:kind1:a2:bc", digest_size=16).hexdigest()
    assert digest("kind", "a", "bc") == expected


@given(st.lists(st.text()), st.lists(st.text()))
def test_different_parts_have_different_ids(one: list[str], two: list[str]) -> None:
    assert (digest("k", *one) == digest("k", *two)) == (one == two)


def test_parts_do_not_run_into_each_other() -> None:
    assert digest("k", "ab", "c") != digest("k", "a", "bc") != digest("ka", "bc")


def test_a_number_is_its_decimal_text_and_a_lone_surrogate_is_no_error() -> None:
    assert digest("k", 12) == digest("k", "12")
    assert len(digest("k", "\ud800")) == 32


@pytest.mark.parametrize(
    ("made", "from_parts"),
    [
        (event_id("raw", 3, 41), digest("event", "raw", 3, 41)),
        (event_id("raw", 3, 10**12), digest("event", "raw", 3, 10**12)),
        (provider_event_id("aws", "e-1"), digest("event", "aws", "e-1")),
        (finding_id("hash", "e", "k"), digest("finding", "hash", "e", "k")),
        (alert_id("hash", "k", 5), digest("alert", "hash", "k", 5)),
        (run_id("hash", "k", 5), digest("run", "hash", "k", 5)),
        (effect_id("run", "step", "", 0), digest("effect", "run", "step", "", 0)),
    ],
)
def test_each_kind_is_made_of_its_parts(made: str, from_parts: str) -> None:
    assert made == from_parts


def test_kinds_do_not_collide() -> None:
    assert len({alert_id("x", "y", 1), run_id("x", "y", 1), digest("event", "x", "y", 1)}) == 3


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": {"d": 2, "c": []}}) == b'{"a":{"c":[],"d":2},"b":1}'
    assert content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    assert content_hash([1]) != content_hash([2])
