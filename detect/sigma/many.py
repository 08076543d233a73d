"""Many texts looked for in one value at once: a rule may list a hundred thousand.

One by one they cost a pass over the value each, half a minute on a megabyte; together one pass.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from detect.sigma.condition import And, FieldItem, Hits, Node, Not, Or
from detect.sigma.patterns import Text
from detect.sigma.scanner import scanner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detect.sigma.event import Reader
    from detect.sigma.scanner import Scanner

#: From so many texts on one pass for all of them is faster than one for each.
MANY = 32


class Texts:
    """Folded texts, to be found in folded values; may be used in several threads."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._first = {text: at for at, text in reversed(list(enumerate(texts)))}
        self._unique = [text for text in self._first if text]
        self._own = threading.local()

    def found(self, subject: str) -> list[int]:
        """The places of the texts that are in `subject`, in order; of equal ones the first."""
        found = {self._first[self._unique[number]] for number in self._scanned(subject)}
        if "" in self._first:
            found.add(self._first[""])
        return sorted(found)

    def any_in(self, subject: str) -> bool:
        """Whether one of the texts is in `subject`."""
        return "" in self._first or bool(self._scanned(subject))

    def _scanned(self, subject: str) -> set[int]:
        scan: Scanner | None = getattr(self._own, "scan", None)
        if scan is None:
            literals = [text.encode("utf-8", "surrogatepass") for text in self._unique]
            scan = self._own.scan = scanner(literals, once=True) or _nothing
        return {number for _, number in scan(subject.encode("utf-8", "surrogatepass"))}


@lru_cache(maxsize=512)
def texts_of(texts: tuple[str, ...]) -> Texts:
    """The same for equal texts: they take seconds to prepare where they are very many."""
    return Texts(texts)


def _nothing(_text: bytes) -> list[tuple[int, int]]:
    return []


def explainer(node: Node) -> Callable[[Reader], Hits | None]:
    """What `node.evaluate` says, in one pass over a value where an item has many texts."""
    texts: dict[int, Texts] = {}
    _collect(node, texts)
    if not texts:
        return node.evaluate
    return lambda reader: _reduced(node, texts, reader).evaluate(reader)


def _is_many(item: FieldItem) -> bool:
    return (
        len(item.expectations) > MANY
        and not item.every
        and all(
            isinstance(each, Text) and each.operator == "contains" and not each.cased
            for each in item.expectations
        )
    )


def _collect(node: Node, texts: dict[int, Texts]) -> None:
    if isinstance(node, FieldItem) and _is_many(node):
        listed = tuple(each.text for each in node.expectations if isinstance(each, Text))
        texts[id(node)] = texts_of(listed)
    for child in node.children():
        _collect(child, texts)


def _reduced(node: Node, texts: dict[int, Texts], reader: Reader) -> Node:
    """The condition with only those of many texts that the event has; it decides the same."""
    match node:
        case FieldItem() if id(node) in texts:
            values = reader.field(node.field).values
            places = {at for value in values for at in texts[id(node)].found(value.folded)}
            kept = tuple(node.expectations[at] for at in sorted(places))
            return FieldItem(node.selection, node.field, node.modifiers, kept)
        case And(parts=parts):
            return And(tuple(_reduced(part, texts, reader) for part in parts))
        case Or(parts=parts):
            return Or(tuple(_reduced(part, texts, reader) for part in parts))
        case Not(part=part):
            return Not(_reduced(part, texts, reader))
        case _:
            return node
