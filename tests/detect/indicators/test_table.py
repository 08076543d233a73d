"""The table: what is in it is found, nothing else is, and it stays small."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detect.indicators import table as tables
from detect.indicators.table import Rows, Table
from detect.indicators.values import Indicator
from tests.detect.indicators.support import rows, table

if TYPE_CHECKING:
    from detect.indicators.values import Kind


def test_an_indicator_comes_back_whole() -> None:
    given = Indicator(
        "domain", "evil.example.com", "feed", "low", 1_800_000_000_000, "id-1", "worm"
    )
    made = table(given)
    assert made.find("evil.example.com") == [given]
    assert made.find("example.com") == []
    assert made.find("") == []
    assert list(made) == [given]
    assert made.has == {"domain"}


def test_several_feeds_that_name_one_value() -> None:
    made = Table([rows("203.0.113.7", feed="a"), Rows("empty"), rows("203.0.113.7", feed="b")])
    assert {each.feed for each in made.find("203.0.113.7")} == {"a", "b"}
    assert len(made) == 2


def test_two_texts_with_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the text counts: the hash says no more than where to look."""
    monkeypatch.setattr(tables, "hash", lambda text: 7, raising=False)
    made = table("a.example.com", "b.example.com", "c.example.com")
    assert [each.value for each in made.find("b.example.com")] == ["b.example.com"]
    assert made.find("d.example.com") == []


def test_the_empty_table() -> None:
    made = Table()
    assert (len(made), made.find("x"), made.around("203.0.113.7")) == (0, [], [])
    assert made.has == frozenset()


class TestRanges:
    def test_the_narrowest_counts(self) -> None:
        made = table("203.0.113.0/24", "203.0.113.64/26", "203.0.113.64/28", "198.51.100.0/24")
        for address, expected in (
            ("203.0.113.1", "203.0.113.0/24"),
            ("203.0.113.65", "203.0.113.64/28"),
            ("203.0.113.80", "203.0.113.64/26"),
            ("203.0.113.127", "203.0.113.64/26"),
            ("203.0.113.128", "203.0.113.0/24"),
            ("198.51.100.255", "198.51.100.0/24"),
        ):
            assert [each.value for each in made.around(address)] == [expected], address
        for address in ("203.0.112.255", "203.0.114.0", "192.0.2.1", "2001:db8::1", "x", ""):
            assert made.around(address) == [], address

    def test_of_two_feeds_both_are_told(self) -> None:
        made = Table([rows("2001:db8::/48", feed="a"), rows("2001:db8::/48", feed="b")])
        assert {each.feed for each in made.around("2001:db8::99")} == {"a", "b"}
        assert made.around("2001:db9::1") == []

    def test_a_range_is_no_value(self) -> None:
        assert table("203.0.113.0/24").find("203.0.113.0/24") == []

    @pytest.mark.parametrize("seed", range(20))
    def test_like_looking_at_each_of_them(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        space = 6 if seed % 2 else 4
        networks = []
        for _ in range(60):
            if space == 4:
                base, length = f"203.0.113.{chance.randrange(256)}", chance.randint(24, 31)
            else:
                base, length = f"2001:db8::{chance.randrange(65_536):x}", chance.randint(110, 127)
            networks.append(ip_network((base, length), strict=False))
        made = table(*(Indicator("range", str(each), "feed") for each in networks))
        for _ in range(300):
            if space == 4:
                address = f"203.0.{chance.choice((112, 113, 114))}.{chance.randrange(256)}"
            else:
                address = str(ip_address(f"2001:db8::{chance.randrange(65_536):x}"))
            around = [each for each in networks if ip_address(address) in each]
            narrowest = max((each.prefixlen for each in around), default=None)
            expected = {str(each) for each in around if each.prefixlen == narrowest}
            assert {each.value for each in made.around(address)} == expected


WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@given(st.lists(st.tuples(st.sampled_from(("domain", "url", "hash")), WORDS, WORDS), max_size=50))
def test_everything_in_it_is_found(given: list[tuple[Kind, str, str]]) -> None:
    indicators = [Indicator(kind, value, "feed", about=about) for kind, value, about in given]
    made = table(*indicators)
    for each in indicators:
        assert each in made.find(each.value)
    assert list(made) == indicators


def test_memory_stays_small() -> None:
    """With a hundred thousand, of which each has its own id and one of many texts."""
    feed = Rows("feed")
    for number in range(100_000):
        feed.add(
            Indicator(
                "domain",
                f"host-{number}.evil.example",
                "feed",
                until=1_800_000_000_000,
                id=f"indicator--{number:032x}",
                about=f"family {number % 40}",
            )
        )
    assert Table([feed]).size() / 100_000 < 200
    many = Rows("feed")
    for number in range(10_000):
        many.add(Indicator("ip", "203.0.113.7", "feed", about=f"text {number}"))
    assert [each.about for each in many] == [f"text {number}" for number in range(10_000)]
