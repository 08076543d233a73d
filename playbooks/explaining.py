"""Why a trigger is true or false of an alert: its clauses, each with its value. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tocsin import expressions
from tocsin.errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Strings, brackets and the two operators: what splitting an expression must see.
_PIECE = re.compile(
    r"""[bB]?[rR]?(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
    r"|[()\[\]{}?]|&&|\|\|",
    re.DOTALL,
)
#: How deep clauses of clauses are told.
MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a condition: `value` is what it gives ("error: …" where it has none).

    `parts` are joined by `operator` (&& or ||); `seen` are the values it looks at.
    """

    text: str
    value: Any
    operator: str = ""
    parts: tuple[Clause, ...] = ()
    seen: Mapping[str, Any] = field(default_factory=dict)


def explained(text: str, alert: Mapping[str, Any], depth: int = 0) -> Clause:
    """A condition on `alert` with all its clauses."""
    text = " ".join(_bare(text).split())
    parts, operator = split(text) if depth < MAX_DEPTH else ([], "")
    try:
        made = expressions.compile(text, ("alert",))
        value: Any = made.evaluate({"alert": alert})
        seen = {} if parts else {name: _looked_up(alert, name) for name in made.references}
    except ExpressionError as error:
        value, seen = f"error: {error}", {}
    clauses = tuple(explained(part, alert, depth + 1) for part in parts)
    return Clause(text, value, operator, clauses, seen)


def split(text: str) -> tuple[list[str], str]:
    """The parts that the outermost || (else &&) joins, and which it is; none if neither does."""
    cuts: dict[str, list[int]] = {"||": [], "&&": []}
    depth = 0
    for piece in _PIECE.finditer(text):
        found = piece[0]
        if found in "([{":
            depth += 1
        elif found in ")]}":
            depth -= 1
        elif found == "?" and depth == 0:
            return [], ""  # a choice binds weaker than both
        elif found in cuts and depth == 0:
            cuts[found].append(piece.start())
    for operator, places in cuts.items():
        if places:
            starts = [0, *(place + 2 for place in places)]
            ends = [*places, len(text)]
            return [text[a:b].strip() for a, b in zip(starts, ends, strict=True)], operator
    return [], ""


def _bare(text: str) -> str:
    """Without brackets around the whole."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")"):
        depth = 0
        for piece in _PIECE.finditer(text):
            depth += (piece[0] == "(") - (piece[0] == ")")
            if depth == 0 and piece[0] == ")":
                break
        if piece.end() != len(text):
            return text
        text = text[1:-1].strip()
    return text


def _looked_up(alert: Mapping[str, Any], path: str) -> Any:
    value: Any = {"alert": alert}
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value
