"""Which mapping knows a line: indexes over the `recognize` entries of all mappings.

The outcome is a function of the line alone: among all entries that hold, the one of the most
specific wins, then the one of the highest priority, then the first by id. Indexes only keep entries
that cannot hold from being looked at.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ingest.formats import csv
from ingest.mapping.plain import _Runner
from ingest.mapping.program import Match

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ingest.mapping.line import Line
    from ingest.mapping.program import Block, Entry, Program, Shape

    Known = tuple["Entry", "Program"]

#: Most shapes of JSON objects that are remembered.
MAX_SHAPES = 8_192

_PROGRAM_PARTS = re.compile(r"[/\[(]")


class Recognizer:
    """The entries of a set of programs, best first."""

    def __init__(self, programs: Iterable[Program]) -> None:
        known = [(entry, program) for program in programs for entry in program.entries]
        known.sort(key=lambda pair: (*(-part for part in pair[0].rank), pair[1].id))
        self._by_format: dict[str, list[Known]] = {}
        for pair in known:
            self._by_format.setdefault(pair[0].format, []).append(pair)
        #: What is recognised by its text alone: texts, and separated values that say how they look.
        self._texts = [
            pair for pair in known if pair[0].format in ("text", "csv") and _says_which(pair[0])
        ]
        self._shapes: dict[tuple[str, tuple[str, ...]], list[Known]] = {}
        self._words: dict[str, list[tuple[Shape, Known]]] = {}
        for pair in self._by_format.get("text", ()):
            if pair[0].patterns:
                for shape in _first_shapes(pair[1].block):
                    if shape.word:
                        self._words.setdefault(shape.word, []).append((shape, pair))

    @property
    def columns(self) -> list[Known]:
        """The entries of CSV that say nothing of its text: their columns must fit."""
        return [pair for pair in self._by_format.get("csv", ()) if not _says_which(pair[0])]

    def of_fields(self, line: Line) -> Iterator[Known]:
        """The entries that hold for a line framed as json, windows, cef, leef, kv …, best first."""
        for pair in self._of_shape(line):
            entry = pair[0]
            if (entry.vendors or entry.products) and not _vendor_fits(entry, line.fields):
                continue
            if not _text_fits(entry, line):
                continue
            if entry.condition is None or _Runner(line).holds(entry.condition):
                yield pair

    def _of_shape(self, line: Line) -> list[Known]:
        names = (line.format, tuple(line.fields))
        known = self._shapes.get(names)
        if known is None:
            known = [
                pair
                for pair in self._by_format.get(line.format, ())
                if all(not key or key in line.fields for key in pair[0].keys)
            ]
            if len(self._shapes) >= MAX_SHAPES:
                self._shapes.clear()
            self._shapes[names] = known
        return known

    def of_text(self, line: Line) -> Iterator[tuple[Entry, Program, Line]]:
        """The entries that hold for a text, and it as they frame it; best first, phrases last."""
        programs = program_names(line.header.program if line.header is not None else None)
        for entry, program in self._texts:
            if entry.programs and programs.isdisjoint(entry.programs):
                continue
            if not _text_fits(entry, line):
                continue
            framed = line
            if entry.format == "csv":
                fields = csv.frame(line.text, entry.columns, entry.delimiter)
                if fields is None:
                    continue
                framed = replace(line, format="csv", fields=fields)
            if entry.condition is None or _Runner(framed).holds(entry.condition):
                yield entry, program, framed
        text = line.text
        for shape, (entry, program) in self._words.get(text.partition(" ")[0], ()):
            if shape.regex.match(text) is not None:
                yield entry, program, line


def _says_which(entry: Entry) -> bool:
    return bool(entry.programs or entry.starts or entry.contains or entry.regex)


def _text_fits(entry: Entry, line: Line) -> bool:
    text = line.text
    if entry.starts and not text.startswith(entry.starts):
        return False
    if entry.contains and not all(part in text for part in entry.contains):
        return False
    return entry.regex is None or entry.regex.match(text) is not None


def _vendor_fits(entry: Entry, fields: dict[str, Any]) -> bool:
    vendor = str(fields.get("deviceVendor", "")).strip().casefold()
    if vendor not in entry.vendors:
        return False
    product = str(fields.get("deviceProduct", "")).strip().casefold()
    return not entry.products or product in entry.products


def program_names(program: str | None) -> frozenset[str]:
    """The names that a syslog tag goes by: `postfix/smtpd` is also `postfix` and `smtpd`."""
    if not program:
        return frozenset()
    name = program.casefold()
    bare = _PROGRAM_PARTS.split(name.lstrip("/"))
    path = name.partition("[")[0].partition("(")[0]
    return frozenset((name, bare[0], path, path.rpartition("/")[2]))


def _first_shapes(block: Block) -> Iterator[Shape]:
    for statement in block:
        if isinstance(statement, Match):
            yield from statement.shapes
