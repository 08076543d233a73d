"""Which indicators an event names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from detect.indicators.guards import parents
from detect.indicators.observables import observed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.indicators.guards import Allowed
    from detect.indicators.observables import Observed
    from detect.indicators.table import Table
    from detect.indicators.values import Indicator
    from tocsin.contracts import Document

#: Most labels of a host name that are looked up; deeper ones are looked up by their last.
MAX_LABELS = 12


class Hit(NamedTuple):
    """An indicator, the value of the event it names, and how: "" is the very same value."""

    observed: Observed
    indicator: Indicator
    how: str


def hits(document: Document, table: Table, allowed: Allowed, at: int) -> list[Hit]:
    """Every indicator that was valid at the event's time (ms), in the order of its fields."""
    found: list[Hit] = []
    if not table.wanted:
        return found
    for seen in observed(document, table.wanted):
        for indicator, how in _named(seen, table):
            if indicator.until and at >= indicator.until:
                continue
            if not allowed.covers(seen.kind, seen.value):
                found.append(Hit(seen, indicator, how))
    return found


def _named(seen: Observed, table: Table) -> Iterator[tuple[Indicator, str]]:
    kind, value, _ = seen
    if kind == "domain":
        if "domain" in table.has:
            yield from _domain(value, table)
        if "ip" not in table.has and "range" not in table.has:
            return
        if not (value[-1:].isdigit() or ":" in value):
            return
        kind = "ip"  # a URL's host may be an address
    if kind == "ip":
        if "ip" in table.has:
            yield from ((each, "") for each in table.find(value))
        if "range" in table.has:
            yield from ((each, "range") for each in table.around(value))
    elif kind in table.has:
        yield from ((each, "") for each in table.find(value))


def _domain(name: str, table: Table) -> Iterator[tuple[Indicator, str]]:
    """The name itself and the domains above it."""
    labels = name.split(".")
    if len(labels) > MAX_LABELS:
        name = ".".join(labels[-MAX_LABELS:])
    how = ""
    for parent in parents(name):
        for each in table.find(parent):
            if each.kind == "domain":
                yield each, how
        how = "subdomain"
