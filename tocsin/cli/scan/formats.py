"""Writing hits as they come: for people, programs, spreadsheets and comparisons."""

from __future__ import annotations

import csv
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol

import orjson
from rich.table import Table
from rich.text import Text

from tocsin.cli.output import wide_console
from tocsin.cli.scan.report import render
from tocsin.cli.scan.summary import LEVELS as LEVELS
from tocsin.cli.scan.summary import Summary
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tocsin.cli.scan.matching import Hit

_COLUMNS = ("file", "record", "@timestamp", "level", "rule.id", "rule.name", "host.name",
            "user.name", "source.ip", "tags", "reasons")  # fmt: skip


class Totals(NamedTuple):
    """What was scanned: for the end of a report. Times are ms."""

    records: int = 0
    files: int = 0
    rules: int = 0
    correlations: int = 0
    left_out: int = 0
    unreadable: int = 0
    began: int = 0
    ended: int = 0


class About(NamedTuple):
    """What a writer is told: whether there are several files, whether hits of correlations may
    come at the end, out of order, and the tactics of techniques as far as the rules tell them.
    """

    several: bool = False
    sort: bool = False
    places: Mapping[str, frozenset[str]] = MappingProxyType({})


class Writer(Protocol):
    """Takes hits in the order of files, records and rules; writes at once or at the end."""

    def add(self, hits: Sequence[Hit]) -> None: ...

    def close(self, totals: Totals) -> None: ...


class TableWriter:
    """Rules by severity and number of hits, each with its first record."""

    def __init__(self, stream: IO[str], about: About) -> None:
        self._stream = stream
        self._summary = Summary()

    def add(self, hits: Sequence[Hit]) -> None:
        self._summary.add(hits)

    def close(self, totals: Totals) -> None:
        drawn = Table(box=None, header_style="bold")
        for column in ("level", "hits", "rule", "first", "record", "why"):
            drawn.add_column(column, overflow="fold")
        for rule in self._summary.by_severity():
            first = rule.first
            if first is None:
                continue
            where = f"{first.file}:{first.record}"
            why = first.reasons[0] if first.reasons else ""
            cells = (rule.level, str(rule.count), rule.title, first.at, where, why)
            drawn.add_row(*(Text(printable(cell)) for cell in cells))
        wide_console(self._stream).print(drawn)


class LinesWriter:
    """One JSON document a line."""

    def __init__(self, stream: IO[str], about: About) -> None:
        self._stream = stream

    def add(self, hits: Sequence[Hit]) -> None:
        for hit in hits:
            self._stream.write(orjson.dumps(_document(hit)).decode() + "\n")

    def close(self, totals: Totals) -> None:
        """All is written."""


def _document(hit: Hit) -> dict[str, object]:
    return {
        "@timestamp": hit.at,
        "file": hit.file,
        "record": hit.record,
        "rule": {"id": hit.rule, "name": hit.title, "level": hit.level},
        "alerts": hit.alerts,
        "tags": hit.tags,
        "host": {"name": hit.host},
        "user": {"name": hit.user},
        "source": {"ip": hit.source},
        "reasons": hit.reasons,
    }


class CsvWriter:
    """CSV with a header; cells that a spreadsheet would calculate are quoted as text."""

    def __init__(self, stream: IO[str], about: About) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(_COLUMNS)

    def add(self, hits: Sequence[Hit]) -> None:
        for hit in hits:
            cells = (hit.file, str(hit.record), hit.at, hit.level, hit.rule, hit.title, hit.host,
                     hit.user, hit.source, " ".join(hit.tags), "; ".join(hit.reasons))  # fmt: skip
            self._writer.writerow([_harmless(cell) for cell in cells])

    def close(self, totals: Totals) -> None:
        """All is written."""


#: What a formula begins with, in the widths that spreadsheets read alike.
_FORMULAS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def _harmless(cell: str) -> str:
    """Text that no spreadsheet takes for a formula, whatever blanks it begins with."""
    begins = cell[:1] in ("\t", "\r", "\n") or cell.lstrip()[:1] in _FORMULAS
    return "'" + cell if begins else cell


class PairsWriter:
    """Record number (from 0 in its file) and rule id, sorted; of several files, the file as well.

    Where correlations come last they are kept until the end.
    """

    def __init__(self, stream: IO[str], about: About) -> None:
        self._stream = stream
        self._several = about.several
        self._kept: set[tuple[str, int, str]] | None = set() if about.sort else None

    def add(self, hits: Sequence[Hit]) -> None:
        pairs = [(hit.file, hit.record, hit.rule) for hit in hits]
        if self._kept is None:
            self._write(pairs)
        else:
            self._kept.update(pairs)

    def _write(self, pairs: Sequence[tuple[str, int, str]]) -> None:
        for file, record, rule in sorted(pairs):
            end = f"\t{file}" if self._several else ""
            self._stream.write(f"{record}\t{rule}{end}\n")

    def close(self, totals: Totals) -> None:
        self._write(sorted(self._kept or ()))


class HtmlWriter:
    """The self-contained report."""

    def __init__(self, stream: IO[str], about: About) -> None:
        self._stream = stream
        self._summary = Summary(places=about.places)

    def add(self, hits: Sequence[Hit]) -> None:
        self._summary.add(hits)

    def close(self, totals: Totals) -> None:
        self._stream.write(render(self._summary, totals))


#: The formats by name.
FORMATS: dict[str, Callable[[IO[str], About], Writer]] = {
    "table": TableWriter,
    "ndjson": LinesWriter,
    "csv": CsvWriter,
    "pairs": PairsWriter,
    "html": HtmlWriter,
}
#: Formats for programs: they have the hits of rules that only feed correlations as well.
FOR_PROGRAMS = ("ndjson", "csv", "pairs")
