"""What is never an indicator, whatever a feed says: false positives that everybody has once.

Private and special addresses, ranges so wide that half the world is in them, public suffixes
(`co.uk`), popular domains and what the site allows. Refused ones are counted by reason and named
by `tocsin indicators check`.
"""

from __future__ import annotations

from bisect import bisect_right
from ipaddress import ip_network
from typing import TYPE_CHECKING

from detect.indicators.values import (
    MAX_VALUE,
    Kind,
    as_network,
    as_number,
    canonical_domain,
    classified,
)
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from detect.indicators.values import Network
    from tocsin.public_suffix import Suffixes

#: Networks that mean something else at every site (RFC 6890 and its registry).
SPECIAL = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/128", "::1/128", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
)

#: Shortest prefixes that a range may have.
NARROWEST = {4: 12, 6: 24}

#: Largest file of popular domains or allowed values, bytes.
MAX_FILE = 64 * 1024 * 1024

_FILE = "file:"


class _Spans:
    """Networks merged into spans of addresses, by version."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._spans: dict[int, tuple[list[int], list[int]]] = {4: ([], []), 6: ([], [])}
        ends = sorted(
            (n.version, int(n.network_address), int(n.broadcast_address)) for n in networks
        )
        for version, first, last in ends:
            firsts, lasts = self._spans[version]
            if lasts and first <= lasts[-1]:
                lasts[-1] = max(last, lasts[-1])
            else:
                firsts.append(first)
                lasts.append(last)

    def cover(self, version: int, first: int, last: int) -> bool:
        """Whether all of it lies in a span."""
        at, lasts = self._at(version, first)
        return at >= 0 and last <= lasts[at]

    def touch(self, version: int, first: int, last: int) -> bool:
        """Whether any of it lies in a span."""
        at, lasts = self._at(version, last)
        return at >= 0 and first <= lasts[at]

    def _at(self, version: int, number: int) -> tuple[int, list[int]]:
        firsts, lasts = self._spans[version]
        return bisect_right(firsts, number) - 1, lasts


def _extent(kind: Kind, value: str) -> tuple[int, int, int] | None:
    """Version, first and last address."""
    if kind == "ip":
        number = as_number(value)
        return None if number is None else (6 if ":" in value else 4, number, number)
    network = as_network(value)
    if network is None:
        return None
    return network.version, int(network.network_address), int(network.broadcast_address)


_SPECIAL = _Spans(SPECIAL)


class Allowed:
    """What never matches: values, domains with all below them, addresses and ranges."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """Raises ConfigError naming an entry that is none of these."""
        self._values: set[str] = set()
        self._domains: set[str] = set()
        networks: list[Network] = []
        for entry in entries:
            known = classified(entry)
            if known is None:
                raise ConfigError(
                    f"indicators.allow: '{entry[:80]}' is no address, range, domain, hash, URL "
                    "or mail address"
                )
            kind, value = known
            self._values.add(value)
            if kind == "domain":
                self._domains.add(value)
            elif (network := as_network(value)) is not None:
                networks.append(network)
        self._spans = _Spans(networks)

    def covers(self, kind: Kind, value: str) -> bool:
        """Whether a value that was seen may not be reported."""
        if value in self._values:
            return True
        if kind == "domain":
            return any(parent in self._domains for parent in parents(value))
        if kind in ("ip", "range"):
            extent = _extent(kind, value)
            return extent is not None and self._spans.cover(*extent)
        return False


class Guard:
    """Says why an indicator is refused."""

    def __init__(
        self, suffixes: Suffixes, allowed: Allowed, popular: frozenset[str] = frozenset()
    ) -> None:
        self._suffixes = suffixes
        self._popular = popular
        self.allowed = allowed

    def refusal(self, kind: Kind, value: str) -> str:
        """The reason, "" for an indicator that may be used."""
        if kind in ("ip", "range"):
            reason = _network_refusal(kind, value)
        elif kind == "domain":
            reason = self._domain(value)
        else:
            reason = ""
        return reason or ("allowed" if self.allowed.covers(kind, value) else "")

    def _domain(self, value: str) -> str:
        if self._suffixes.is_suffix(value):
            return "public_suffix"
        return "popular" if value in self._popular else ""


def _network_refusal(kind: Kind, value: str) -> str:
    extent = _extent(kind, value)
    if extent is None:
        return "not_a_value"
    if kind == "range" and int(value.rpartition("/")[2]) < NARROWEST[extent[0]]:
        return "too_wide"
    return "private" if _SPECIAL.touch(*extent) else ""


def parents(name: str) -> Iterator[str]:
    """A domain and those above it that have a dot, the longest first."""
    while "." in name:
        yield name
        _, _, name = name.partition(".")


def read_popular(path: Path) -> frozenset[str]:
    """Domains of a file, one a line or `rank,domain`; raises OSError, ValueError."""
    if (size := path.stat().st_size) > MAX_FILE:
        raise ValueError(f"{size} bytes, at most {MAX_FILE} are read")
    names = set()
    for line in path.read_text("utf-8").splitlines():
        text = line.partition("#")[0].strip().rpartition(",")[2].strip()
        if text and (name := canonical_domain(text)) is not None:
            names.add(name)
    if not names:
        raise ValueError("no domain in it")
    return frozenset(names)


def read_allowed(entries: Iterable[str]) -> Allowed:
    """The entries of the configuration, `file:` references read; raises ConfigError."""
    return Allowed(_entries(entries))


def _entries(entries: Iterable[str]) -> Iterator[str]:
    for entry in entries:
        if not entry.startswith(_FILE):
            yield entry
            continue
        path = entry.removeprefix(_FILE)
        try:
            with open(path, encoding="utf-8") as file:
                for line in file.read(MAX_FILE).splitlines():
                    if text := line.partition("#")[0].strip()[:MAX_VALUE]:
                        yield text
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"indicators.allow: {path} cannot be read: {error}") from None
