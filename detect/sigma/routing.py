"""Sorting events into buckets: those of one bucket belong to the same logsources.

The key of a bucket is made of what an event has in a few fields: those that the taxonomy decides
by, and those that name a kind of event. A value that no rule and no logsource asks for is replaced
by `OTHER`, so that the number of buckets does not depend on what a log (or an attacker) writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detect.sigma.condition import Exists, FieldItem, Null
from detect.sigma.event import Path, find
from detect.sigma.values import fold, spread, text_of
from detect.sigma.witness import Known, compared, equality
from tocsin.route import MAX_TOLD, ROUTE_FIELDS, ROUTE_PRESENCE, UNTOLD, routed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from detect.sigma.condition import Expectation, Node
    from detect.sigma.ruleset import RuleSet

#: A value that nothing is compared with.
OTHER = UNTOLD
#: Fields that name a kind of event: rules compare them with few values.
KINDS = (
    "event.code",
    "event.action",
    "event.outcome",
    "event.provider",
    "winlog.channel",
    "winlog.provider_name",
)
#: Fields that rules compare with more values than that name no kind of event: they decide about
#: logsources only.
MAX_VALUES = 2_000

#: Remembered combinations of raw values; when full it starts anew.
CACHE = 16_384
#: A longer header is not remembered.
MAX_HEADER = 1_024
#: A value that is longer is not remembered: an attacker chooses some of them.
MAX_CACHED = 128

#: One part for each field: None where the field is absent, else its folded texts or OTHER.
BucketKey = tuple[tuple[str, ...] | None, ...]

_ABSENT = object()


class Router:
    """Finds the bucket of an event."""

    def __init__(self, ruleset: RuleSet) -> None:
        deciding = [item for entry in ruleset.taxonomy.entries for item in items(entry.when)]
        names = dict.fromkeys([*KINDS, *(item.field for item in deciding)])
        self._paths = tuple(Path.of(name) for name in names)
        routed: dict[str, set[str]] = {name: set() for name in names}
        self._open: set[str] = set()
        for item in deciding:
            routed[item.field] |= _equals(item)
            if not all(_simple(expectation) for expectation in item.expectations):
                self._open.add(item.field)
        ruled = _ruled(ruleset, names)
        self._told = {
            name for name in names if len(ruled[name]) <= MAX_VALUES and name not in ROUTE_PRESENCE
        }
        self._named = tuple(
            frozenset(routed[name] | ruled[name] if name in self._told else routed[name])
            for name in names
        )
        self._keys: dict[tuple[Any, ...], BucketKey] = {}
        self._headers: dict[bytes, BucketKey] = {}
        self._covered = all(
            name in ROUTE_FIELDS or (name in ROUTE_PRESENCE and not known)
            for name, known in zip(names, self._named, strict=True)
        ) and not any(len(text) > MAX_TOLD for known in self._named for text in known)
        self._flat = frozenset(name for name in names if "." in name)
        roots: dict[str, list[tuple[tuple[str, ...], bool]]] = {}
        for path, named in zip(self._paths, self._named, strict=True):
            told = bool(named) or path.name in self._open
            roots.setdefault(path.keys[0], []).append((path.keys[1:], told))
        self._leaves = tuple((root, tuple(leaves)) for root, leaves in roots.items())

    def key(self, event: Mapping[str, Any]) -> BucketKey:
        """The event's bucket."""
        raw = self._raw(event)
        key = self._keys.get(raw) if raw is not None else None
        if key is None:
            key = tuple(
                [
                    self._part(event, path, named)
                    for path, named in zip(self._paths, self._named, strict=True)
                ]
            )
            if raw is not None:
                if len(self._keys) >= CACHE:
                    self._keys.clear()
                self._keys[raw] = key
        return key

    def routed(self, header: bytes) -> BucketKey | None:
        """The bucket by a record's header `route`; None if that does not tell everything."""
        key = self._headers.get(header)
        if key is None and self._covered:
            event = routed(header)
            if event is None:
                return None
            key = self.key(event)
            if len(self._headers) >= CACHE:
                self._headers.clear()
            if len(header) <= MAX_HEADER:
                self._headers[header] = key
        return key

    def _raw(self, event: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """The values that decide, as they are; None if they are not worth remembering."""
        if not self._flat.isdisjoint(event):
            return None
        raw: list[Any] = []
        for root, leaves in self._leaves:
            body = event.get(root)
            for leaf, named in leaves:
                value = body
                for name in leaf:
                    if value.__class__ is not dict:
                        if value.__class__ is list:
                            return None
                        value = _ABSENT
                        break
                    value = value.get(name, _ABSENT)
                if value.__class__ is str:
                    if not named:
                        value = OTHER
                    elif len(value) > MAX_CACHED:
                        return None
                elif value.__class__ is list:
                    value = tuple(value)
                    if not all(each.__class__ is str and len(each) <= 64 for each in value):
                        return None
                elif value.__class__ is dict:
                    return None
                raw.append(value)
        return tuple(raw)

    def _part(
        self, event: Mapping[str, Any], path: Path, named: frozenset[str]
    ) -> tuple[str, ...] | None:
        nodes = find(event, path)
        if not nodes:
            return None
        texts = [fold(text_of(node)) for node in spread(nodes) if node is not None]
        if path.name in self._open:
            return tuple(texts)
        return tuple([text if text in named else OTHER for text in texts])

    def known(self, key: BucketKey) -> Known:
        """What the bucket's events have in common."""
        return Known(
            {
                path.name: _texts(part)
                for path, part in zip(self._paths, key, strict=True)
                if path.name in self._told and not _mixed(part)
            }
        )


def _mixed(part: tuple[str, ...] | None) -> bool:
    """Whether of several values only some are known."""
    return part is not None and OTHER in part and any(text != OTHER for text in part)


def _texts(part: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if part is None:
        return ()
    return None if OTHER in part else part


def _equals(item: FieldItem) -> set[str]:
    """The values that the item compares with for equality, folded."""
    return {
        fold(text)
        for expectation in item.expectations
        if equality(expectation)
        for text in compared(expectation)
    }


def _simple(expectation: Expectation) -> bool:
    return equality(expectation) or isinstance(expectation, Exists | Null)


def _ruled(ruleset: RuleSet, names: Collection[str]) -> dict[str, set[str]]:
    """The values that rules compare with, by the field where those live."""
    ruled: dict[str, set[str]] = {name: set() for name in names}
    for fields, rule in ruleset.pairs(range(len(ruleset.taxonomy.entries))):
        for item in items(rule.condition):
            for path in fields.places(item.field).paths:
                if path.name in ruled:
                    ruled[path.name] |= _equals(item)
    return ruled


def items(node: Node) -> Iterator[FieldItem]:
    """The comparisons of a condition."""
    if isinstance(node, FieldItem):
        yield node
    for child in node.children():
        yield from items(child)
