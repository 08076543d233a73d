"""The values of chosen fields, cut out of an event's JSON text in one pass.

Decoding a whole event costs more than all that rules read of it. A shape is made of the paths that
the rules of a bucket name; what stands there is decoded, everything else is skipped. It takes only
what is plain objects all the way: where a list is on the way it says so, and an event with a flat
dotted name (`{"a.b": 1}`) is refused, and read as a whole by others.
"""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from detect.sigma.event import Path

    Cut = msgspec.Struct
    Getter = Callable[[Cut], Any]
    Row = Callable[[Cut], tuple[Any, ...]]

#: Shapes kept: buckets with the same rules have the same.
SHAPES = 256

#: The value where nothing stands, and where a list is on the way to it.
ABSENT: Any = msgspec.UNSET
LISTED: Any = object()

_Keys = tuple[str, ...]


class _Flat:
    """The type of what must not be there."""


def _refuse(_type: type, _value: Any) -> Any:
    raise ValueError("a flat name")


class Shape:
    """Cuts the values at some paths out of events."""

    def __init__(self, paths: frozenset[_Keys]) -> None:
        """`paths` lead past each other: none is the beginning of another, no key has a dot."""
        names: dict[_Keys, str] = {}
        tree: dict[str, Any] = {}
        for keys in sorted(paths):
            node = tree
            for key in keys[:-1]:
                node = node.setdefault(key, {})
            node[keys[-1]] = None
        flat = [".".join(keys) for keys in sorted(paths) if len(keys) > 1]
        self._decode = msgspec.json.Decoder(_struct(tree, (), names, flat), dec_hook=_refuse).decode
        #: What reads the value at a path out of a cut event, by the path's name; it raises
        #: AttributeError where something else than an object is on the way.
        self.getters: dict[str, Getter] = {
            ".".join(keys): attrgetter(names[keys]) for keys in paths
        }
        self._names = {".".join(keys): names[keys] for keys in paths}

    def cut(self, text: bytes) -> Cut | None:
        """The event's values at the paths; None if it has to be read as a whole."""
        try:
            cut: Cut = self._decode(text)
        except (msgspec.DecodeError, RecursionError):
            return None
        return cut

    def value(self, cut: Cut, path: str) -> Any:
        """The value at a path that has a getter, ABSENT, or LISTED."""
        try:
            return self.getters[path](cut)
        except AttributeError:
            node: Any = cut
            for name in self._names[path].split("."):
                if isinstance(node, list):
                    return LISTED
                node = getattr(node, name, None)
            return ABSENT

    def row(self, paths: Sequence[str]) -> Row:
        """What reads the values at one or more paths at once; raises KeyError for an unknown one.

        It raises AttributeError where something else than an object is on the way.
        """
        first, *others = (self._names[path] for path in paths)
        if others:
            return attrgetter(first, *others)
        one: Getter = attrgetter(first)
        return lambda cut: (one(cut),)


def shape_of(paths: Iterable[Path]) -> Shape:
    """The shape of these paths, without those that it cannot take."""
    given = set(paths)
    # A key with a dot is no step of a dotted name; both may be spelled alike.
    dotted = {path.name for path in given if any("." in key for key in path.keys)}
    plain = {path.keys for path in given if path.name not in dotted}
    inner = {keys[:length] for keys in plain for length in range(1, len(keys))}
    return _shape(frozenset(plain - inner))


_shape = lru_cache(maxsize=SHAPES)(Shape)


def _struct(
    tree: dict[str, Any], at: _Keys, names: dict[_Keys, str], flat: Iterable[str] = ()
) -> type[msgspec.Struct]:
    """The type of the object at `at`; writes to `names` where each leaf is read."""
    fields: list[tuple[str, Any, Any]] = []
    rename: dict[str, str] = {}
    for number, (key, inner) in enumerate(tree.items()):
        name = f"f{number}"
        rename[name] = key
        if inner is None:
            fields.append((name, Any, ABSENT))
            names[(*at, key)] = name
        else:
            made = _struct(inner, (*at, key), names)
            fields.append((name, made | list[msgspec.Raw] | str | None, made()))
            for keys in names:
                if len(keys) > len(at) + 1 and keys[: len(at) + 1] == (*at, key):
                    names[keys] = f"{name}.{names[keys]}"
    for number, key in enumerate(flat):
        rename[f"x{number}"] = key
        fields.append((f"x{number}", _Flat, None))
    return msgspec.defstruct("Cut", fields, rename=rename, frozen=True, gc=False)
