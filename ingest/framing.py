"""Framing: what a text is written in, tried from the surest mark to the vaguest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.formats import auditd, cef, kv, leef, windows
from ingest.formats.access import common as common_access
from ingest.formats.access import frame as access
from ingest.formats.csv import frame as csv
from ingest.formats.w3c import frame as w3c
from ingest.formats.xml import frame as xml
from ingest.jsontext import read_json
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ingest.mapping.recognition import Candidate

    #: A format's name and the fields of a line in it.
    Framed = tuple[str, dict[str, Any]]

#: How far into a text a mark may stand, characters.
MAX_LEAD = 1_024

#: How far into a text a JSON object may begin, characters.
MAX_PREFIX = 128

#: How much of a text pairs are looked for in, characters.
MAX_PAIRS = 16_384

#: The fewest equals signs of a text of pairs.
MIN_PAIRS = 2

#: The largest share of control and undecodable characters that a text may have.
MAX_CONTROL_SHARE = 0.1

#: What a Windows event has of which only its text for people is left, or Splunk's lines.
_RENDERED = ("EventCode=", "WinEvtLog: ", ":\t", "#011")

_CONTROL = bytes(code for code in (*range(32), 0x7F) if code not in (9, 10, 13))


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


def may_be_marked(text: str) -> bool:
    """False for a text that has none of the marks that `marked` looks for."""
    return (
        "CEF:" in text
        or '] "' in text
        or "audit(" in text
        or text[0] in "<012 #"
        or "LEEF:" in text
        or "EventID" in text
        or "MSWinEventLog" in text
    )


def marked(text: str) -> Iterator[Framed]:
    """Frames that a mark in the text gives away: access logs, CEF, LEEF, Windows, auditd, XML."""
    if '] "' in text and (fields := common_access(text)):
        yield "access", fields  # all of the text is as it must be, so it is no mark within a value
    lead = text[:MAX_LEAD]
    first = text[:4].lstrip()
    headless = first[:1] in "012" and first[1:2] in "|."
    if (headless or "CEF:" in lead) and (fields := cef.frame(text)):
        yield "cef", fields
    if (headless or "LEEF:" in lead) and (fields := leef.frame(text)):
        yield "leef", fields
    if text[0] == "<" or "EventID" in lead or "MSWinEventLog" in lead:
        framed = windows.frame(text)
        if framed:
            yield "windows", dict(framed)
    if "audit(" in lead and (fields := auditd.frame(text)):
        yield "auditd", fields
    if text[0] == "<" and (fields := xml(text)):
        yield "xml", fields
    if '] "' in text and (fields := access(text)):
        yield "access", fields
    if text[0] == "#" and (fields := w3c(text)):
        yield "w3c", fields


def unmarked(text: str, columns: Iterable[Candidate]) -> Iterator[Framed]:
    """Frames of texts without a mark: CSV of known columns, pairs."""
    lead = text[:MAX_LEAD]
    if any(mark in lead for mark in _RENDERED):
        framed = windows.frame(text)
        if framed:
            yield "windows", dict(framed)
    for one in columns:
        separated = csv(text, one.entry.columns, one.entry.delimiter)
        if separated is not None:
            yield "csv", separated
    if text.count("=", 0, MAX_PAIRS) >= MIN_PAIRS and (fields := kv.frame(text)):
        yield "kv", fields


def check_text(text: str) -> None:
    """Raises BadInput `not_text` if too much of a text is control characters."""
    # As bytes: to translate a text costs fifty times as much, 90 ms for the longest.
    data = text.encode("utf-8", "replace")
    strange = len(data) - len(data.translate(None, _CONTROL)) + text.count("\ufffd")
    if strange > len(text) * MAX_CONTROL_SHARE:
        raise BadInput(
            "not_text",
            f"{strange} of {len(text)} characters are control characters or no UTF-8: "
            "binary data, or a text in another encoding",
        )
