"""Reading JSON from strangers: bounded depth, no lost digits, no text that cannot be written.

What is read can always be written again by orjson and indexed: numbers that a `long` or a
`double` cannot hold become strings, lone surrogates become U+FFFD. Of duplicate keys the last
one counts.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import orjson

from tocsin.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

#: Deepest nesting of objects and arrays. Elasticsearch stops at 20 by default.
MAX_DEPTH = 64

_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1

#: Digits as zeros and brackets as braces: a long run of digits is found without a pattern, and
#: what opens is counted at once (1 µs per KB).
_SIMPLE = bytes(
    ord("0") if 0x30 <= code <= 0x39 else ord("{") if code == ord("[") else code
    for code in range(256)
)
_LONG_RUN = b"0" * 19
#: A number that no `long` may hold, what may stand before one, and where it ends.
_HUGE = re.compile(rb"9[2-9][0-9]{17}|[0-9]{20}")
_BEFORE = frozenset(b":[, \t\r\n\f\v")
_RUN = re.compile(rb"0+")
_MINUS = ord("-")
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(data: bytes) -> Any:
    """The value of JSON text in UTF-8; undecodable bytes within it become U+FFFD.

    Raises BadInput `json_invalid` or `too_deep`.
    """
    simple = data.translate(_SIMPLE)
    if _LONG_RUN in simple and _holds_huge(data, simple):
        return _read_slowly(data, _whole)
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        # Perhaps only a surrogate, a huge float or another encoding.
        return _read_slowly(data, int)
    if simple.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    return value


def is_plain(data: bytes) -> bool:
    """Whether what orjson reads of JSON text is just what `read_json` would."""
    simple = data.translate(_SIMPLE)
    if _LONG_RUN in simple and _holds_huge(data, simple):
        return False
    return simple.count(b"{") <= MAX_DEPTH


def _holds_huge(data: bytes, simple: bytes) -> bool:
    """Whether there is a number that no `long` may hold. Within a string it only costs time.

    Only runs of digits are looked at: an expression that is searched for takes 30 ms per MB.
    """
    at = simple.find(_LONG_RUN)
    while at >= 0:
        begin = at - 1 if at and data[at - 1] == _MINUS else at
        if (begin == 0 or data[begin - 1] in _BEFORE) and _HUGE.match(data, at) is not None:
            return True
        run = _RUN.match(simple, at)
        at = simple.find(_LONG_RUN, run.end() if run is not None else at + 1)
    return False


def _check_depth(value: Any) -> None:
    """Raise BadInput if objects and arrays nest deeper than MAX_DEPTH.

    Level by level, after reading: both readers stop at a thousand levels by themselves, and to
    find the brackets outside of strings beforehand costs more than to read.
    """
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise BadInput("too_deep", f"JSON nested deeper than {MAX_DEPTH} levels")


def _read_slowly(data: bytes, whole: Callable[[str], int | str]) -> Any:
    try:
        value = json.loads(
            data.decode("utf-8", "replace"),
            parse_int=whole,
            parse_float=_decimal,
            parse_constant=str,
        )
    except json.JSONDecodeError as error:
        raise BadInput(
            "json_invalid",
            f"begins like JSON but is not: {error.msg} at character {error.pos}; "
            "was the line cut off?",
        ) from None
    except RecursionError:
        raise BadInput("too_deep", f"JSON nested deeper than {MAX_DEPTH} levels") from None
    _check_depth(value)
    return _writable(value)


def _whole(digits: str) -> int | str:
    if len(digits) > 20:
        return digits
    number = int(digits)
    return number if _LONG_MIN <= number <= _LONG_MAX else digits


def _decimal(text: str) -> float | str:
    number = float(text)
    return text if number in (float("inf"), float("-inf")) else number


def _writable(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_writable(item) for item in value]
    if isinstance(value, dict):
        return {_writable(name): _writable(item) for name, item in value.items()}
    return value
