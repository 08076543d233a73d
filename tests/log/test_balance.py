"""Shares of a group are even, and as few partitions as possible move."""

from hypothesis import given
from hypothesis import strategies as st

from tocsin.log.balance import balance

MEMBERS = st.lists(st.sampled_from("abcdefg"), unique=True, min_size=1)


@given(st.integers(0, 20), MEMBERS, st.dictionaries(st.integers(0, 20), st.sampled_from("abcxy")))
def test_shares_are_even_and_little_moves(
    count: int, members: list[str], owners: dict[int, str]
) -> None:
    partitions = list(range(count))
    target = balance(partitions, members, owners)
    assert sorted(target) == partitions
    shares = {m: [p for p in partitions if target[p] == m] for m in members}
    sizes = sorted(map(len, shares.values()))
    assert sizes[-1] - sizes[0] <= 1
    # Who held no more than the smaller share keeps all of it; who held more keeps that much.
    for member in members:
        held = [p for p in partitions if owners.get(p) == member]
        kept = [p for p in shares[member] if p in held]
        assert len(kept) >= min(len(held), count // len(members))
    assert balance(partitions, members, target) == target


def test_nobody_owns_anything_without_members() -> None:
    assert balance([1, 2], [], {1: "a"}) == {}


def test_the_odd_partition_stays_where_it_is() -> None:
    assert balance([0, 1, 2], ["a", "b"], {1: "b", 2: "b"}) == {0: "a", 1: "b", 2: "b"}
