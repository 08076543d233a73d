"""A small, bounded XML reader: elements as tuples, no document types, no entities of their own.

Events come from strangers: whatever could expand (a DTD, an entity) ends the reading, as does
what is too deep, too long or no XML.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple
from xml.parsers import expat

#: Deepest nesting of elements; Windows' own events have five levels.
MAX_DEPTH = 32

#: Longest text that is read, characters. A full event is at most 64 KB in Windows itself.
MAX_LENGTH = 1_100_000

#: Most elements in one text.
MAX_ELEMENTS = 4_000

#: The last text that could not be read: several formats ask about one text, and to read a broken
#: megabyte takes 20 ms.
_unread: deque[str] = deque(maxlen=1)


class Element(NamedTuple):
    """One element: its name without a prefix, its attributes, its children, its own text."""

    name: str
    attributes: dict[str, str]
    children: list[Element]
    text: list[str]

    def child(self, name: str) -> Element | None:
        """The first child of that name, None if there is none."""
        for child in self.children:
            if child.name == name:
                return child
        return None

    def value(self) -> str:
        """The element's own text."""
        return "".join(self.text)


class _Refused(Exception):
    """What is read has something that no event has."""


def read(text: str) -> Element | None:
    """The root element of `text`, None if it is no XML or more than an event may be."""
    if len(text) > MAX_LENGTH or text in _unread:
        return None
    reader = _Reader()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.data
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except (expat.ExpatError, _Refused):
        _unread.append(text)
        return None
    return reader.top.children[0]


class _Reader:
    """Expat's handlers: a stack of open elements."""

    def __init__(self) -> None:
        self.top = Element("", {}, [], [])
        self.open = [self.top]
        self.count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if len(self.open) > MAX_DEPTH or self.count > MAX_ELEMENTS:
            raise _Refused
        element = Element(name.rpartition(":")[2], attributes, [], [])
        self.open[-1].children.append(element)
        self.open.append(element)

    def end(self, _name: str) -> None:
        self.open.pop()

    def data(self, text: str) -> None:
        self.open[-1].text.append(text)

    def refuse(self, *_declaration: object) -> None:
        raise _Refused
