"""Reading a mapping's YAML: plain values, and the line of every one of them.

Scalars follow YAML 1.2 (`yes`, `on` and dates are texts), keys are texts as they are written, a
key twice is a mistake. Aliases are copies; a file has at most MAX_VALUES values with them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from tocsin.errors import MappingError, Place

#: Largest file, bytes; deepest nesting.
MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
#: Most values of a file, aliases counted as what they stand for.
MAX_VALUES = 50_000

KeyPath = tuple[str | int, ...]

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_FLOAT = re.compile(r"[-+]?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?", re.ASCII)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(slots=True)
class Source:
    """A parsed file, where its values stand, and what is wrong with it."""

    path: str
    value: Any = None
    places: dict[KeyPath, int] = field(default_factory=dict)
    errors: list[MappingError] = field(default_factory=list)
    values: int = 0

    def place(self, at: KeyPath) -> Place:
        """The place of the value at `at`, or of its nearest parent that is in the file."""
        found = at
        while found and found not in self.places:
            found = found[:-1]
        return Place(self.path, self.places.get(found, 1), 0, key_text(at))

    def complain(self, at: KeyPath, message: str, suggestion: str = "") -> None:
        """Note a mistake at `at`."""
        self.errors.append(MappingError(message, self.place(at), suggestion))


def key_text(path: KeyPath) -> str:
    """`patterns[2].fields.source.ip`, as people write it."""
    written = ""
    for part in path:
        written += f"[{part}]" if isinstance(part, int) else f".{part}" if written else part
    return written


def read_source(path: str, data: bytes) -> Source:
    """Parse `data`; mistakes are in `errors`."""
    source = Source(path)
    if len(data) > MAX_BYTES:
        source.complain((), f"the file has over {MAX_BYTES} bytes")
        return source
    try:
        text = data.decode("utf-8-sig")
        _check(text)
        source.value = _value(yaml.compose(text, yaml.CSafeLoader), (), source)
    except UnicodeDecodeError as error:
        source.complain((), f"the file is not UTF-8: {error.reason}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(path, mark.line + 1 if mark else 0)
        source.errors.append(MappingError(f"no YAML: {error.problem}", place))
    except (yaml.YAMLError, ValueError) as error:
        source.complain((), f"no YAML: {error}")
    return source


def _check(text: str) -> None:
    """Refuse deep nesting before the tree is built: composing it overflows the C stack."""
    depth = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _value(node: Any, at: KeyPath, source: Source) -> Any:
    if node is None:
        return None
    source.values += 1
    if source.values > MAX_VALUES or len(at) > MAX_DEPTH:
        raise ValueError(f"more than {MAX_VALUES} values, or an alias within itself")
    source.places.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        found = {}
        for key_node, child in node.value:
            key = str(key_node.value)
            here = (*at, key)
            source.places[here] = key_node.start_mark.line + 1
            if key in found:
                source.complain(here, f"the key '{key}' stands here twice")
            found[key] = _value(child, here, source)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, (*at, index), source) for index, child in enumerate(node.value)]
    return _scalar(node)


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style:  # quoted or a block; plain ones have none
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
