"""Addresses, ranges and names as sets that can be asked for overlap.

Every address stands in one space of 128 bits, IPv4 where RFC 4291 maps it (::ffff:0:0/96), so a
list in one family meets a target in the other. Transition addresses carry an IPv4 address inside
(RFC 6052 NAT64, RFC 3056 6to4, RFC 4380 Teredo, RFC 4291 IPv4-compatible): a target in such a
form also stands for the address it carries.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: First and last address of a range, in the common space of 128 bits.
Interval = tuple[int, int]

#: Entries of one list; more is a mistake (a feed, not a list of what must not be touched).
MAX_ENTRIES = 1_000_000

_V4_BASE = 0xFFFF << 32
_V4_MAX = 0xFFFF_FFFF
_EVERY_V4: Interval = (_V4_BASE, _V4_BASE + _V4_MAX)

# (first address, last address, bits right of the IPv4 address that is carried)
_CARRIERS = tuple(
    (int(network.network_address), int(network.broadcast_address), shift)
    for network, shift in (
        (IPv6Network("::/96"), 0),  # IPv4-compatible
        (IPv6Network("64:ff9b::/96"), 0),  # NAT64
        (IPv6Network("2002::/16"), 80),  # 6to4
        (IPv6Network("2001::/32"), 64),  # Teredo: the server
    )
)
_TEREDO = IPv6Network("2001::/32")

# What someone meant as an address, however wrong: never taken as a name. Nor is a pattern.
_NUMBER = r"(0x[0-9a-f]+|[0-9]+)"
_ADDRESS_LIKE = re.compile(
    rf"{_NUMBER}(\.{_NUMBER})*([-/].*)?|[0-9a-f]{{0,4}}:([0-9a-z]{{0,4}}:)+[0-9a-z.]*([-/%].*)?|.*\*.*",
    re.IGNORECASE,
)


def parse_interval(text: str) -> Interval:
    """The addresses that `text` means: an address, a CIDR range, or `first-last`.

    Raises ValueError for anything that two products could read differently: octal, hexadecimal,
    short or integer IPv4, zone ids, host bits set in a range, blanks, a reversed range.
    """
    first, dash, last = text.partition("-")
    if dash:
        low, high = _address(first), _address(last)
        if low > high:
            raise ValueError(f"'{text}' ends before it begins")
        return low, high
    if "/" in text:
        network = ip_network(_plain(text))
        return _place(network.network_address), _place(network.broadcast_address)
    address = _address(text)
    return address, address


def meanings(interval: Interval) -> Iterator[Interval]:
    """The interval itself and every IPv4 range that it carries inside."""
    yield interval
    low, high = interval
    for first, last, shift in _CARRIERS:
        if low <= last and high >= first:
            inner_low = ((max(low, first) - first) >> shift) & _V4_MAX
            inner_high = ((min(high, last) - first) >> shift) & _V4_MAX
            yield _V4_BASE + inner_low, _V4_BASE + inner_high
    yield from _teredo_clients(low, high)


def _teredo_clients(low: int, high: int) -> Iterator[Interval]:
    """Teredo keeps the client's address inverted in the last 32 bits."""
    if low > int(_TEREDO.broadcast_address) or high < int(_TEREDO.network_address):
        return
    if low >> 32 != high >> 32:
        yield _EVERY_V4
    else:
        yield _V4_BASE + (~high & _V4_MAX), _V4_BASE + (~low & _V4_MAX)


@dataclass(frozen=True, slots=True)
class NamedList:
    """What must not be touched, under a name that playbooks and verdicts use."""

    name: str
    entries: tuple[str, ...]
    intervals: tuple[Interval, ...]
    sources: tuple[str, ...]
    reach: tuple[int, ...]
    names: frozenset[str]

    @classmethod
    def parse(cls, name: str, entries: Iterable[str]) -> NamedList:
        """Read entries: addresses, ranges, else names of users, hosts or keys.

        Raises ValueError naming every entry that is meant as an address and is none: taken as a
        name it would protect nothing.
        """
        kept = tuple(entry.strip() for entry in entries if entry.strip())
        if len(kept) > MAX_ENTRIES:
            raise ValueError(f"list {name} has {len(kept)} entries, at most {MAX_ENTRIES} are read")
        found: list[tuple[Interval, str]] = []
        names: set[str] = set()
        mistakes: list[str] = []
        for entry in kept:
            try:
                found.append((parse_interval(entry), entry))
            except ValueError as error:
                if _ADDRESS_LIKE.fullmatch(entry):
                    mistakes.append(f"{entry}: {error}")
                else:
                    names.add(fold(entry))
        if mistakes:
            raise ValueError(f"list {name} has entries that cannot be read: {'; '.join(mistakes)}")
        found.sort()
        intervals = tuple(interval for interval, _ in found)
        return cls(
            name=name,
            entries=kept,
            intervals=intervals,
            sources=tuple(entry for _, entry in found),
            reach=tuple(accumulate((high for _, high in intervals), max)),
            names=frozenset(names),
        )

    def size(self, *, addresses: bool) -> int:
        """How many addresses it has (overlaps counted once), or how many names."""
        if not addresses:
            return len(self.names)
        total, end = 0, -1
        for low, high in self.intervals:
            total += max(0, high - max(low, end + 1) + 1)
            end = max(end, high)
        return total

    def overlapping(self, interval: Interval) -> str | None:
        """The entry that shares at least one address with `interval`, None if there is none."""
        for low, high in meanings(interval):
            before = bisect_right(self.intervals, (high, 1 << 129))
            if before and self.reach[before - 1] >= low:
                return next(self.sources[i] for i in range(before) if self.intervals[i][1] >= low)
        return None

    def naming(self, target: str, *, host: bool = False) -> str | None:
        """The name in this list that may mean `target`, None if there is none.

        A bare name means the same as `DOMAIN\\name`, `name@domain` and, for a host,
        `name.domain`: a guard would rather refuse twice than miss once.
        """
        full, bare = fold(target), bare_name(target, host=host)
        if full in self.names:
            return full
        for name in self.names:
            other = bare_name(name, host=host)
            if other == bare and (name == other or full == bare):
                return name
        return None


def fold(name: str) -> str:
    """A name without differences of case, width and composition (NFKC, full case folding)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip(". ")


def bare_name(name: str, *, host: bool = False) -> str:
    """The name without its Windows domain, mail domain and, of a host, DNS suffix."""
    bare = fold(name).rpartition("\\")[2].partition("@")[0]
    return bare.partition(".")[0] if host else bare


def _plain(text: str) -> str:
    if not text.isascii() or text != text.strip() or "%" in text:
        raise ValueError(f"'{text}' has blanks, a zone id or letters of another script")
    return text


def _address(text: str) -> int:
    return _place(ip_address(_plain(text)))


def _place(address: IPv4Address | IPv6Address) -> int:
    return int(address) + (_V4_BASE if isinstance(address, IPv4Address) else 0)


#: Never acted on, whatever the configuration says: "this" network, loopback, link-local,
#: multicast, reserved and broadcast (RFC 6890), the unspecified address.
RESERVED = NamedList.parse(
    "reserved_addresses",
    (
        *(
            str(IPv4Network(text))
            for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
        ),
        *(str(IPv6Network(text)) for text in ("::/127", "fe80::/10", "fec0::/10", "ff00::/8")),
    ),
)
