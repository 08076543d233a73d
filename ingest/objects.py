"""JSON objects whose keys were seen before: functions that know what such an object holds.

Shippers write few kinds of objects. Of those that are frequent is learned which keys they and the
objects within them have, and which values always are texts or whole numbers; a function of the
mapping is made for that, and gives up on a line that is otherwise. What is remembered here changes
no result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orjson import OPT_STRICT_INTEGER, JSONEncodeError, dumps

from ingest.formats import windows
from ingest.jsontext import MAX_DEPTH
from ingest.mapping.json_lines import compared_paths
from ingest.mapping.recognition import MAX_SHAPES
from ingest.mapping.runner import FREQUENT, class_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.mapping.origin import Origin
    from ingest.mapping.paths import Step
    from ingest.mapping.recognition import Recognizer
    from ingest.mapping.runner import Function, Runner

    Keys = tuple[str, ...]
    #: Path of an object → its keys in order, and the classes of their values.
    Nodes = dict[Keys, dict[str, type]]
    #: What must hold besides the keys, and the functions by source (None: of all sources).
    Known = tuple[Callable[..., bool] | None, dict[str | None, "Variants"]]

#: How often an object is seen before a function is made for the keys of the objects in it.
FREQUENT_VARIANT = 64

#: Most functions made for the objects of one set of keys, and most that are counted.
MAX_VARIANTS = 16
MAX_COUNTED = 256

#: Deepest object within an object, and most of them, whose keys are learned.
MAX_LEVELS = 4
MAX_NODES = 32


def is_canonical(record: dict[str, Any], data: bytes) -> bool:
    """Whether JSON text is just what its object is written as, and has nothing extraordinary.

    No blanks, no key twice, no number that only a few readers can hold, no deep nesting.
    """
    try:
        if dumps(record, option=OPT_STRICT_INTEGER) != data:
            return False
    except JSONEncodeError:
        return False
    return data.count(b"{") + data.count(b"[") <= MAX_DEPTH


def kind_of(value: Any) -> type:
    """What is taken for granted of values like this one: texts, whole numbers, or nothing."""
    return int if value.__class__ is int else class_of(value)


class Variants:
    """The functions for objects with the same keys, by the keys of the objects within them."""

    def __init__(
        self,
        runner: Runner,
        origin: Origin,
        classes: dict[str, type],
        general: Function,
        compared: frozenset[tuple[Step, ...]] | None,
    ) -> None:
        """`classes`: what is known of the values of all of them, for which `general` is made.

        `compared`: the paths whose values decide that such an object is the runner's.
        """
        self.general = general
        self.runner = runner
        self.compared = compared
        self._source = origin.source
        self._classes = classes
        #: The keys whose values are objects, as the first of these objects has them.
        self._inside: Keys | None = None
        self._known: dict[Any, Function] = {}
        self._seen: dict[Any, tuple[int, Nodes]] = {}

    def of(self, record: dict[str, Any]) -> Function | None:
        """The function for objects like this one, None where there is none (yet)."""
        inside = self._inside
        if inside is None:
            found = [name for name, value in record.items() if value.__class__ is dict]
            inside = self._inside = tuple(found)
        key = tuple(
            [tuple(one) if (one := record[name]).__class__ is dict else None for name in inside]
        )
        special = self._known.get(key)
        if special is None and inside and len(self._known) < MAX_VARIANTS:
            self._learn(key, record)
        return special

    def _learn(self, key: Any, record: dict[str, Any]) -> None:
        count, nodes = self._seen.get(key, (0, {}))
        nodes = _common(nodes, nodes_of(record)) if count else nodes_of(record)
        if len(self._seen) >= MAX_COUNTED:
            self._seen.clear()
        self._seen[key] = count + 1, nodes
        if count + 1 < FREQUENT_VARIANT:
            return
        top = nodes.pop((), self._classes)
        sure = {path: kinds for path, kinds in nodes.items() if path[0] in (self._inside or ())}
        self._known[key] = self.runner.canonical(top, self._source, sure)


def nodes_of(record: dict[str, Any]) -> Nodes:
    """Every object within an object, and the object itself at ()."""
    found: Nodes = {}
    level: list[tuple[Keys, dict[str, Any]]] = [((), record)]
    for _ in range(MAX_LEVELS):
        following: list[tuple[Keys, dict[str, Any]]] = []
        for path, node in level:
            if len(found) >= MAX_NODES:
                return found
            found[path] = {name: kind_of(value) for name, value in node.items()}
            following += [
                ((*path, name), value) for name, value in node.items() if value.__class__ is dict
            ]
        level = following
    return found


def _common(one: Nodes, other: Nodes) -> Nodes:
    """What is true of both: objects with the same keys, and classes that are the same."""
    found: Nodes = {}
    for path, kinds in one.items():
        others = other.get(path)
        if others is None or tuple(kinds) != tuple(others) or (path and path[:-1] not in found):
            continue
        found[path] = {
            name: kind if kind is others[name] else object for name, kind in kinds.items()
        }
    return found


class Objects:
    """The functions for objects that are frequent, by their keys."""

    def __init__(self, find: Recognizer, runners: dict[str, Runner]) -> None:
        self._find = find
        self._runners = runners
        self.known: dict[Keys, Known] = {}
        #: How often others were seen, and of which class their values always were.
        self._seen: dict[Keys, tuple[int, dict[str, type]]] = {}

    def learn(self, key: Keys, record: dict[str, Any], origin: Origin) -> Known | None:
        """Count an object; what is known of such objects, once they have become frequent."""
        count, classes = self._seen.get(key, (0, {}))
        kinds = {name: kind_of(value) for name, value in record.items()}
        if count:
            same = {name: kind if kind is classes[name] else object for name, kind in kinds.items()}
            kinds = same
        if count < FREQUENT:
            if len(self._seen) >= MAX_SHAPES:
                self._seen.clear()
            self._seen[key] = count + 1, kinds
            return None
        one = None
        if windows.KEYS.isdisjoint(record):
            one = self._find.by_keys("json", record)
        known: Known = (None, {})
        if one is not None:
            runner = self._runners[one.program.id]
            source = origin.source if runner.by_source else None
            general = runner.canonical(kinds, origin.source)
            compared = compared_paths(one.entry.condition)
            variants = Variants(runner, origin, kinds, general, compared)
            known = (None if one.asks_only_keys else one.rest_holds, {source: variants})
        if len(self.known) >= MAX_SHAPES:
            self.known.clear()
        self.known[key] = known
        return known
