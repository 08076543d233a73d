"""W3C extended log lines that come with their `#Fields:` directive.

A line alone does not say what its values are: where a shipper sends lines only, a mapping names
the columns (`csv` with a blank or a tab between).
"""

from __future__ import annotations

from typing import Any

#: Most lines looked at: directives and one line of values.
MAX_LINES = 16


def frame(text: str) -> dict[str, Any] | None:
    """Field → value of the one line of values behind the directives; None if there is none."""
    if not text.startswith("#"):
        return None
    names: list[str] = []
    values: str | None = None
    for line in text.splitlines()[:MAX_LINES]:
        if line.startswith("#Fields:"):
            names = line.removeprefix("#Fields:").split()
        elif line and not line.startswith("#"):
            if values is not None:
                return None
            values = line
    if not names or values is None:
        return None
    tabs = "\t" in values
    row = values.split("\t") if tabs else values.split()
    if len(row) != len(names):
        return None
    return {name: value for name, value in zip(names, row, strict=True) if value != "-"}
