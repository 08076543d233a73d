"""A million indicators in memory, compactly, and looking values up in them.

Each feed keeps its indicators as one run of bytes (`Rows`). An index over all feeds finds them:
values in an open-addressing table of 8-byte hashes (Python's own of the text, keyed anew in each
process, so that nobody can choose values that collide), each confirmed by comparing the text;
ranges in sorted arrays of the places where the narrowest range around an address changes.
Measured with a million: see docs/enrichment.md.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from ipaddress import ip_network
from typing import TYPE_CHECKING

import orjson

from detect.indicators.values import KINDS, Indicator, as_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from detect.indicators.values import Kind

#: Most indicators of all feeds.
MAX_INDICATORS = 5_000_000

#: Longest text about an indicator that is kept, and longest id, characters.
MAX_ABOUT, MAX_ID = 200, 100

#: Different texts about indicators of a feed that are kept once for all that share them.
_SHARED = 4_096

_MASK = 2**64 - 1
_LEVELS = ("informational", "low", "medium", "high", "critical")


class Rows:
    """The indicators of one feed; append, then read."""

    __slots__ = ("_about", "_abouts", "_blob", "_ends", "feed", "hashes", "kinds", "ranges")

    def __init__(self, feed: str) -> None:
        self.feed = feed
        #: Of each row the hash of its value.
        self.hashes = array("Q")
        #: Of each range version, first and last address, and row.
        self.ranges: list[tuple[int, int, int, int]] = []
        #: How many there are, by kind.
        self.kinds = dict.fromkeys(KINDS, 0)
        self._blob = bytearray()
        self._ends = array("Q")
        self._abouts: dict[str, int] = {}
        self._about: list[str] = []

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, indicator: Indicator) -> None:
        """Keep an indicator; its `feed` is this one's."""
        if indicator.kind == "range":
            net = ip_network(indicator.value)
            first, last = int(net.network_address), int(net.broadcast_address)
            self.ranges.append((net.version, first, last, len(self._ends)))
        self.hashes.append(hashed(indicator.value))
        self._blob += orjson.dumps(
            (
                KINDS.index(indicator.kind),
                indicator.value,
                _LEVELS.index(indicator.level),
                indicator.until,
                indicator.id[:MAX_ID],
                self._told(indicator.about[:MAX_ABOUT]),
            )
        )
        self._ends.append(len(self._blob))
        self.kinds[indicator.kind] += 1

    def _told(self, about: str) -> int | str:
        """The number of a text that many share, a text itself where there are too many."""
        number = self._abouts.get(about)
        if number is None:
            if len(self._about) >= _SHARED:
                return about
            number = self._abouts[about] = len(self._about)
            self._about.append(about)
        return number

    def __getitem__(self, row: int) -> Indicator:
        start = self._ends[row - 1] if row else 0
        kind, value, level, until, id, about = orjson.loads(self._blob[start : self._ends[row]])
        told = about if isinstance(about, str) else self._about[about]
        return Indicator(KINDS[kind], value, self.feed, _LEVELS[level], until, id, told)

    def __iter__(self) -> Iterator[Indicator]:
        return (self[row] for row in range(len(self)))

    def size(self) -> int:
        """Bytes held, about."""
        held = (self._blob, self._ends, self.hashes, self.ranges, self._abouts, self._about)
        inside = sum(map(sys.getsizeof, self._about)) + 150 * len(self.ranges)
        return sum(map(sys.getsizeof, held)) + inside


def hashed(text: str) -> int:
    """Eight bytes that stand for a text in this process; never 0, which marks an empty slot."""
    return (hash(text) & _MASK) or 1


class Table:
    """All feeds, immutable once it is made."""

    def __init__(self, feeds: Sequence[Rows] = ()) -> None:
        """Indexes the feeds: about a second and 24 MB for a million."""
        self._feeds = tuple(feeds)
        self._starts = array("I")
        total = 0
        for rows in self._feeds:
            self._starts.append(total)
            total += len(rows)
        self._total = total
        capacity = 16
        while capacity < 2 * total:
            capacity *= 2
        self._slots = array("Q", bytes(8 * capacity))
        self._rows = array("I", bytes(4 * capacity))
        self._last = capacity - 1
        self._fill()
        self.has = frozenset(
            kind for kind in KINDS if any(rows.kinds[kind] for rows in self._feeds)
        )
        #: The kinds of values in events that are worth looking up.
        self.wanted = _wanted(self.has)
        self._v4 = _Ranges(32, self._networks(4))
        self._v6 = _Ranges(128, self._networks(6))

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[Indicator]:
        for rows in self._feeds:
            yield from rows

    @property
    def feeds(self) -> tuple[Rows, ...]:
        """The feeds it was made of."""
        return self._feeds

    def find(self, text: str) -> list[Indicator]:
        """The indicators of a canonical value, ranges apart; most often none."""
        wanted = (hash(text) & _MASK) or 1
        at = wanted & self._last
        slots = self._slots
        found: list[Indicator] = []
        while slot := slots[at]:
            if slot == wanted:
                indicator = self._indicator(self._rows[at])
                # Two texts may have one hash: only the text itself counts.
                if indicator.value == text and indicator.kind != "range":
                    found.append(indicator)
            at = (at + 1) & self._last
        return found

    def around(self, address: str) -> list[Indicator]:
        """The indicators of the narrowest range around an address."""
        ranges = self._v6 if ":" in address else self._v4
        if not ranges:
            return []
        if (number := as_number(address)) is None:
            return []
        return [self._indicator(row) for row in ranges.around(number)]

    def size(self) -> int:
        """Bytes held, about."""
        index = sys.getsizeof(self._slots) + sys.getsizeof(self._rows)
        ranges = self._v4.size() + self._v6.size()
        return index + ranges + sum(rows.size() for rows in self._feeds)

    def _fill(self) -> None:
        slots, places, last = self._slots, self._rows, self._last
        row = 0
        for rows in self._feeds:
            for value in rows.hashes:
                at = value & last
                while slots[at]:
                    at = (at + 1) & last
                slots[at] = value
                places[at] = row
                row += 1

    def _indicator(self, row: int) -> Indicator:
        number = bisect_right(self._starts, row) - 1
        return self._feeds[number][row - self._starts[number]]

    def _networks(self, version: int) -> Iterator[tuple[int, int, int]]:
        """First and last address of each range, and its row."""
        for start, rows in zip(self._starts, self._feeds, strict=True):
            for family, first, last, row in rows.ranges:
                if family == version:
                    yield first, last, start + row


def _wanted(has: frozenset[Kind]) -> frozenset[Kind]:
    wanted = set(has)
    if "range" in wanted:
        wanted.add("ip")
    if "ip" in wanted:
        wanted.add("domain")  # the host of a URL may be an address
    return frozenset(wanted)


class _Ranges:
    """Ranges that lie within one another or apart, as CIDR ranges do."""

    def __init__(self, bits: int, networks: Iterable[tuple[int, int, int]]) -> None:
        together: dict[tuple[int, int], list[int]] = {}
        for first, last, row in networks:
            together.setdefault((first, last), []).append(row)
        self._owners: list[tuple[int, ...]] = []
        edges: dict[int, int] = {}
        around: list[tuple[int, int]] = []
        for first, last in sorted(together, key=lambda ends: (ends[0], -ends[1])):
            self._leave(edges, around, first)
            edges[first] = len(self._owners)
            around.append((last, len(self._owners)))
            self._owners.append(tuple(together[first, last]))
        self._leave(edges, around, 1 << bits)
        self._owner = array("i", edges.values())
        # 128 bits fit no array.
        self._edges: Sequence[int] = array("I", edges) if bits == 32 else list(edges)

    def __bool__(self) -> bool:
        return bool(self._owners)

    def around(self, number: int) -> tuple[int, ...]:
        """The rows of the narrowest range around a number."""
        at = bisect_right(self._edges, number) - 1
        owner = self._owner[at] if at >= 0 else -1
        return self._owners[owner] if owner >= 0 else ()

    def size(self) -> int:
        """Bytes held, about."""
        wide = 32 * len(self._edges) if isinstance(self._edges, list) else 0
        held = (self._edges, self._owner, self._owners)
        return sum(map(sys.getsizeof, held)) + wide + 88 * len(self._owners)

    @staticmethod
    def _leave(edges: dict[int, int], around: list[tuple[int, int]], before: int) -> None:
        """Where ranges end before a number, what was around them goes on."""
        while around and around[-1][0] < before:
            end, _ = around.pop()
            if end + 1 < before:
                edges[end + 1] = around[-1][1] if around else -1
