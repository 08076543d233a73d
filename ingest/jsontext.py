"""Reading JSON from strangers: bounded depth, no lost digits, no text that cannot be written.

What is read can always be written again by orjson and indexed: numbers that a `long` or a
`double` cannot hold become strings, lone surrogates become U+FFFD. Of duplicate keys the last
one counts.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from tocsin.errors import BadInput

#: Deepest nesting of objects and arrays. Elasticsearch stops at 20 by default.
MAX_DEPTH = 64

_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1

#: Digits as zeros, so that a long run of them is found without a pattern (1 µs per KB).
_DIGITS_AS_ZERO = bytes(ord("0") if 0x30 <= code <= 0x39 else code for code in range(256))
_LONG_RUN = b"0" * 19
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(data: bytes) -> Any:
    """The value of JSON text in UTF-8; undecodable bytes within it become U+FFFD.

    Raises BadInput `json_invalid` or `too_deep`.
    """
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH:
        _check_depth(data)
    if _LONG_RUN not in data.translate(_DIGITS_AS_ZERO):
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            pass  # perhaps only a surrogate, a huge float or another encoding: read it slowly
    return _read_slowly(data)


def _check_depth(data: bytes) -> None:
    """Raise BadInput if brackets outside of strings nest deeper than MAX_DEPTH."""
    depth = 0
    for token in _BRACKET.finditer(data):
        mark = token[0][0]
        if mark in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise BadInput("too_deep", f"JSON nested deeper than {MAX_DEPTH} levels")
        elif mark in b"}]":
            depth -= 1


_BRACKET = re.compile(rb'[{}\[\]]|"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def _read_slowly(data: bytes) -> Any:
    try:
        value = json.loads(
            data.decode("utf-8", "replace"),
            parse_int=_whole,
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
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_writable(item) for item in value]
    if isinstance(value, dict):
        return {_writable(name): _writable(item) for name, item in value.items()}
    return value
