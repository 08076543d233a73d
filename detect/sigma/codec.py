"""Compiled conditions as plain JSON values and back, class by class of one table.

A node becomes a list: a short tag and the class's fields in order. Nothing but the classes of the
table is ever made, so a cache file can hold wrong conditions at worst, never code.
"""

from __future__ import annotations

from ipaddress import ip_network
from sys import intern
from typing import TYPE_CHECKING, Any, NamedTuple

from detect.sigma.condition import (
    And,
    Exists,
    FieldItem,
    FieldReference,
    KeywordItem,
    Not,
    Null,
    Or,
)
from detect.sigma.patterns import (
    AnyOf,
    Cidr,
    Compare,
    Number,
    Regex,
    Run,
    Text,
    TimePart,
    Wildcard,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from detect.sigma.condition import Node


class Unencodable(ValueError):
    """The condition holds something that the table does not know."""


class _Form(NamedTuple):
    """How a field of a class is written and read."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _written(part: Any) -> list[Any]:
    try:
        tag, forms = _TAGS[type(part)]
    except KeyError:
        raise Unencodable(f"no form for {type(part).__name__}") from None
    names = part.__dataclass_fields__
    return [tag, *(f.write(getattr(part, n)) for n, f in zip(names, forms, strict=True))]


def _read(encoded: list[Any]) -> Any:
    return _READERS[encoded[0]](encoded)


def _read_all(encoded: list[Any]) -> tuple[Any, ...]:
    return tuple([_READERS[each[0]](each) for each in encoded])


def _reader(made: type, forms: tuple[_Form, ...]) -> Callable[[list[Any]], Any]:
    """Makes an object of the class; a start-up reads a hundred thousand."""
    if all(form is _PLAIN for form in forms):
        return lambda encoded: made(*encoded[1:])
    reads = tuple(form.read for form in forms)
    return lambda encoded: made(
        *[read(value) for read, value in zip(reads, encoded[1:], strict=True)]
    )


def _write_literals(literals: tuple[tuple[int, str], ...]) -> list[Any]:
    return [list(literal) for literal in literals]


def _read_literals(encoded: list[list[Any]]) -> tuple[tuple[int, str], ...]:
    return tuple([(offset, text) for offset, text in encoded])


#: The operators of Text by their numbers.
_OPERATORS = ("", "contains", "startswith", "endswith")

_PLAIN = _Form(_same, _same)
#: Names of selections, fields and modifiers: the same ones in thousands of rules.
_NAME = _Form(_same, intern)
_OPERATOR = _Form(_OPERATORS.index, _OPERATORS.__getitem__)
_TEXTS = _Form(list, tuple)
_PART = _Form(_written, _read)
_PARTS = _Form(lambda parts: [_written(part) for part in parts], _read_all)
_LITERALS = _Form(_write_literals, _read_literals)
_NETWORK = _Form(str, ip_network)

#: Tag → class and the forms of its fields, in the order of the dataclass.
CLASSES: dict[str, tuple[type, tuple[_Form, ...]]] = {
    "&": (And, (_PARTS,)),
    "|": (Or, (_PARTS,)),
    "!": (Not, (_PART,)),
    "f": (FieldItem, (_NAME, _NAME, _NAME, _PARTS, _PLAIN)),
    "k": (KeywordItem, (_NAME, _NAME, _PARTS, _TEXTS, _PLAIN)),
    "null": (Null, ()),
    "exists": (Exists, (_PLAIN,)),
    "ref": (FieldReference, (_NAME, _PLAIN, _PLAIN, _PLAIN)),
    "t": (Text, (_OPERATOR, _PLAIN, _PLAIN)),
    "w": (Wildcard, (_PARTS, _PLAIN, _PLAIN)),
    "run": (Run, (_PLAIN, _LITERALS)),
    "re": (Regex, (_PLAIN,)),
    "n": (Number, (_PLAIN,)),
    "cidr": (Cidr, (_NETWORK,)),
    "cmp": (Compare, (_NAME, _PLAIN)),
    "time": (TimePart, (_NAME, _PLAIN, _NAME)),
    "or": (AnyOf, (_PARTS,)),
}
_TAGS = {made: (tag, forms) for tag, (made, forms) in CLASSES.items()}
_READERS = {tag: _reader(made, forms) for tag, (made, forms) in CLASSES.items()}
_READERS["t"] = lambda encoded: Text(_OPERATORS[encoded[1]], encoded[2], encoded[3])


def encode(node: Node) -> list[Any]:
    """The condition as JSON values; raises Unencodable for what the table does not know."""
    return _written(node)


def decode(encoded: list[Any]) -> Node:
    """The condition that `encode` wrote; raises ValueError, TypeError, KeyError or IndexError for
    anything else.
    """
    node: Node = _read(encoded)
    return node
