"""A pattern behind syslog's common header as one expression: one match gives all of a line.

To match twice, to cut the message off and to look the header's parts over costs as much again as
the pattern itself.
"""

from __future__ import annotations

import re
from re import _parser  # type: ignore[attr-defined]  # the only parser of this dialect
from typing import TYPE_CHECKING, Any

from ingest.mapping.line import NO_HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.mapping.regexes import Regex

#: Where the time of a common header ends, and the expression begins.
STAMP = 15

#: A host that ends with no colon, so that the first `: ` behind the time ends the header.
_HOST = rf" (?![{NO_HOST}])([^ ]{{1,255}}+)(?<!:) "
#: A process id that JSON writes as the header does.
_PID = r"\[([1-9][0-9]{0,7}+)\]"

#: What looks at the text before it, or at groups by number.
_LOOKING_BACK = frozenset(
    {"AT_BEGINNING", "AT_BEGINNING_STRING", "GROUPREF", "GROUPREF_IGNORE", "GROUPREF_EXISTS"}
)
_PRINTABLE = {r"\S": "[^ ]", r"\s": " "}
#: An escape, a class, or one more character.
_PART = re.compile(r"\\.|\[\^?\]?(?:[^\]\\]|\\.)*\]|.", re.DOTALL)
_ASSERTIONS = frozenset({"ASSERT", "ASSERT_NOT"})


def behind_header(program: str, regex: Regex, numbered: bool) -> re.Pattern[str] | None:
    """A pattern behind the header of a program's lines, to be matched from STAMP on.

    Its groups are the host, the process id if it is `numbered`, and those of the pattern. None
    where the pattern would mean something else there. It is for lines of printable ASCII: of
    others it may say anything, and its function gives them up.
    """
    pattern = regex.pattern
    if pattern.flags != re.DOTALL | re.UNICODE:
        return None
    if any(_looks_back(item) for item in _parser.parse(pattern.pattern, re.DOTALL)):
        return None
    header = f"{_HOST}{re.escape(program)}{_PID if numbered else ''}: "
    try:
        return re.compile(f"{header}(?:{_of_printable(pattern.pattern)})", re.DOTALL)
    except re.error:  # flags that stand within the pattern
        return None


def _of_printable(pattern: str) -> str:
    """A pattern that fits the same texts of printable ASCII, where the only blank is the space.

    The engine goes over what is not one character several times as fast as over a class.
    """
    return "".join(_PRINTABLE.get(part, part) for part in _PART.findall(pattern))


def _looks_back(item: Any) -> bool:
    """Whether a part of a parsed expression looks at what stands before it."""
    name, argument = str(item[0]), item[1]
    if name in _LOOKING_BACK or str(argument) in _LOOKING_BACK:
        return True
    if name in _ASSERTIONS and argument[0] < 0:
        return True
    return any(_looks_back(part) for part in _parts(argument))


def _parts(argument: Any) -> Iterator[Any]:
    """The parsed items within an argument of one."""
    if isinstance(argument, _parser.SubPattern):
        yield from argument
    elif isinstance(argument, (list, tuple)):
        for inner in argument:
            yield from _parts(inner)
