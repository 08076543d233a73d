"""Writing hits: for people, programs, spreadsheets and comparisons."""

from __future__ import annotations

import csv
from collections import Counter
from typing import IO, TYPE_CHECKING

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.cli.scan.matching import Hit

#: Sigma's levels, from the least to the most severe.
LEVELS = ("informational", "low", "medium", "high", "critical")

_COLUMNS = ("file", "record", "@timestamp", "level", "rule.id", "rule.name", "host.name",
            "user.name", "tags", "reasons")  # fmt: skip


def table(hits: Sequence[Hit], stream: IO[str]) -> None:
    """Rules by severity and number of hits, each with its first record."""
    drawn = Table(box=None, header_style="bold")
    for column in ("level", "hits", "rule", "first", "record", "why"):
        drawn.add_column(column, overflow="fold")
    counts = Counter(hit.rule for hit in hits)
    first = {hit.rule: hit for hit in sorted(hits, key=lambda hit: hit.at, reverse=True)}
    ordered = sorted(
        first.values(), key=lambda h: (-LEVELS.index(h.level), -counts[h.rule], h.rule)
    )
    for hit in ordered:
        why = hit.reasons[0] if hit.reasons else ""
        cells = (
            hit.level,
            str(counts[hit.rule]),
            hit.title,
            hit.at,
            f"{hit.file}:{hit.record}",
            why,
        )
        drawn.add_row(*(Text(printable(cell)) for cell in cells))
    Console(file=stream).print(drawn)


def ndjson(hits: Sequence[Hit], stream: IO[str]) -> None:
    """One JSON document a line."""
    for hit in hits:
        document = {
            "@timestamp": hit.at,
            "file": hit.file,
            "record": hit.record,
            "rule": {"id": hit.rule, "name": hit.title, "level": hit.level},
            "tags": hit.tags,
            "host": {"name": hit.host},
            "user": {"name": hit.user},
            "reasons": hit.reasons,
        }
        stream.write(orjson.dumps(document).decode() + "\n")


def comma_separated(hits: Sequence[Hit], stream: IO[str]) -> None:
    """CSV with a header; cells that a spreadsheet would calculate are quoted as text."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for hit in hits:
        cells = (hit.file, str(hit.record), hit.at, hit.level, hit.rule, hit.title, hit.host,
                 hit.user, " ".join(hit.tags), "; ".join(hit.reasons))  # fmt: skip
        writer.writerow([_harmless(cell) for cell in cells])


def _harmless(cell: str) -> str:
    return "'" + cell if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def pairs(hits: Sequence[Hit], stream: IO[str]) -> None:
    """Record number (from 0 in its file) and rule id; with several files, the file as well."""
    several = len({hit.file for hit in hits}) > 1
    for hit in sorted(hits, key=lambda hit: (hit.file, hit.record, hit.rule)):
        end = f"\t{hit.file}" if several else ""
        stream.write(f"{hit.record}\t{hit.rule}{end}\n")


FORMATS: dict[str, Callable[[Sequence[Hit], IO[str]], None]] = {
    "table": table,
    "ndjson": ndjson,
    "csv": comma_separated,
    "pairs": pairs,
}
