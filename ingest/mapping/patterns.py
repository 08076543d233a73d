"""`Accepted <method> for <user.name> from <source.ip>`: patterns of texts without regex.

A capture in angle brackets takes the shortest text up to what follows it. One whose target is an
address, a port or another number takes only such; `<name:word>` takes no blanks, `<name:rest>`
everything that is left, `<_>` is thrown away. A pattern fits at the start of the text; what
stands behind it may be anything, unless it ends with a capture, which takes the rest.

Everything from one free capture up to the next is an atomic group, so that no text, however
hostile, makes matching slower than its length times the number of captures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.mapping.regexes import MAX_PATTERN, MAX_TEXT, bounded, described
from ingest.mapping.targets import BOOLEAN, DATE, FLOAT, IP, LONG

if TYPE_CHECKING:
    from ingest.mapping.regexes import Regex

_CAPTURE = re.compile(r'<([@$\w][\w.@$-]*(?:\."[^"<>]+")*)?(?::(\w+))?>')

_KINDS = {
    "word": r"\S+",
    "int": r"[+-]?\d+",
    "number": r"[+-]?\d+(?:\.\d+)?",
    "ip": r"[0-9A-Fa-f:.]+(?:%\w+)?",
    "host": r"[\w.:%-]+",
    "hex": r"(?:0[xX])?[0-9A-Fa-f]+",
    "quoted": r'"(?:[^"\\]|\\.)*+"',
    "rest": r".*",
    "text": "",
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A pattern ready to match; `captures` name its groups in order."""

    regex: Regex
    captures: tuple[str, ...]
    word: str


def kind_of(type_: str, path: str) -> str:
    """The kind of a capture that names a target of this type."""
    if type_ == LONG:
        return "int"
    if type_ == FLOAT:
        return "number"
    if path in ("source.ip", "destination.ip", "client.ip", "server.ip"):
        return "host"
    return {IP: "ip", DATE: "text", BOOLEAN: "word"}.get(type_, "text")


def compile_match(text: str, types: dict[str, str]) -> Compiled:
    """The pattern of `match`; `types` gives the kind of captures that are targets.

    Raises ValueError with what is wrong.
    """
    if len(text) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    written: list[str] = []
    captures: list[str] = []
    open_group = False
    at, last_free = 0, False
    for match in _CAPTURE.finditer(text):
        literal = text[at : match.start()]
        if last_free and not literal:
            raise ValueError(f"what ends the capture before {match[0]}? A text must stand between")
        written.append(re.escape(literal))
        name, kind = match[1] or "_", match[2] or types.get(match[1] or "_", "text")
        if kind not in _KINDS:
            raise ValueError(f"{match[0]}: kinds are {', '.join(_KINDS)}")
        at = match.end()
        last_free = kind == "text"
        if last_free and at == len(text):
            kind, last_free = "rest", False
        if last_free or kind == "rest":
            if open_group:
                written.append(")")
            open_group = last_free
            if open_group:
                written.append("(?>")
        body = _KINDS[kind] or ".*?"
        if name == "_":
            written.append(f"(?:{body})")
        else:
            captures.append(name)
            written.append(f"({body})")
    written.append(re.escape(text[at:]))
    if open_group:
        written.append(")")
    tail = text[at:]
    if tail and (tail[-1].isalnum() or tail[-1] == "_"):
        written.append(r"(?!\w)")
    _refuse_doubles(captures)
    head = text.partition("<")[0]
    word = head.partition(" ")[0] if " " in head else ""
    pattern = re.compile("".join(written), re.DOTALL)
    return Compiled(described(pattern, MAX_TEXT), tuple(captures), word)


def compile_regex(text: str) -> Compiled:
    """An author's regular expression: anchored at the start, `__` in a group's name is a dot."""
    regex = bounded(text)
    names = sorted(regex.pattern.groupindex.items(), key=lambda item: item[1])
    if len(names) != regex.pattern.groups:
        raise ValueError(
            "name every group (?P<name>…), or write (?:…) for one that captures nothing"
        )
    captures = tuple(name.replace("__", ".") for name, _ in names)
    return Compiled(regex, captures, literal_word(text))


def literal_word(text: str) -> str:
    """The literal first word of all that a regular expression matches, "" where there is none."""
    from re import _parser  # type: ignore[attr-defined]  # the only parser of this dialect

    parsed = _parser.parse(text)
    if parsed.state.flags & re.IGNORECASE:
        return ""
    word = ""
    for operator, argument in parsed:
        name = str(operator)
        if name == "LITERAL" and argument != ord(" "):
            word += chr(argument)
        elif name != "AT" or word:
            return word if name == "LITERAL" else ""
    return ""


def _refuse_doubles(captures: list[str]) -> None:
    for name in captures:
        if captures.count(name) > 1:
            raise ValueError(f"the capture <{name}> stands here twice")
