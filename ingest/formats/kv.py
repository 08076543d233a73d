r"""Text of pairs: `key=value key="a value" …`, and lines of `Key: value`.

No standard: firewalls and appliances separate with blanks, `, `, `,`, `;`, `|`, tabs or line
breaks, quote with `"` or `'`, escape quotes with `\` or by doubling, or do not quote at all
(`msg=User logged in src=192.0.2.1`: a value ends where the next key begins).
"""

from __future__ import annotations

import re
from typing import Any

from ingest.formats.cef import UNPARSED, add

#: Most pairs of one text; what follows them stays whole under UNPARSED.
MAX_PAIRS = 2_048

#: The fewest pairs that make a text one of pairs.
MIN_PAIRS = 2

#: Longest text that is read, characters: reading takes 0.2 µs for each of them at the worst.
MAX_TEXT = 65_536

#: How much of a text is looked at to learn what separates its pairs, characters.
SAMPLE = 4_096

_NAME = r"[^\W\d][\w.\-/@$#]{0,63}(?:\([\w\-]{1,40}\))?"
_PLAIN = re.compile(
    r'(?<![^ ])([^\W\d][\w.\-/]{0,63})=("[^"\\]*"|[^\s"\'=,;|\[\](){}<>&]*+)(?: |\Z)'
)
_FIRST = re.compile(rf"[\s\[({{<]{{0,8}}[\"']?{_NAME}[\"']?(?:=| = )")
_BOUNDARY = re.compile(rf"(^|[,;] |[\s,;|&])[\"']?{_NAME}[\"']?=")
_SPACED = re.compile(rf"(?:^|[\s,;|]){_NAME} = ?")
_QUOTED = {
    '"': re.compile(r'"((?:[^"\\]|\\.|"")*+)"(?=[\s,;|&\]})>]|\Z)', re.DOTALL),
    "'": re.compile(r"'((?:[^'\\]|\\.)*+)'(?=[\s,;|&\]})>]|\Z)", re.DOTALL),
}
_CLOSING = {
    '"': re.compile(r'"(?=[\s,;|&\]})>]|\Z)'),
    "'": re.compile(r"'(?=[\s,;|&\]})>]|\Z)"),
}
#: A blank, an opening bracket, or the opening of a named group of pairs: ` [alg key=value`.
_BLANK = r"\s\[\w{1,32}\s|[\s\[({]"
_KEYS = {
    separator: re.compile(rf"(?:\A|{before})[\"']?({_NAME})[\"']?{equals}")
    for separator, before, equals in (
        (" ", _BLANK, "="),
        (", ", _BLANK, "="),
        ("; ", _BLANK, "="),
        (",", r",\s?", "="),
        (";", r";\s?", "="),
        ("|", r"\|\s?", "="),
        ("&", r"&", "="),
        ("\t", r"[\t\n]", "="),
        ("\n", r"\n", "="),
        ("=", r"[\s,;|]", " = ?"),
    )
}
_ESCAPE = re.compile(r"\\([\"'\\])")
_IS_ESCAPED = re.compile(r"(?![A-Za-z]:\\[^\\])(?:[^\\]++|\\[\"'\\])*+", re.ASCII)
_LINES = re.compile(r"\r?\n|\\r\\n|#015#012|#012|\\n|\t|#011")
_LINE = re.compile(r"\s{0,64}([^\W\d][\w /()\-.']{0,63}?) ?:(?: |$)(.*)", re.DOTALL)


def frame(text: str) -> dict[str, Any] | None:
    """The pairs of a text that is made of pairs, None if it is not: values are texts.

    A key met twice is a list of its values; text that belongs to no pair is under `unparsed`.
    A text qualifies if it begins with a key and has MIN_PAIRS pairs at least.
    """
    if len(text) > MAX_TEXT:
        return None
    if _FIRST.match(text) is not None:
        fields = pairs(text.strip())
        if len(fields) - (UNPARSED in fields) >= MIN_PAIRS:
            return fields
    return lines(text) if ": " in text else None


def pairs(text: str) -> dict[str, Any]:
    """Every pair of `key=value` in a text, wherever it begins; the rest under `unparsed`."""
    return plain(text) or _pairs(text)


def plain(text: str) -> dict[str, Any] | None:
    """The pairs of a text that is nothing but `key=value key="a value"`, None for any other.

    That is what most devices write, and takes a tenth of the time.
    """
    found = _PLAIN.findall(text)
    if len(found) > MAX_PAIRS:
        return None
    if sum([len(key) + len(value) + 2 for key, value in found]) != len(text) + 1:
        return None  # something else stands between the pairs
    fields = {key: value[1:-1] if value[:1] == '"' else value for key, value in found}
    return fields if len(fields) == len(found) else None


def _pairs(text: str) -> dict[str, Any]:
    separator = _separator(text)
    find = _KEYS[separator]
    strip = ", ;" if separator in (", ", "; ", "=") else " "
    fields: dict[str, Any] = {}
    match = find.search(text)
    if match is None:
        return {UNPARSED: text.strip()} if text.strip() else {}
    _leave(fields, text[: match.start()])
    quoting = '="' in text
    unclosed: set[str] = set()
    count = 0
    while match is not None:
        count += 1
        at = match.end()
        value, end = _quoted(text, at, unclosed)
        following = find.search(text, end) if count < MAX_PAIRS else None
        stop = len(text) if following is None else following.start()
        if value is None:
            value = text[at:stop]
            if count == MAX_PAIRS or (quoting and separator == " "):
                value, rest = _word(value)
                _leave(fields, rest)
            value = _bare(value, strip)
        else:
            _leave(fields, text[end:stop].strip(_AROUND))
        if text[match.start() : match.start() + 2].endswith("["):  # the name of a group
            _leave(fields, text[match.start() + 2 : match.start(1)].strip(_AROUND))
        add(fields, match[1], value)
        match = following
    return fields


_AROUND = " \t\r\n,;|&])}>\0"


def _separator(text: str) -> str:
    """What stands between the pairs: the commonest of the separators before keys."""
    counts: dict[str, int] = {}
    spaced = 0
    sample = text[:SAMPLE]
    for match in _BOUNDARY.finditer(sample):
        before = match[1]
        if before:
            counts[before] = counts.get(before, 0) + 1
    if " = " in sample:
        spaced = len(_SPACED.findall(sample))
    if " " in sample:
        counts.pop("&", None)  # the query of a URL
    if not counts:
        return "=" if spaced else " "
    best = max(counts, key=lambda before: counts[before])
    if spaced > counts[best]:
        return "="
    if best in "\r\n" and counts.get(" ", 0) == 0:
        return "\n"
    return best if best in _KEYS and best != "=" else " "


def _quoted(text: str, at: int, unclosed: set[str]) -> tuple[str | None, int]:
    """A quoted value that begins at `at` and where it ends; None for one without quotes.

    `unclosed` are the marks that close nothing from here on: each is looked for to the end once.
    """
    mark = text[at : at + 1]
    pattern = _QUOTED.get(mark)
    if pattern is None or mark in unclosed:
        return None, at
    match = pattern.match(text, at)
    if match is not None:
        value = match[1]
        if '""' in value:
            value = value.replace('""', '"')
        return (_unescape(value) if "\\" in value else value), match.end()
    closing = _CLOSING[mark].search(text, at + 1)  # quotes or a last backslash inside
    if closing is None:
        unclosed.add(mark)
        return None, at
    return text[at + 1 : closing.start()], closing.end()


def _unescape(value: str) -> str:
    if _IS_ESCAPED.fullmatch(value) is None:
        return value.replace('\\"', '"')
    return _ESCAPE.sub(r"\1", value)


def _word(text: str) -> tuple[str, str]:
    """The first word, and what follows it: authors who quote do not write blanks unquoted."""
    if text[:1] in " \t":
        return "", text
    for index, letter in enumerate(text):
        if letter in " \t\r\n":
            return text[:index], text[index:]
    return text, ""


def _bare(value: str, strip: str) -> str:
    value = value.strip().rstrip(strip)
    if value and value[-1] in "])}>" and value.count(_OPENING[value[-1]]) < value.count(value[-1]):
        value = value[:-1].rstrip()
    return value


_OPENING = {"]": "[", ")": "(", "}": "{", ">": "<"}


def _leave(fields: dict[str, Any], text: str) -> None:
    """Keep what belongs to no pair."""
    if text := text.strip():
        add(fields, UNPARSED, text)


def lines(text: str) -> dict[str, Any] | None:
    """The pairs of a text whose lines (or tabs) hold one `Key: value` each, None if it is not one.

    Three at least, and at most a quarter of the lines may be something else; those continue the
    value before them.
    """
    pieces = _LINES.split(text, MAX_PAIRS)
    if len(pieces) < 3:
        return None
    fields: dict[str, Any] = {}
    last = ""
    known = 0
    for piece in pieces:
        match = _LINE.fullmatch(piece)
        if match is not None:
            known += 1
            last = match[1].strip()
            add(fields, last, match[2].strip())
        elif not piece.strip():
            known += 1
        elif last:
            value = fields[last]
            if isinstance(value, list):
                value[-1] = f"{value[-1]}\n{piece.strip()}".strip()
            else:
                fields[last] = f"{value}\n{piece.strip()}".strip()
        else:
            _leave(fields, piece)
    if len(fields) < 3 or known < len(pieces) * 3 / 4:
        return None
    return fields
