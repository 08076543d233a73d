"""The modifier `expand`: lists of the site take the place of placeholders.

pySigma does the same, for at most 200 values and reading them as patterns; a list of hosts or
accounts is longer, and what stands in it stands for itself.
"""

from __future__ import annotations

import re
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from sigma.types import Placeholder, SigmaExpansion, SigmaRegularExpression, SigmaString

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sigma.types import SigmaStringPartType, SigmaType

#: Values that one value of a rule may become.
MAX_VALUES = 200_000

_Parts = list["SigmaStringPartType"]


class ExpansionError(ValueError):
    """A placeholder has no list, or its list makes too many values."""


def expanded(value: SigmaType, lists: Mapping[str, Sequence[str]]) -> list[SigmaType]:
    """The values that a value with placeholders stands for, else the value itself.

    Raises ExpansionError.
    """
    match value:
        case SigmaString() if value.contains_placeholder():
            return [_like(value, parts) for parts in _combined(value, lists, _literal)]
        case SigmaRegularExpression() if value.contains_placeholder():
            found = _combined(value.regexp, lists, _quoted)
            return [
                SigmaRegularExpression(_like(value.regexp, parts), value.flags) for parts in found
            ]
        case SigmaExpansion(values=values):
            return [SigmaExpansion([made for each in values for made in expanded(each, lists)])]
        case _:
            return [value]


def _combined(
    value: SigmaString, lists: Mapping[str, Sequence[str]], read: Callable[[str], _Parts]
) -> list[_Parts]:
    """The parts of each combination of what the placeholders stand for."""
    choices: list[list[_Parts]] = []
    for part in value.s:
        if not isinstance(part, Placeholder):
            choices.append([[part]])
        elif texts := lists.get(part.name):
            choices.append([read(text) for text in texts])
        else:
            raise ExpansionError(f"no list is configured for the placeholder %{part.name}%")
    if prod(map(len, choices)) > MAX_VALUES:
        raise ExpansionError(f"the placeholders of '{value}' make over {MAX_VALUES} values")
    return [_merged(parts) for parts in product(*choices)]


def _merged(parts: Sequence[_Parts]) -> _Parts:
    """All parts in a row, texts that follow each other as one."""
    made: _Parts = []
    for part in (part for each in parts for part in each):
        if made and isinstance(made[-1], str) and isinstance(part, str):
            made[-1] += part
        else:
            made.append(part)
    return made


def _literal(text: str) -> _Parts:
    return [text] if text else []


def _quoted(text: str) -> _Parts:
    """The text in an expression that matches it alone."""
    return SigmaString(re.escape(text), escape=False).s


def _like(value: SigmaString, parts: _Parts) -> SigmaString:
    made = value.__class__()
    made.s = parts
    return made
