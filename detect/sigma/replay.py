"""Correlations the slow and obvious way: all events in memory, every window looked at.

Rule tests use it, and it is what faster correlators are compared with. `hits` of a correlation
are the events that completed a window.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detect.model import Correlation
    from detect.sigma.event import Reader
    from detect.sigma.ruleset import RuleSet


class Occurrence(NamedTuple):
    """A rule (or correlation) was satisfied at `at` (ms) by the event at position `event`."""

    at: int
    event: int


class _Member(NamedTuple):
    at: int
    event: int
    rule: str
    value: str


Group = tuple[tuple[str, str], ...]


#: Reads a field of what happened: of an event, or of a correlation's group.
Read = Callable[[str], tuple[str, ...]]
Happened = list[tuple[Occurrence, Read]]


def replay(
    ruleset: RuleSet, events: Sequence[tuple[int, Mapping[str, Any]]]
) -> dict[str, list[Occurrence]]:
    """What each rule and correlation of the set makes of `events` ((ms, event), any order)."""
    happened: dict[str, Happened] = defaultdict(list)
    for position, (at, event) in enumerate(events):
        for match in ruleset.match(event):
            occurrence = Occurrence(at, position)
            happened[match.rule.rule.id].append((occurrence, partial(_texts, match.reader)))
    waiting = list(ruleset.correlations)
    while waiting:
        known = {c.rule.id for c in waiting}
        correlation = next(c for c in waiting if not known & set(c.references))
        waiting.remove(correlation)
        for group, occurrences in _satisfied(correlation, happened).items():
            recall = partial(_recalled, dict(group))
            happened[correlation.rule.id] += [(found, recall) for found in occurrences]
    return {rule: sorted({found for found, _ in hits}) for rule, hits in happened.items() if hits}


def _texts(reader: Reader, name: str) -> tuple[str, ...]:
    return tuple(value.text for value in reader.field(name).values)


def _recalled(group: dict[str, str], name: str) -> tuple[str, ...]:
    return (group[name],) if name in group else ()


def _aliased(correlation: Correlation, rule: str, read: Read, name: str) -> tuple[str, ...]:
    return read(correlation.aliases.get(name, {}).get(rule, name))


def _satisfied(
    correlation: Correlation, happened: Mapping[str, Happened]
) -> dict[Group, list[Occurrence]]:
    groups: dict[Group, set[_Member]] = defaultdict(set)
    for rule in dict.fromkeys(correlation.references):
        for (at, event), read in happened.get(rule, []):
            aliased = partial(_aliased, correlation, rule, read)
            for values in product(*map(aliased, correlation.group_by)):
                group = tuple(zip(correlation.group_by, values, strict=True))
                for value in _counted(correlation, rule, event, aliased):
                    groups[group].add(_Member(at, event, rule, value))
    return {
        group: [
            Occurrence(m.at, m.event) for m in sorted(members) if _holds(correlation, m, members)
        ]
        for group, members in groups.items()
    }


def _counted(correlation: Correlation, rule: str, event: int, read: Read) -> tuple[str, ...]:
    match correlation.type:
        case "event_count":
            return (str(event),)
        case "value_count":
            return read(correlation.field)
        case _:
            return (rule,)


def _holds(correlation: Correlation, last: _Member, members: set[_Member]) -> bool:
    """Whether the window that ends with `last` satisfies the correlation."""
    window = [m for m in members if last.at - correlation.timespan < m.at <= last.at]
    if correlation.type != "temporal_ordered":
        return len({m.value for m in window}) >= correlation.threshold
    return _chain(correlation.references, last, window)


def _chain(references: Sequence[str], last: _Member, window: list[_Member]) -> bool:
    """Whether the referenced rules happened one after the other, the last of them as `last`."""
    if last.rule != references[-1]:
        return False
    before = last.at
    for reference in reversed(references[:-1]):
        times = [m.at for m in window if m.rule == reference and m.at < before]
        if not times:
            return False
        before = max(times)
    return True
