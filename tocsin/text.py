"""Text from outside made fit to be shown."""

from __future__ import annotations


def printable(text: object) -> str:
    """`text` without control and invisible characters.

    Log lines may try to drive a terminal (escape sequences) or to show what they are not (a
    right-to-left override).
    """
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(text)
    )
