"""Conditions of CACAO (comparisons of variables, in the manner of STIX patterns) as CEL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Longest condition that is read, characters.
MAX_CONDITION = 2000

_TOKEN = re.compile(
    r"\s*(?:(?P<variable>\$?__[a-zA-Z][\w-]*?__(?::value)?)(?![\w-])"
    r"|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<number>[-+]?\d+(?:\.\d+)?)"
    r"|(?P<operator>==|!=|<>|<=|>=|=|<|>|\(|\)|\[|\]|&&|\|\||!)"
    r"|(?P<word>[A-Za-z]+))"
)
_COMPARISONS = {"=": "==", "==": "==", "!=": "!=", "<>": "!=", "<": "<", ">": ">", "<=": "<=",
                ">=": ">="}  # fmt: skip
_CASTS = {"integer": "int", "long": "int", "float": "double"}


class NotExpressible(ValueError):
    """The condition says more than this converter understands."""


@dataclass(frozen=True, slots=True)
class Known:
    """A variable: its name in CEL and its type in CACAO."""

    name: str
    type: str


def to_cel(condition: str, variables: Mapping[str, Known]) -> str:
    """The condition as CEL over `vars`. Raises NotExpressible."""
    if len(condition) > MAX_CONDITION:
        raise NotExpressible(f"it has more than {MAX_CONDITION} characters")
    return _Parser(_tokens(condition), variables).whole()


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise NotExpressible(f"'{text[at : at + 20]}' is not understood")
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], variables: Mapping[str, Known]) -> None:
        self._tokens = tokens
        self._variables = variables
        self._at = 0

    def whole(self) -> str:
        made = self._either()
        if self._at < len(self._tokens):
            raise NotExpressible(f"'{self._tokens[self._at][1]}' is not understood here")
        return made

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _take(self, *words: str) -> bool:
        if self._peek()[1].upper() in words and self._peek()[0] in ("word", "operator"):
            self._at += 1
            return True
        return False

    def _either(self) -> str:
        made = self._both()
        while self._take("OR", "||"):
            made = f"({made} || {self._both()})"
        return made

    def _both(self) -> str:
        made = self._single()
        while self._take("AND", "&&"):
            made = f"({made} && {self._single()})"
        return made

    def _single(self) -> str:
        if self._take("NOT", "!"):
            return f"!({self._single()})"
        for opening, closing in (("(", ")"), ("[", "]")):
            if self._take(opening):
                made = self._either()
                if not self._take(closing):
                    raise NotExpressible(f"'{closing}' is missing")
                return f"({made})"
        return self._comparison()

    def _comparison(self) -> str:
        left = self._operand()
        operator = _COMPARISONS.get(self._peek()[1]) if self._peek()[0] == "operator" else None
        if operator is None:
            if left[0] != "bool":
                raise NotExpressible("a comparison is missing")
            return f'{left[1]} == "true"'
        self._at += 1
        right = self._operand()
        return f"{_cast(left, right)} {operator} {_cast(right, left)}"

    def _operand(self) -> tuple[str, str]:
        """The type of an operand ("literal" or a variable's) and its CEL."""
        kind, text = self._peek()
        self._at += 1
        match kind:
            case "variable":
                known = self._variables.get(text.removeprefix("$").removesuffix(":value"))
                if known is None:
                    raise NotExpressible(f"no variable '{text}' is declared")
                return known.type, f"vars.{known.name}"
            case "number":
                return "number", text.removeprefix("+")
            case "text":
                inner = re.sub(r"\\(.)", r"\1", text[1:-1])
                return "text", cel_text(inner)
            case "word" if text.lower() in ("true", "false"):
                return "text", cel_text(text.lower())
            case _:
                raise NotExpressible(f"'{text or 'the end'}' is not understood here")


def _cast(operand: tuple[str, str], other: tuple[str, str]) -> str:
    """A variable holds text; beside a number, or one of a number's type, it is one."""
    kind, cel = operand
    numeric = kind in _CASTS or (kind == "number")
    if kind == "number":
        return f"{cel}.0" if other[0] == "float" and "." not in cel else cel
    if kind == "text":
        return cel
    if other[0] == "number":
        return f"{'double' if '.' in other[1] else _CASTS.get(kind, 'int')}({cel})"
    if numeric and other[0] in _CASTS:
        return f"double({cel})"
    return cel


def cel_text(value: str) -> str:
    """A text as a CEL literal."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + escaped.replace("\r", "\\r").replace("\t", "\\t") + '"'


def interpolated(value: str, variables: Mapping[str, Known]) -> str | None:
    """CEL for a text with `__name__:value` in it; None if it names no known variable."""
    parts: list[str] = []
    last, found = 0, False
    for match in re.finditer(r"(__[a-zA-Z](?:[a-zA-Z0-9-]|_(?!_))*__):value", value):
        known = variables.get(match[1])
        if known is None:
            continue
        found = True
        if match.start() > last:
            parts.append(cel_text(value[last : match.start()]))
        parts.append(f"vars.{known.name}")
        last = match.end()
    if not found:
        return None
    if last < len(value):
        parts.append(cel_text(value[last:]))
    return " + ".join(parts)
