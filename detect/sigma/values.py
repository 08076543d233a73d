"""The values of an event as Sigma sees them: one text per value, whatever type JSON gave it.

Every decision the specification leaves open about values is made in this file and explained in
docs/sigma.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from tocsin.errors import BadInput


class Value(NamedTuple):
    """One value of a field: as JSON has it, as text, and as text for caseless comparison."""

    raw: Any
    text: str
    folded: str


def fold(text: str) -> str:
    """`text` for caseless comparison: lower case, one character for one wherever possible.

    `str.casefold` would make sharp s equal to ss, which no log author means and which moves the
    positions that wildcards count. `lower` alone writes a capital sigma in two ways, by where it
    stands in a word, so that a fragment of a word would not be found in the word.
    """
    if text.isascii():
        return text.lower()
    return text.lower().replace(
        "\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"
    )


def text_of(raw: Any) -> str:
    """The text that a JSON value is compared as: numbers in shortest form, `true`, `false`.

    An object is its compact JSON. Raises BadInput for an object nested too deep to write down.
    """
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, float) and raw.is_integer() and abs(raw) < 1e15:
        return str(int(raw))
    if isinstance(raw, int | float):
        return str(raw)
    try:
        return orjson.dumps(raw).decode()
    except orjson.JSONEncodeError as error:
        raise BadInput("too_deep", f"a field cannot be written down as text: {error}") from None


def value(raw: Any) -> Value:
    """The value with both of its texts."""
    text = text_of(raw)
    return Value(raw, text, fold(text))


def spread(nodes: list[Any]) -> list[Any]:
    """The nodes with every list replaced by its elements, in order, at any depth."""
    for node in nodes:
        if isinstance(node, list):
            break
    else:
        return nodes
    flat: list[Any] = []
    pending = nodes[::-1]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(reversed(node))
        else:
            flat.append(node)
    return flat
