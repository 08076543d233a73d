"""Lines of JSON that differ in nothing but their texts, whole numbers and booleans.

Of such a line an expression is made that fits all lines like it: keys, punctuation and nulls stand
in it as they are, and a value is a group only where a function reads it. Its time is linear in the
line's length: what repeats is possessive and ends at a quotation mark. A text may hold anything
but that mark; whoever uses the expression makes sure that nothing of the line needs an escape.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from ingest.mapping.program import Check, Every_, Some
from ingest.mapping.values import absent

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.mapping.paths import Step
    from ingest.mapping.program import Condition

    Steps = tuple[Step, ...]

#: Most values of a line that an expression is made for, and how deep they are.
MAX_VALUES = 192
MAX_LEVELS = 8

#: Whole numbers that every reader holds exactly, as they are written.
_WHOLE = "0|-?[1-9][0-9]{0,14}+"
_WHOLE_MAX = 10**15
_TEXT = '[^"]*+'
#: A text that is read and meant something: no blank at its beginning.
_SOLID = r'[^"\s][^"]*+'
_TRUTH = "true|false"

#: What stands for a path at which there is nothing.
MISSING = object()


class Sample:
    """One of the lines, as an object, and which of its values a function reads."""

    def __init__(self, record: dict[str, Any], fixed: frozenset[Steps] = frozenset()) -> None:
        """`fixed`: the paths of scalars that are the same in all of the lines."""
        self.record = record
        self.fixed = fixed
        #: Path → the variable of its group.
        self.read: dict[Steps, str] = {}

    @property
    def marks(self) -> int:
        """How many quotation marks every one of the lines has."""
        return orjson.dumps(self.record).count(b'"')

    def value(self, steps: Steps) -> Any:
        """The sample's value at a path of names, MISSING where there is none."""
        node: Any = self.record
        for step in steps:
            if not isinstance(node, dict) or step not in node:
                return MISSING
            node = node[step]
        return node

    @staticmethod
    def solid(value: str) -> bool:
        """Whether texts that are read where this one stands never are blank."""
        return not absent(value) and not value[0].isspace()

    def kinds(self) -> dict[Steps, dict[str, type]]:
        """Path of each object → its keys and what is known of their values."""
        found: dict[Steps, dict[str, type]] = {}
        level: list[tuple[Steps, dict[str, Any]]] = [((), self.record)]
        while level:
            path, node = level.pop()
            found[path] = {name: _kind(value) for name, value in node.items()}
            level += [((*path, n), value) for n, value in node.items() if isinstance(value, dict)]
        return found

    def expression(self) -> tuple[str, list[str]]:
        """The expression, and the variables of its groups in their order."""
        variables: list[str] = []
        return self._node(self.record, (), variables), variables

    def _node(self, value: Any, path: Steps | None, variables: list[str]) -> str:
        """The expression of a value; within a list there are no paths."""
        if path in self.fixed:
            return re.escape(orjson.dumps(value).decode())
        group = None
        if path is not None and path in self.read:
            variables.append(self.read[path])
            group = "("
        if isinstance(value, dict):
            written = r"\{" + ",".join(
                f"{re.escape(orjson.dumps(name).decode())}:"
                + self._node(one, None if path is None else (*path, name), variables)
                for name, one in value.items()
            )
            return _grouped(written + r"\}", group)
        if isinstance(value, list):
            items = ",".join(self._node(one, None, variables) for one in value)
            return _grouped(rf"\[{items}\]", group)
        if value is None:
            return "null"
        if isinstance(value, str):
            solid = group is not None and self.solid(value)
            return f'"{_grouped(_SOLID if solid else _TEXT, group)}"'
        return _grouped(_TRUTH if isinstance(value, bool) else _WHOLE, group or "(?:")


def _grouped(written: str, group: str | None) -> str:
    return f"{group}{written})" if group else written


def _kind(value: Any) -> type:
    if isinstance(value, int) and not isinstance(value, bool):
        return int
    return str if isinstance(value, str) and not absent(value) else object


def shape_of(record: dict[str, Any], fixed: frozenset[Steps]) -> Any:
    """What two lines have in common if one expression fits both, None if none can be made."""
    left = [MAX_VALUES]
    shape = _shape(record, (), fixed, left)
    return None if left[0] < 0 else shape


def _shape(value: Any, path: Steps, fixed: frozenset[Steps], left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0 or len(path) > MAX_LEVELS:
        left[0] = -1
        return None
    if isinstance(value, dict):
        return tuple((name, _shape(one, (*path, name), fixed, left)) for name, one in value.items())
    if isinstance(value, list):
        return "[]", *(_shape(one, (*path, None), fixed, left) for one in value)
    if isinstance(value, float) or (isinstance(value, int) and abs(value) >= _WHOLE_MAX):
        left[0] = -1
    return value if path in fixed else value.__class__


def compared_paths(condition: Condition | None) -> frozenset[Steps] | None:
    """The paths whose values decide a condition besides which keys there are; None: not known."""
    found: set[Steps] = set()

    def visit(one: Condition) -> bool:
        if isinstance(one, Check):
            steps = one.path.steps
            if one.path.header or not all(isinstance(step, str) for step in steps):
                return False
            if one.kind != "there":
                found.add(steps)
            return True
        if isinstance(one, (Every_, Some)):
            return all(visit(each) for each in one.conditions)
        return visit(one.condition)

    return frozenset(found) if condition is None or visit(condition) else None


def compiled(expression: str) -> Callable[[str], re.Match[str] | None]:
    """What matches a whole line."""
    return re.compile(expression, re.ASCII).fullmatch
