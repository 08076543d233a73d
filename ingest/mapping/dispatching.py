"""Which patterns a text may fit: by its first word, and by a literal that all that fit one hold."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ingest.mapping.program import (
    Match,
    names_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.mapping.program import Program, Shape

#: A shape's number, a text that every text has which fits it, its match, its longest text.
Plan = tuple[tuple[int, str, Any, int], ...]


def reads_message(program: Program) -> bool:
    """Whether a program decodes the message, which may be an object then."""
    return any(path.steps[:1] == ("message",) for path, _ in program.decode)


def first_match(program: Program) -> int | None:
    """Which statement tries patterns on the whole text first, None if none does."""
    for number, statement in enumerate(program.block):
        if isinstance(statement, Match):
            return number if names_text(statement.source) else None
    return None


def dispatch(shapes: tuple[Shape, ...]) -> tuple[dict[str, Plan], Plan]:
    """The shapes that a text may fit by its first word, and those that any text may."""
    words = {shape.word for shape in shapes if shape.word}
    always = _plan(shapes, lambda shape: not shape.word)
    return {word: _plan(shapes, _of_word(word)) for word in words}, always


def plan_of(shapes: tuple[Shape, ...], head: str) -> Plan:
    """The shapes that a text may fit which begins with `head`."""
    return _plan(
        shapes, lambda s: not s.word or f"{s.word} "[: len(head)] == head[: len(s.word) + 1]
    )


def _of_word(word: str) -> Callable[[Shape], bool]:
    return lambda shape: shape.word in ("", word)


def _plan(shapes: tuple[Shape, ...], wanted: Callable[[Shape], bool]) -> Plan:
    """The wanted shapes, each with the literal that tells it best from the others."""
    chosen = [(number, shape) for number, shape in enumerate(shapes) if wanted(shape)]
    found = [shape.regex.literals for _, shape in chosen]
    counts = Counter(literal for each in found for literal in each)
    plan = []
    for (number, shape), mine in zip(chosen, found, strict=True):
        needle = min(mine, key=lambda text: (counts[text], -len(text), text), default="")
        if counts[needle] == len(chosen) > 1:
            needle = ""
        plan.append((number, needle, shape.regex.pattern.match, shape.regex.longest))
    return tuple(plan)
