"""Reading an event by Sigma's field names: a field map says where each name lives."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from detect.sigma.values import Value, fold, spread, text_of, value

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Roots of an event that describe how it was handled, not what the log said: no keyword looks
#: there, or the rule "keywords: nginx" would match every event of the data set nginx.access.
NOT_LOG_TEXT = frozenset(
    {"@timestamp", "agent", "ecs", "event", "log", "observer", "related", "tocsin"}
)


#: No other names for values.
NOTHING: Mapping[str, str] = MappingProxyType({})


class Path(NamedTuple):
    """A place in a nested document: its dotted name and the keys on the way."""

    name: str
    keys: tuple[str, ...]

    @classmethod
    def of(cls, name: str) -> Path:
        return cls(name, tuple(name.split(".")))


class Field(NamedTuple):
    """What an event holds in a field: whether the key is there, its non-null values, the place."""

    present: bool
    values: tuple[Value, ...]
    path: str


class Member(NamedTuple):
    """A member of a list of names and values: `key` holds `name` (folded), `take` the value."""

    key: str
    name: str
    take: str

    def of(self, nodes: list[Any]) -> list[Any]:
        """The values of the members that have the name."""
        return [
            node[self.take]
            for node in spread(nodes)
            if isinstance(node, dict)
            and self.take in node
            and fold(text_of(node.get(self.key))) == self.name
        ]


class Mapped(NamedTuple):
    """Where a Sigma field lives: the first path that is present, or (`union`) all of them.

    `values` says what Sigma calls a value that events call otherwise, folded text by text;
    `member` picks it out of the lists at the paths.
    """

    paths: tuple[Path, ...]
    union: bool = False
    values: Mapping[str, str] = NOTHING
    member: Member | None = None

    @property
    def plain(self) -> bool:
        """Whether the field is just what stands at the first path that is present."""
        return not self.union and not self.values and self.member is None

    def told(self, found: Value) -> Value:
        """The value as Sigma calls it."""
        name = self.values.get(found.folded)
        return found if name is None else value(name)


@dataclass(slots=True)
class FieldMap:
    """Sigma field name → places in the event.

    A name that is not mapped is looked for below `roots` in order, then at the top of the event,
    under the same dotted name.
    """

    fields: Mapping[str, Mapped] = field(default_factory=dict)
    roots: tuple[str, ...] = ()
    _fallback: dict[str, Mapped] = field(default_factory=dict, repr=False)

    def places(self, name: str) -> Mapped:
        """Where `name` lives."""
        mapped = self.fields.get(name)
        if mapped is not None:
            return mapped
        mapped = self._fallback.get(name)
        if mapped is None:
            names = [f"{root}.{name}" for root in self.roots] + [name]
            mapped = self._fallback[name] = Mapped(tuple(map(Path.of, names)))
        return mapped


def find(event: Mapping[str, Any], path: Path) -> list[Any]:
    """Everything at `path`, lists on the way opened; [] if the key is nowhere.

    A document that has the dotted name as one flat key is read too.
    """
    if len(path.keys) > 1 and path.name in event:
        return [event[path.name]]
    node: Any = event
    for depth, key in enumerate(path.keys):
        if isinstance(node, dict):
            if key not in node:
                return []
            node = node[key]
        else:
            return _find_in([node], path.keys[depth:])
    return [node]


def _find_in(nodes: list[Any], keys: tuple[str, ...]) -> list[Any]:
    for key in keys:
        nodes = [n[key] for n in spread(nodes) if isinstance(n, dict) and key in n]
        if not nodes:
            return nodes
    return nodes


class Reader:
    """One event read through one field map; every field is looked up once."""

    __slots__ = ("_event", "_leaves", "_map", "_text", "fields")

    def __init__(self, event: Mapping[str, Any], field_map: FieldMap) -> None:
        self._event = event
        self._map = field_map
        #: What was read so far, by Sigma's name.
        self.fields: dict[str, Field] = {}
        self._leaves: tuple[tuple[str, Value], ...] | None = None
        self._text: str | None = None

    @property
    def event(self) -> Mapping[str, Any]:
        """The event."""
        return self._event

    def _nodes(self, path: Path) -> list[Any]:
        return find(self._event, path)

    def field(self, name: str) -> Field:
        """What the event holds in the Sigma field `name`."""
        found = self.fields.get(name)
        if found is None:
            found = self.fields[name] = self._read(self._map.places(name))
        return found

    def _read(self, mapped: Mapped) -> Field:
        present, where, values = False, mapped.paths[0].name, list[Value]()
        for path in mapped.paths:
            nodes = self._nodes(path)
            if mapped.member is not None:
                nodes = mapped.member.of(nodes)
            if not nodes:
                continue
            more = [value(node) for node in spread(nodes) if node is not None]
            if mapped.values:
                more = [mapped.told(each) for each in more]
            if not present or (more and not values):
                where = path.name
            present = True
            values += more
            if values and not mapped.union:
                break
        return Field(present, tuple(values), where)

    def leaves(self) -> tuple[tuple[str, Value], ...]:
        """What the log said, for keywords: event.original, then every text and number."""
        if self._leaves is None:
            self._leaves = tuple(_leaves(self.event))
        return self._leaves

    def text(self) -> str:
        """All leaves in one folded text: what is not in it is in none of them."""
        if self._text is None:
            self._text = "\n".join(value.folded for _, value in self.leaves())
        return self._text


def _leaves(event: Mapping[str, Any]) -> list[tuple[str, Value]]:
    found: list[tuple[str, Value]] = []
    inner = event.get("event")
    if isinstance(inner, dict) and isinstance(inner.get("original"), str):
        found.append(("event.original", value(inner["original"])))
    pending = [(name, node) for name, node in event.items() if name not in NOT_LOG_TEXT][::-1]
    while pending:
        name, node = pending.pop()
        if isinstance(node, dict):
            pending.extend((f"{name}.{key}", node[key]) for key in reversed(node))
        elif isinstance(node, list):
            pending.extend((name, element) for element in reversed(node))
        elif node is not None:
            found.append((name, value(node)))
    return found
