"""Keys that findings are routed and collected by, made in one place so that all stages agree.

A value may hold any character (an attacker chooses user names), so the separators are escaped:
two different mappings never give one key.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PART = re.compile(r"((?:\\.|[^\\|])*)(\||\Z)", re.DOTALL)
_PAIR = re.compile(r"((?:\\.|[^\\=])*)=(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = str.maketrans({"\\": "\\\\", "|": "\\|", "=": "\\="})


def _join(head: str, fields: Mapping[str, str]) -> str:
    pairs = (
        f"{name.translate(_ESCAPES)}={value.translate(_ESCAPES)}"
        for name, value in sorted(fields.items())
    )
    return "|".join((head.translate(_ESCAPES), *pairs))


def dedup_key(rule_id: str, fields: Mapping[str, str]) -> str:
    """The deduplication key `RULE|field=value|…` of findings, fields sorted by name.

    Keys the topic Topics.FINDINGS: all findings of a rule that share it make one alert a window.
    """
    return _join(rule_id, fields)


def group_key(correlation_id: str, group: Mapping[str, str]) -> str:
    """The key `CORRELATION|name=value|…` of one group of a correlation, names sorted.

    `group` maps a name that is the same for each referenced rule (the correlation's group-by
    name) to the event's value. Keys the topic Topics.CORRELATE and is GroupedFinding.group.
    """
    return _join(correlation_id, group)


def parse_group_key(key: str) -> tuple[str, dict[str, str]]:
    """The correlation id and the group that `group_key` made `key` of; ValueError if it did not."""
    correlation, pairs = _parsed(key)
    return correlation, dict(pairs)


@lru_cache(maxsize=4096)
def _parsed(key: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    parts: list[str] = []
    position, more = 0, True
    while more:
        match = _PART.match(key, position)
        if match is None:
            raise ValueError(f"'{key}' ends in an escape")
        parts.append(match[1])
        position, more = match.end(), match[2] == "|"
    pairs = [_PAIR.fullmatch(part) for part in parts[1:]]
    if None in pairs:
        raise ValueError(f"'{key}' has a part without a name")
    return _plain(parts[0]), tuple((_plain(pair[1]), _plain(pair[2])) for pair in pairs if pair)


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text
