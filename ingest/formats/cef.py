r"""ArcSight Common Event Format: `CEF:0|vendor|product|version|id|name|severity|key=value …`.

Read as it is really written (ArcSight CEF implementation standard, revision 25, and its many
careless authors): anything before `CEF:`, a header that lost `CEF:` to a syslog parser, blanks
around header fields and after `=`, line breaks between pairs, values with blanks, and values that
escape (`\=`, `\\`, `\n`, `\|`) as well as values that do not (`C:\new\x.exe`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Names of the header fields, in order, as the CEF dictionary spells them.
HEADER = (
    *("cefVersion", "deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId"),
    *("name", "severity"),
)

#: Where pairs go whose key is also the name of a header field.
CONFLICTS = "extension"

#: Where text goes that belongs to no pair.
UNPARSED = "unparsed"

#: How far into a text `CEF:` may begin, characters: what is before it is a syslog header.
MAX_LEAD = 1_024

#: The fewest header fields, version included: fewer are a text that mentions CEF.
MIN_HEADER = 5

#: How much of a text its header fields may take where they have escapes, characters.
MAX_HEADER = 65_536

#: Most pairs of one event; what follows them stays whole under UNPARSED.
MAX_PAIRS = 1_024

#: How much of an extension is read as pairs, characters: twice as much took 50 ms; what follows
#: stays whole under UNPARSED.
MAX_EXTENSION = 131_072

_START = re.compile(r"CEF: ?(\d(?:\.\d)?) ?\|", re.ASCII)
_HEADLESS = re.compile(r"\s?([01])\|(?=(?:[^|]{1,256}\|){3})", re.ASCII)
_FIELD = re.compile(r"((?:[^|\\]++|\\.)*+)(?:\||\Z)", re.DOTALL)
_KEY = re.compile(r"\s([\w.\-\[\]]{1,128})=")
#: All but the escaped backslash.
_ESCAPES = {"\\=": "=", "\\|": "|", "\\n": "\n", "\\r": "\r"}
_IS_ESCAPED = re.compile(r"(?![A-Za-z]:\\[^\\=|])(?:[^\\]++|\\[\\=|nr])*+", re.ASCII)


def frame(text: str) -> dict[str, Any] | None:
    """The fields of a CEF event, None if `text` is none.

    Header fields by their names of HEADER, then the extension's keys as they are written; a key
    met twice is a list; `labels` holds labelled custom fields by their label's text
    (`cs1Label=User cs1=x` is also `labels.User`); a key that is a header name is under CONFLICTS.
    """
    match = _START.search(text, 0, MAX_LEAD)
    if match is None:
        match = _HEADLESS.match(text)
        if match is None:
            return None
    header, extension = split_header(text, match.end(), len(HEADER) - 1)
    if len(header) < MIN_HEADER - 1:
        return None
    fields: dict[str, Any] = {"cefVersion": match[1]}
    fields.update(zip(HEADER[1:], header, strict=False))
    read = extension[:MAX_EXTENSION]
    if not _add_plain(fields, read):
        add_pairs(fields, read_pairs(read), HEADER)
    if len(extension) > MAX_EXTENSION:
        add(fields, UNPARSED, extension[MAX_EXTENSION:])
    return fields


def _add_plain(fields: dict[str, Any], extension: str) -> bool:
    """Add the pairs of an extension without escapes and double keys; False for any other.

    That is most of them, and it takes a third of the time.
    """
    if "\\" in extension:
        return False
    pieces = _KEY.split(f" {extension}")
    if pieces[0] or len(pieces) > MAX_PAIRS:
        return False
    pairs = dict(zip(pieces[1::2], map(str.strip, pieces[2::2]), strict=True))
    if len(pairs) != len(pieces) // 2 or not pairs.keys().isdisjoint((*fields, *_OURS)):
        return False
    fields.update(pairs)
    if "Label=" in extension:
        _add_labelled(fields, [key for key in pairs if key.endswith("Label")])
    return True


def split_header(text: str, start: int, count: int) -> tuple[list[str], str]:
    """At most `count` header fields from `start`, unescaped, and the text that follows them."""
    head = text[start:]
    plain = head.split("|", count)
    rest = plain.pop() if len(plain) > count else ""
    if head.find("\\", 0, len(head) - len(rest)) < 0:
        return [field.strip() for field in plain], rest
    fields: list[str] = []
    at, end = 0, min(len(head), MAX_HEADER)
    while len(fields) < count and at < end:
        match = _FIELD.match(head, at, end)
        if match is None:  # a lone backslash at the very end
            fields.append(head[at:].strip())
            return fields, ""
        parts = [part.replace("\\|", "|") for part in match[1].split("\\\\")]
        fields.append("\\".join(parts).strip())
        at = match.end()
    return fields, head[at:]


def read_pairs(extension: str) -> Iterable[tuple[str, str]]:
    """The pairs of an extension whose keys stand after blanks; text before them as UNPARSED."""
    pieces = _KEY.split(f" {extension}", MAX_PAIRS)
    if lead := pieces[0].strip():
        yield UNPARSED, lead
    for index in range(1, len(pieces), 2):
        value = pieces[index + 1].strip()
        yield pieces[index], unescape(value) if "\\" in value else value


def unescape(value: str) -> str:
    r"""`value` without CEF's escapes; one whose author did not escape keeps its backslashes.

    An author does not escape if a backslash stands before anything else than `\`, `=`, `|`, `n`
    and `r`, or behind a drive letter: a path must not get line breaks.
    """
    if _IS_ESCAPED.fullmatch(value) is None:
        return value.replace("\\=", "=").replace("\\|", "|")
    # A text at a time: a pattern would ask for each escape, 60 ms for the longest value.
    return "\\".join([_without_escapes(part) for part in value.split("\\\\")])


def _without_escapes(text: str) -> str:
    for escape, meaning in _ESCAPES.items():
        text = text.replace(escape, meaning)
    return text


def add_pairs(
    fields: dict[str, Any], pairs: Iterable[tuple[str, str]], reserved: tuple[str, ...]
) -> None:
    """Add pairs to `fields`, then the labelled ones; keys of `reserved` go under CONFLICTS."""
    labelled: list[str] = []
    for key, value in pairs:
        if key in reserved or key in _OURS:
            fields.setdefault(CONFLICTS, {})
            add(fields[CONFLICTS], key, value)
        elif key in fields:
            add(fields, key, value)
        else:
            fields[key] = value
            if key.endswith("Label"):
                labelled.append(key)
    _add_labelled(fields, labelled)


def _add_labelled(fields: dict[str, Any], labelled: list[str]) -> None:
    """Give the fields whose keys `labelled` label their names."""
    for label in labelled:
        values, text = fields.get(label[:-5]), fields[label]
        if values and text and isinstance(text, str):
            labels = fields.setdefault("labels", {})
            for item in values if isinstance(values, list) else (values,):
                add(labels, text, item)


_OURS = frozenset({"labels", CONFLICTS})


def add(fields: dict[str, Any], key: str, value: str) -> None:
    """Set `key`, or make it a list of every value it was met with."""
    known = fields.get(key)
    if known is None:
        fields[key] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        fields[key] = [known, value]
