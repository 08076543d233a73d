"""CSV and plain lists: one value a line, `#` begins a comment.

With a header the column is found by its name, also in a header that is a comment. Columns `until`
(or `expires`, `valid_until`), `confidence`, `id` and `description` (or `about`, `threat`,
`malware`) are read where there are any.
"""

from __future__ import annotations

import csv
from itertools import islice
from typing import TYPE_CHECKING

from detect.indicators.collect import Collector, moment, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tocsin.enrichment_config import FeedSettings

#: Largest file, bytes: it is read line by line.
MAX_FILE = 1024 * 1024 * 1024

#: Longest line, characters.
MAX_LINE = 8_192

#: Lines among which a header is looked for.
_HEAD = 50

_VALUE = (
    *("indicator", "value", "ioc", "ioc_value", "ip", "ip_address", "address", "dst_ip", "domain"),
    *("hostname", "host", "url", "hash", "sha256", "sha256_hash", "sha1", "md5", "md5_hash"),
)
_UNTIL = ("until", "expires", "valid_until", "expiration")
_SEEN = ("seen", "first_seen", "first_seen_utc", "dateadded", "date", "created")
_ABOUT = ("description", "about", "threat", "malware", "malware_printable", "tags")


def read(path: Path, feed: FeedSettings, into: Collector) -> None:
    """Raises OSError, or ValueError where the column is not to be found."""
    if (size := path.stat().st_size) > MAX_FILE:
        raise ValueError(f"{size} bytes, at most {MAX_FILE} are read")
    columns, value = _columns(path, feed)
    for row in _rows(path, feed.delimiter, into):
        cells = [short(cell) for cell in row]
        if [cell.casefold() for cell in cells] == list(columns):
            continue
        if value >= len(cells):
            into.refuse("unreadable", feed.delimiter.join(cells))
            continue
        confidence = _cell(cells, columns, ("confidence", "confidence_level"))
        into.add(
            cells[value],
            seen=_time(_cell(cells, columns, _SEEN)),
            until=_time(_cell(cells, columns, _UNTIL)),
            id=_cell(cells, columns, ("id", "uuid")),
            about=_cell(cells, columns, _ABOUT),
            confidence=int(confidence) if confidence.isdecimal() else None,
        )


def _columns(path: Path, feed: FeedSettings) -> tuple[Mapping[str, int], int]:
    """Columns by name, and which one holds the value."""
    wanted = feed.column.casefold()
    if wanted.isdecimal():
        return {}, max(int(wanted), 1) - 1
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for line in islice(file, _HEAD):
            text = line[:MAX_LINE].lstrip("# \t")
            (cells,) = csv.reader([text], delimiter=feed.delimiter, skipinitialspace=True)
            names = {short(cell).casefold(): number for number, cell in enumerate(cells)}
            known = (wanted,) if wanted else _VALUE
            if (name := next((each for each in known if each in names), None)) is not None:
                return names, names[name]
            if not line.startswith("#"):
                break
    if wanted:
        raise ValueError(f"there is no column {feed.column}: no header in the first lines names it")
    return {}, 0


def _rows(path: Path, delimiter: str, into: Collector) -> Iterator[list[str]]:
    """Line by line: a quote that is never closed spoils its own line and no other."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for line in file:
            if line.startswith("#") or not line.strip():
                continue
            if len(line) > MAX_LINE:
                into.refuse("unreadable", line)
                continue
            try:
                (row,) = csv.reader(
                    [line.rstrip("\r\n")], delimiter=delimiter, skipinitialspace=True
                )
            except (csv.Error, ValueError) as error:
                into.refuse("unreadable", str(error))
                continue
            yield row


def _cell(cells: list[str], columns: Mapping[str, int], names: tuple[str, ...]) -> str:
    for name in names:
        number = columns.get(name)
        if number is not None and number < len(cells):
            return cells[number]
    return ""


def _time(text: str) -> int:
    return moment(text.removesuffix(" UTC"))
