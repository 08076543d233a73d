"""What counts as a value: vendors write "nothing" in many ways, and every reader must agree."""

from __future__ import annotations

from typing import Any

#: Texts that mean that there is no value.
NOTHING = frozenset(
    {"", " ", "-", "--", "N/A", "n/a", "null", "(null)", "<null>", "None", "undefined", "[]", "{}"}
)


def absent(value: Any) -> bool:
    """True for null, blanks, empty objects and lists, and the texts of NOTHING."""
    if isinstance(value, str):
        return value in NOTHING or value.isspace()
    return value is None or (isinstance(value, (dict, list)) and not value)


def words(value: Any) -> str:
    """A scalar as text, as JSON writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
