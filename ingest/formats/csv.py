"""Separated values with known columns (RFC 4180, and delimiters other than commas)."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Longest line, characters.
MAX_LINE = 262_144

#: How many more values than columns a line may have: a newer version added some.
MAX_MORE = 64


def frame(text: str, columns: Sequence[str | None], delimiter: str = ",") -> dict[str, Any] | None:
    """Column → value; a column that is None is skipped. None if the text is no such line."""
    if delimiter not in text or len(text) > MAX_LINE:
        return None
    try:
        row = next(
            csv.reader([text.replace("\n", " ")], delimiter=delimiter, skipinitialspace=True)
        )
    except (csv.Error, StopIteration):
        return None
    if len(row) > len(columns) + MAX_MORE:
        return None
    return {name: value for name, value in zip(columns, row, strict=False) if name and value != ""}
