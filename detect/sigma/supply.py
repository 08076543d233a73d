"""Which fields the rules ask for, and where events have them.

A field of a rule reaches an event in one of three ways: the taxonomy maps its name, or it is
looked for below the vendor's own root under the same name, or it is an ECS name itself. What is
none of these no event can have, nor what the taxonomy lists as unsupplied; a rule may still match
without it. Whether a vendor's event really has a name below its root only events can tell:
`seen_in` asks them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple

from detect.sigma.condition import FieldReference
from detect.sigma.event import Reader
from detect.sigma.routing import items

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from detect.sigma.condition import Node
    from detect.sigma.ruleset import RuleSet
    from detect.sigma.taxonomy import Entry, Logsource

#: How a field reaches events: by a mapping, below a vendor's root, as an ECS name, or not at all.
Supply = Literal["mapped", "root", "ecs", "none"]

#: ECS fields without a dot.
_TOP = frozenset({"message", "tags"})

_ORDER: tuple[Supply, ...] = ("mapped", "root", "ecs", "none")


class FieldUse(NamedTuple):
    """A field that rules of one logsource use: by how many, and how events supply it.

    `places` are where it is looked for, `reason` says why nothing supplies it. `seen` counts the
    events in which it was found, None where no events were asked.
    """

    logsource: str
    field: str
    rules: int
    supply: Supply
    places: tuple[str, ...]
    reason: str = ""
    seen: int | None = None


def field_uses(ruleset: RuleSet) -> list[FieldUse]:
    """Every field of every rule, by logsource and name; rules that speak ECS are left out."""
    used: dict[tuple[Logsource, str], set[str]] = defaultdict(set)
    for rule in ruleset.rules:
        if rule.fields is None:
            for name in _names(rule.condition):
                used[rule.logsource, name].add(rule.rule.id)
    return [
        _use(ruleset, logsource, name, len(rules))
        for (logsource, name), rules in sorted(used.items())
    ]


def seen_in(
    ruleset: RuleSet, uses: Sequence[FieldUse], events: Iterable[Mapping[str, Any]]
) -> list[FieldUse]:
    """The uses with the number of `events` that had each field where its rules looked for it."""
    logsources = {str(rule.logsource): rule.logsource for rule in ruleset.rules}
    wanted: dict[int, list[int]] = defaultdict(list)
    for number, use in enumerate(uses):
        for position in ruleset.taxonomy.bind(logsources[use.logsource]):
            wanted[position].append(number)
    seen = [0] * len(uses)
    for event in events:
        found: set[int] = set()
        for position in ruleset.taxonomy.route(event):
            reader = Reader(event, ruleset.taxonomy.entries[position].fields)
            found.update(n for n in wanted.get(position, ()) if reader.field(uses[n].field).values)
        for number in found:
            seen[number] += 1
    return [use._replace(seen=count) for use, count in zip(uses, seen, strict=True)]


def _names(condition: Node) -> Iterator[str]:
    for item in items(condition):
        yield item.field
        for expectation in item.expectations:
            if isinstance(expectation, FieldReference):
                yield expectation.other


def _use(ruleset: RuleSet, logsource: Logsource, name: str, rules: int) -> FieldUse:
    entries = [ruleset.taxonomy.entries[p] for p in ruleset.taxonomy.bind(logsource)]
    supply = min((_supply(entry, name) for entry in entries), key=_ORDER.index)
    reasons = [entry.unsupplied[name] for entry in entries if name in entry.unsupplied]
    if supply == "none" and not reasons:
        reasons = ["no mapping has it, and it is no ECS name"]
    places = dict.fromkeys(
        path.name
        for entry in entries
        if _supply(entry, name) == supply
        for path in entry.fields.places(name).paths
    )
    return FieldUse(
        str(logsource), name, rules, supply, tuple(places), reasons[0] if supply == "none" else ""
    )


def _supply(entry: Entry, name: str) -> Supply:
    if name in entry.unsupplied:
        return "none"
    if name in entry.fields.fields:
        return "mapped"
    if entry.fields.roots:
        return "root"
    return "ecs" if "." in name or name in _TOP else "none"


def unsupplied(ruleset: RuleSet) -> list[FieldUse]:
    """The fields that rules use and no event can have."""
    return [use for use in field_uses(ruleset) if use.supply == "none"]
