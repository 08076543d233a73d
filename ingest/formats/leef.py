"""IBM's Log Event Extended Format, 1.0 and 2.0.

`LEEF:1.0|vendor|product|version|event id|key=value<TAB>…` and
`LEEF:2.0|vendor|product|version|event id|delimiter|key=value<delimiter>…`, where the delimiter is
one character or its code (`x09`, `0x5e`) and may be empty (IBM QRadar LEEF format guide). Read as
it is really written too: a header that lost `LEEF:` to a syslog parser, tabs that a syslog daemon
wrote as `#011` or `\\t`, 2.0 without a delimiter field, blanks where tabs should be.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ingest.formats import cef

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Names of the header fields, in order, as the CEF dictionary spells them.
HEADER = ("leefVersion", "deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId")

#: How far into a text `LEEF:` may begin, characters.
MAX_LEAD = 1_024

_START = re.compile(r"LEEF: ?(\d(?:\.\d)?) ?\|", re.ASCII)
_HEADLESS = re.compile(r"\s?([12]\.0)\|(?=(?:[^|]{1,256}\|){3})", re.ASCII)
_DELIMITER = re.compile(r"([^|\w\s]|[ \t]|(?:0?[xX])?[0-9A-Fa-f]{2,4}|\\t)?\|", re.ASCII)
_KEY = re.compile(r"[\w.\-\[\]() /:#@]{1,128}")
_TABS = ("\t", "#011", "\\t", "^t")


def frame(text: str) -> dict[str, Any] | None:
    """The fields of a LEEF event, None if `text` is none.

    Header fields by their names of HEADER, then the keys as they are written; a key met twice is
    a list, a key that is a header name is under `extension`, text without a key `unparsed`.
    """
    match = _START.search(text, 0, MAX_LEAD) or _HEADLESS.match(text)
    if match is None:
        return None
    header, rest = cef.split_header(text, match.end(), len(HEADER) - 1)
    if len(header) < len(HEADER) - 1:
        return None
    fields: dict[str, Any] = {"leefVersion": match[1]}
    fields.update(zip(HEADER[1:], header, strict=True))
    delimiter = None
    if match[1].startswith("2") and (declared := _DELIMITER.match(rest)) is not None:
        rest = rest[declared.end() :]
        delimiter = _declared(declared[1])
    if not (delimiter in (None, "\t") and _add_plain(fields, rest)):
        cef.add_pairs(fields, _pairs(rest, delimiter), HEADER)
    return fields


def _add_plain(fields: dict[str, Any], text: str) -> bool:
    """Add pairs that tabs separate, where nothing is odd about them; False where something is."""
    pieces = text.split("\t")
    if len(pieces) == 1 or len(pieces) > cef.MAX_PAIRS or "Label=" in text:
        return False
    pairs: dict[str, str] = {}
    for piece in pieces:
        key, equals, value = piece.partition("=")
        if not equals or not key.isidentifier():
            return False
        pairs[key] = value.strip()
    if (
        len(pairs) != len(pieces)
        or not pairs.keys().isdisjoint(fields)
        or not _OURS.isdisjoint(pairs)
    ):
        return False
    fields.update(pairs)
    return True


_OURS = frozenset({"labels", cef.CONFLICTS})


def _declared(text: str | None) -> str | None:
    """The delimiter that the header of LEEF 2.0 names, None for the usual one."""
    if not text or text == "\\t":
        return None
    if len(text) == 1:
        return text
    code = int(text.lower().removeprefix("0").removeprefix("x") or "0", 16)
    return chr(code) if 0 < code < 0xD800 else None


def _pairs(text: str, delimiter: str | None) -> Iterator[tuple[str, str]]:
    if delimiter is None or delimiter not in text:
        delimiter = next((tab for tab in _TABS if tab in text), None)
    if delimiter is None:  # one pair, or an author who separates with blanks
        yield from cef.read_pairs(text)
        return
    name: str | None = None
    kept: list[str] = []
    for count, piece in enumerate(text.split(delimiter, cef.MAX_PAIRS)):
        key, equals, value = piece.partition("=")
        key = key.strip()
        if equals and count < cef.MAX_PAIRS and _KEY.fullmatch(key) is not None:
            yield from _joined(name, kept, delimiter)
            name, kept = key, [value]
        else:
            kept.append(piece)
    yield from _joined(name, kept, delimiter)


def _joined(name: str | None, kept: list[str], delimiter: str) -> Iterator[tuple[str, str]]:
    """A pair whose value held the delimiter itself is put together again."""
    value = delimiter.join(kept).strip()
    if name is not None:
        yield name, value
    elif value:
        yield cef.UNPARSED, value
