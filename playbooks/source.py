"""Reading a playbook's YAML strictly: one meaning per text, and a place for every value.

YAML 1.2 core scalars (`yes`, `on` and dates are text; `0x1F` and `0o17` are numbers), no
duplicate keys, no anchors, aliases or merges, no tags but `!cel`, one document, bounded size.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

import yaml

from tocsin.errors import Place, PlaybookError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Largest file, bytes; deepest nesting; most values.
MAX_BYTES = 256 * 1024
MAX_DEPTH = 24
MAX_VALUES = 20_000

#: Where a value stands in a document: keys and indexes from the top.
KeyPath = tuple[str | int, ...]

#: The key of the JSON form of a `!cel` expression, {"!cel": "text"}.
CEL = "!cel"

_STRING_TAG = "tag:yaml.org,2002:str"
_STRUCTURE_TAGS = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+", re.ASCII)
_BASE = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("null", "Null", "NULL", "~", "")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(slots=True)
class Source:
    """A parsed file: plain values (`!cel x` as {"!cel": "x"}), places, and what is wrong."""

    path: str
    value: Any = None
    places: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    errors: list[PlaybookError] = field(default_factory=list)

    def place(self, at: KeyPath) -> Place:
        """The place of the value at `at`, or of its nearest parent that is in the file."""
        found = at
        while found and found not in self.places:
            found = found[:-1]
        line, column = self.places.get(found, (0, 0))
        return Place(self.path, line, column, key_text(at))

    def complain(self, at: KeyPath, message: str, suggestion: str = "") -> None:
        """Note a mistake at `at`."""
        self.errors.append(PlaybookError(message, self.place(at), suggestion))


def key_text(path: KeyPath) -> str:
    """`steps[2].with.ip`, as people write a key path."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_source(path: str, data: bytes) -> Source:
    """Parse `data`; mistakes are in `errors` (all of them, unless the text is no YAML)."""
    source = Source(path)
    try:
        text = _text(data)
        _check_events(text)
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except _Refused as refused:
        place = Place(path, refused.line, refused.column)
        source.errors.append(PlaybookError(refused.message, place))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(path, mark.line + 1, mark.column + 1) if mark else Place(path)
        problem = error.problem or error.context or "unreadable"
        source.errors.append(PlaybookError(f"this is no YAML: {problem}", place))
    except yaml.YAMLError as error:
        source.errors.append(PlaybookError(f"this is no YAML: {error}", Place(path)))
    else:
        if root is None:
            source.errors.append(PlaybookError("the file is empty", Place(path)))
        else:
            source.value = _build(source, root, ())
    return source


class _Refused(Exception):
    """YAML, but not the YAML that playbooks are written in."""

    def __init__(self, message: str, event: yaml.Event | None = None) -> None:
        self.message = message
        mark = event.start_mark if event else None
        self.line = mark.line + 1 if mark else 0
        self.column = mark.column + 1 if mark else 0
        super().__init__(message)


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _Refused(f"a playbook has at most {MAX_BYTES} bytes, this file has {len(data)}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].rpartition(b"\n")
        refused = _Refused(f"the file is not UTF-8 (byte {error.start})")
        refused.line = data.count(b"\n", 0, error.start) + 1
        refused.column = len(before[2].decode("utf-8")) + 1
        raise refused from None


def _check_events(text: str) -> None:
    """Refuse what the tree would hide or could not hold: aliases, depth, count, documents."""
    depth = values = documents = 0
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _Refused("a file holds one playbook; put the next in its own file", event)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Refused("anchors and aliases are not allowed; write the value out", event)
        if isinstance(event, yaml.NodeEvent):
            values += 1
            if values > MAX_VALUES:
                raise _Refused(f"a playbook has at most {MAX_VALUES} values", event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _Refused(f"values nest at most {MAX_DEPTH} deep", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _mark(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _build(source: Source, node: yaml.Node, at: KeyPath) -> Any:
    source.places.setdefault(at, _mark(node))
    if isinstance(node, yaml.ScalarNode):
        return _scalar(source, node, at)
    if node.tag not in _STRUCTURE_TAGS:
        _complain_tag(source, node, at)
    if isinstance(node, yaml.SequenceNode):
        return [_build(source, item, (*at, index)) for index, item in enumerate(node.value)]
    return _mapping(source, node, at)


def _mapping(source: Source, node: yaml.Node, at: KeyPath) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _STRING_TAG:
            source.places[(*at, "?")] = _mark(key_node)
            source.complain((*at, "?"), "a key is plain text")
            continue
        key = str(key_node.value)
        where = (*at, key)
        if key in built:
            first = source.places[where][0]
            source.places[where] = _mark(key_node)
            source.complain(where, f"the key '{key}' is there already, in line {first}")
            continue
        source.places[where] = _mark(key_node)
        if key in (CEL, "<<"):
            source.complain(where, f"'{key}' cannot be a key")
        built[key] = _build(source, value_node, where)
    return built


def _scalar(source: Source, node: yaml.ScalarNode, at: KeyPath) -> Any:
    text = str(node.value)
    if node.tag == CEL:
        return {CEL: text}
    if node.tag != _STRING_TAG:
        _complain_tag(source, node, at)
        return text
    return text if node.style is not None else _plain(source, text, at)


def _plain(source: Source, text: str, at: KeyPath) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return _integer(source, text, 10, at)
    if _BASE.fullmatch(text):
        return _integer(source, text, 0, at)
    if _LEADING_ZERO.fullmatch(text):
        source.complain(at, f"{text} can be read as octal or decimal", "quote it or drop the zero")
        return text
    if _NOT_FINITE.fullmatch(text):
        source.complain(at, f"{text} is no number that JSON has", "quote it if it is text")
        return text
    if not _FLOAT.fullmatch(text):
        return text
    number = float(text)
    if not isfinite(number):
        source.complain(at, f"{text[:30]} is too large for a number", "quote it if it is text")
        return text
    return number


def _integer(source: Source, text: str, base: int, at: KeyPath) -> int | str:
    if len(text) > 20 or not -(2**63) <= (number := int(text, base)) < 2**63:
        source.complain(at, f"{text[:30]} does not fit in 64 bits", "quote it if it is text")
        return text
    return number


def _complain_tag(source: Source, node: yaml.Node, at: KeyPath) -> None:
    source.complain(at, f"the tag {node.tag} is not allowed", "only !cel before text is")


def mistakes(sources: Sequence[Source]) -> list[PlaybookError]:
    """All mistakes of all files, in the order of files and lines."""
    return [
        error
        for source in sources
        for error in sorted(source.errors, key=lambda e: (e.place.line, e.place.column))
    ]
