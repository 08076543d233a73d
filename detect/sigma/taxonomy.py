"""Which logsources an event belongs to, and where Sigma's field names live in it.

The knowledge is data: `detect/taxonomy/*.yml`. Each entry names a logsource, the conditions
(`when`, a Sigma detection over ECS fields) that make an event belong to it, and the field map.
An event belongs to the set of all entries whose conditions hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, NamedTuple

from sigma.exceptions import SigmaError
from sigma.rule import SigmaDetections

from detect.sigma.compile import Compiler, Unsupported
from detect.sigma.condition import FieldItem, Node
from detect.sigma.event import FieldMap, Mapped, Member, Path, Reader
from detect.sigma.files import Document, parse, read
from detect.sigma.values import fold, text_of
from tocsin.errors import ContentErrors, MappingError, RuleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BUILTIN = FilePath(__file__).parent.parent / "taxonomy"

#: Remembered combinations of the values that decide about logsources; when full it starts anew.
ROUTE_CACHE = 8192
#: A combination with a longer text is not remembered: an attacker chooses some of the values.
MAX_CACHED_TEXT = 256

#: What the deciding fields of an event hold: presence and texts of each.
RouteKey = tuple[tuple[bool, tuple[str, ...]], ...]

_ENTRY_KEYS = {"logsource", "when", "fields", "root", "use", "unsupplied"}
_TARGET_KEYS = {"any", "from", "values", "where", "take"}
_LOGSOURCE_KEYS = {"product", "category", "service"}


class Logsource(NamedTuple):
    """Sigma's logsource; an empty part is not specified."""

    product: str = ""
    category: str = ""
    service: str = ""

    @classmethod
    def of(cls, product: str | None, category: str | None, service: str | None) -> Logsource:
        return cls(*((part or "").lower() for part in (product, category, service)))

    def covers(self, other: Logsource) -> bool:
        """Whether every part that this logsource specifies is the other's too."""
        return all(not mine or mine == theirs for mine, theirs in zip(self, other, strict=True))

    def __str__(self) -> str:
        names = zip(("product", "category", "service"), self, strict=True)
        return " ".join(f"{name}={part}" for name, part in names if part)


@dataclass(frozen=True, slots=True)
class Entry:
    """One way for an event to belong to a logsource."""

    logsource: Logsource
    when: Node
    fields: FieldMap
    #: Names that rules use and no event has, with the reason.
    unsupplied: Mapping[str, str] = field(default_factory=dict)


class Taxonomy:
    """All entries; finds those that an event belongs to."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(_shared_maps(entries))
        names = {item.field for entry in entries for item in _items(entry.when)}
        self._deciding = sorted(names)
        self._ecs = FieldMap()
        self._routes: dict[RouteKey, tuple[int, ...]] = {}
        self._bound: dict[Logsource, tuple[int, ...]] = {}

    def bind(self, logsource: Logsource) -> tuple[int, ...]:
        """The entries on whose events a rule of this logsource is evaluated.

        Where entries are exactly the rule's logsource they alone count, because the conditions
        of a narrower entry include those of the wider one; else every entry it covers.
        """
        bound = self._bound.get(logsource)
        if bound is None:
            exact = tuple(i for i, e in enumerate(self.entries) if e.logsource == logsource)
            bound = self._bound[logsource] = exact or tuple(
                i for i, e in enumerate(self.entries) if logsource.covers(e.logsource)
            )
        return bound

    def route(self, event: Mapping[str, Any]) -> tuple[int, ...]:
        """The positions of the entries that the event belongs to, in order."""
        reader = Reader(event, self._ecs)
        fields = [reader.field(name) for name in self._deciding]
        key = tuple((f.present, tuple(value.text for value in f.values)) for f in fields)
        route = self._routes.get(key)
        if route is None:
            route = tuple(
                i for i, entry in enumerate(self.entries) if entry.when.evaluate(reader) is not None
            )
            self._remember(key, route)
        return route

    def _remember(self, key: RouteKey, route: tuple[int, ...]) -> None:
        if any(len(text) > MAX_CACHED_TEXT for _, texts in key for text in texts):
            return
        if len(self._routes) >= ROUTE_CACHE:
            self._routes.clear()
        self._routes[key] = route


def _shared_maps(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Equal field maps become one object, so that an event is read once through each."""
    maps: list[FieldMap] = []
    for entry in entries:
        known = next((m for m in maps if m == entry.fields), None)
        if known is None:
            maps.append(entry.fields)
        yield entry if known is None else replace(entry, fields=known)


def _items(node: Node) -> Iterator[FieldItem]:
    if isinstance(node, FieldItem):
        yield node
    for child in node.children():
        yield from _items(child)


def load_taxonomy(paths: Sequence[FilePath] = (BUILTIN,)) -> Taxonomy:
    """Read the taxonomy files; raises ContentErrors (MappingError with file:line) for all."""
    problems: list[RuleError] = []
    errors: list[MappingError] = []
    entries: list[Entry] = []
    for file in read(paths, problems):
        for document in parse(file, problems):
            entries += _document(document, errors)
    errors += [MappingError(e.message, e.place) for e in problems]
    if errors:
        raise ContentErrors(errors)
    return Taxonomy(entries)


def _document(document: Document, errors: list[MappingError]) -> list[Entry]:
    content = document.content
    entries: list[Entry] = []
    if unknown := set(content) - {"logsources", "fields"}:
        errors.append(
            MappingError(
                f"unknown key '{min(map(str, unknown))}'",
                document.place(min(map(str, unknown))),
                "a taxonomy file has logsources and fields",
            )
        )
    shared = content.get("fields") or {}
    for index, entry in enumerate(content.get("logsources") or ()):
        try:
            entries.append(_entry(entry, shared))
        except (ValueError, SigmaError, Unsupported) as error:
            errors.append(MappingError(str(error), document.place("logsources", index)))
    return entries


def _entry(entry: Any, shared: Any) -> Entry:
    if not isinstance(entry, dict) or not {"logsource", "when"} <= set(entry):
        raise ValueError(
            "an entry has logsource and when, and may have use, fields, root and unsupplied"
        )
    if unknown := set(entry) - _ENTRY_KEYS:
        raise ValueError(f"unknown key '{min(map(str, unknown))}'")
    logsource = entry["logsource"]
    if not isinstance(logsource, dict) or not logsource or not set(logsource) <= _LOGSOURCE_KEYS:
        raise ValueError("logsource has product, category, service, at least one")
    return Entry(
        Logsource.of(*(logsource.get(part) for part in ("product", "category", "service"))),
        membership(entry["when"]),
        FieldMap(_fields(entry, shared), tuple(_names(entry.get("root", []), "root"))),
        _unsupplied(entry.get("unsupplied") or {}),
    )


def _unsupplied(names: Any) -> dict[str, str]:
    if not isinstance(names, dict) or not all(isinstance(why, str) for why in names.values()):
        raise ValueError("unsupplied says of each name why no event has it")
    return {str(name): why for name, why in names.items()}


def membership(definition: Any) -> Node:
    """The condition of an entry, a Sigma selection over ECS fields.

    Raises ValueError (SigmaError is one) for what is none, or looks for keywords.
    """
    detections = SigmaDetections.from_dict({"when": definition, "condition": "when"})
    node = Compiler(detections, {}).condition()
    if not all(isinstance(leaf, FieldItem) for leaf in _leaves(node)):
        raise ValueError("when compares fields; keywords are not allowed there")
    return node


def _leaves(node: Node) -> Iterator[Node]:
    children = node.children()
    if not children:
        yield node
    for child in children:
        yield from _leaves(child)


def _fields(entry: dict[str, Any], shared: Any) -> dict[str, Mapped]:
    """The entry's own fields over those of the groups that it uses."""
    fields: dict[str, Mapped] = {}
    groups = [*_names(entry.get("use", []), "use")]
    for name in groups:
        if not isinstance(shared, dict) or name not in shared:
            raise ValueError(f"use names the group '{name}', which fields does not define")
        fields |= _mapping(shared[name])
    return fields | _mapping(entry.get("fields") or {})


def _mapping(fields: Any) -> dict[str, Mapped]:
    if not isinstance(fields, dict):
        raise ValueError("fields maps Sigma names to paths")
    return {str(name): _mapped(str(name), target) for name, target in fields.items()}


_FORMS = "write a path, a list of paths (first present), any: [paths] or from: [paths]"


def _mapped(name: str, target: Any) -> Mapped:
    if not isinstance(target, dict):
        return Mapped(_paths(target, name))
    union = "any" in target
    if len(target.keys() & {"any", "from"}) != 1 or not target.keys() <= _TARGET_KEYS:
        raise ValueError(f"{name}: {_FORMS}, the last two also with values, or with where and take")
    paths = _paths(target["any" if union else "from"], name)
    return Mapped(paths, union, _values(name, target.get("values", {})), _member(name, target))


def _values(name: str, values: Any) -> dict[str, str]:
    if not isinstance(values, dict) or not all(isinstance(each, str) for each in values.values()):
        raise ValueError(f"{name}: values says by which text Sigma calls each value of events")
    return {fold(text_of(raw)): each for raw, each in values.items()}


def _member(name: str, target: dict[str, Any]) -> Member | None:
    match target.get("where"), target.get("take"):
        case None, None:
            return None
        case {**where}, str(take) if len(where) == 1:
            ((key, wanted),) = where.items()
            return Member(str(key), fold(text_of(wanted)), take)
        case _:
            raise ValueError(f"{name}: where is one key and its value, take the value's key")


def _paths(value: Any, name: str) -> tuple[Path, ...]:
    """One path or several; a path is dotted text, or a list of keys where one has dots itself."""
    given = value if isinstance(value, list) else [value]
    if not given:
        raise ValueError(f"{name}: no path is given")
    return tuple(_path(each, name) for each in given)


def _path(value: Any, name: str) -> Path:
    if isinstance(value, list):
        keys = tuple(_names(value, name))
        return Path(".".join(keys), keys)
    (path,) = _names(value, name)
    return Path.of(path)


def _names(value: Any, what: str) -> list[str]:
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{what} must be a name or a list of names")
    return names
