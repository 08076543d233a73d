"""Caches and rates are pure: the time is an argument."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from responders.pools import Bucket, Cache, Pool


@given(st.integers(1, 20), st.integers(100, 10_000), st.lists(st.integers(0, 500), max_size=200))
def test_a_rate_is_never_exceeded(count: int, per: int, pauses: list[int]) -> None:
    """In no window of `per` ms more than twice the count (a full bucket and its refill)."""
    bucket, now, taken = Bucket(count, per), 1_000, []
    for pause in pauses:
        now += pause
        if bucket.wait(now) == 0:
            bucket.take(now)
            taken.append(now)
    for start in taken:
        assert sum(start <= each < start + per for each in taken) <= 2 * count


@given(st.integers(1, 20), st.integers(100, 10_000))
def test_who_waits_as_long_as_told_gets_a_turn(count: int, per: int) -> None:
    bucket, now = Bucket(count, per), 5
    for _ in range(3 * count):
        now += bucket.wait(now)
        assert bucket.wait(now) == 0
        bucket.take(now)


def test_a_clock_that_jumps_back_neither_fills_nor_stops() -> None:
    bucket = Bucket(1, 1_000)
    bucket.take(10_000)
    assert bucket.wait(2_000) == 1_000
    assert bucket.wait(3_000) == 0


def test_a_pool_takes_from_all_or_none_and_keeps_a_pause() -> None:
    pool = Pool((Bucket(5, 1_000), Bucket(1, 60_000)))
    assert pool.take(1) == 0
    assert pool.take(1) > 1_000
    pool = Pool((Bucket(5, 1_000),))
    pool.pause(9_000)
    pool.pause(4_000)
    assert pool.take(1_000) == 8_000
    assert pool.take(9_000) == 0


def test_a_cache_forgets_the_least_used_and_what_is_over() -> None:
    cache: Cache[int] = Cache(2)
    cache.put("a", 1, 100)
    cache.put("b", 2, 100)
    assert cache.get("a", 0) == 1
    cache.put("c", 3, 100)
    assert (cache.get("a", 0), cache.get("b", 0), cache.get("c", 99)) == (1, None, 3)
    assert cache.get("c", 100) is None
    assert len(cache) == 1
