"""Framing: what a text or an object is written in, tried from the surest mark to the vaguest.

Each frame is a Line for the mappings. Frames are made lazily: most lines are known by the first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ingest.formats import auditd, cef, kv, leef, windows
from ingest.formats.access import frame as access
from ingest.formats.csv import frame as csv
from ingest.formats.xml import frame as xml
from ingest.jsontext import read_json
from ingest.mapping.line import Line
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.mapping.library import Library
    from ingest.mapping.line import Header

_CEF = re.compile(r"CEF: ?\d|\s?[01]\|", re.ASCII)
_LEEF = re.compile(r"LEEF: ?\d|\s?[12]\.0\|", re.ASCII)

#: How far into a text CEF: or LEEF: may begin, characters.
MAX_LEAD = 1_024

#: How far into a text a JSON object may begin, characters.
MAX_PREFIX = 128


def json_within(text: str) -> tuple[dict[str, Any], str] | None:
    """The JSON object that a text is or ends with, and what stands before it."""
    if text[-1:] != "}":
        return None
    start = text.find("{", 0, MAX_PREFIX)
    if start < 0:
        return None
    try:
        value = read_json(text[start:].encode("utf-8", "replace"))
    except BadInput:
        return None
    return (value, text[:start]) if isinstance(value, dict) else None


def marked(text: str, make: Maker) -> Iterator[Line]:
    """Frames that a mark in the text gives away: CEF, LEEF, XML, auditd."""
    lead = text[:MAX_LEAD]
    if ("CEF:" in lead or _CEF.match(text)) and (fields := cef.frame(text)):
        yield make("cef", fields, text)
    if ("LEEF:" in lead or _LEEF.match(text)) and (fields := leef.frame(text)):
        yield make("leef", fields, text)
    if (text[:1] == "<" or "EventID" in lead or "MSWinEventLog" in lead) and (
        fields := windows.frame(text)
    ):
        yield make("windows", dict(fields), text)
    if "audit(" in lead and (fields := auditd.frame(text)):
        yield make("auditd", fields, text)
    if text[:1] == "<" and (fields := xml(text)):
        yield make("xml", fields, text)


def unmarked(text: str, make: Maker, library: Library) -> Iterator[Line]:
    """Frames of texts without a mark: access logs, CSV of known columns, pairs."""
    if (fields := access(text)) is not None:
        yield make("access", fields, text)
    lead = text[:MAX_LEAD]
    if any(mark in lead for mark in _RENDERED) and (fields := windows.frame(text)):
        yield make("windows", fields, text)
    for entry, _ in library.recognizer.columns:
        fields = csv(text, entry.columns, entry.delimiter)
        if fields is not None:
            yield make("csv", fields, text)
    if text.count("=", 0, MAX_PAIRS) >= MIN_PAIRS and (fields := kv.frame(text)):
        yield make("kv", fields, text)


#: What a Windows event has of which only its text for people is left, or Splunk's lines.
_RENDERED = ("EventCode=", "WinEvtLog: ", ":\t", "#011")

#: How much of a text pairs are looked for in, characters.
MAX_PAIRS = 16_384

#: The fewest equals signs of a text of pairs.
MIN_PAIRS = 2


class Maker:
    """Makes the Lines of one delivery."""

    __slots__ = ("_header", "_received", "_source", "_zone")

    def __init__(self, header: Header | None, source: str, received: int, zone: str) -> None:
        self._header = header
        self._source = source
        self._received = received
        self._zone = zone

    def __call__(self, format: str, fields: dict[str, Any], text: str) -> Line:
        return Line(format, fields, text, self._header, self._source, self._received, self._zone)
