"""Finding the places where a value stands in a document, whatever the field, and replacing it.

A value is looked for in every text: alone, within a longer text (`event.original`, `message`,
URLs), in the spellings that logs give it (JSON, URL, XML and CEF escapes; an IPv4 address with
dashes; an IPv6 address however it is written), in any case. Values of eight characters and more
are found anywhere; shorter ones and addresses only between characters that are neither letters
nor digits, or the user `al` would take `signal` apart.
"""

from __future__ import annotations

import html
import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, quote_plus

from ingest.document import MAX_HOST, address

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tocsin.contracts import Document

#: What stands in a text where a dropped value stood.
REDACTED = "[redacted]"

#: Values of this length and more are found within words too.
ANYWHERE = 8

#: Texts that say nothing about anybody.
_PLACEHOLDERS = frozenset({"", "-", "--", "none", "null", "n/a", "unknown", REDACTED})

#: Keys by parent whose values have a fixed meaning or are the operator's: a user called `success`
#: may not change an outcome.
FIXED = {
    "": frozenset({"@timestamp", "ecs"}),
    "event": frozenset(
        (
            *("category", "created", "dataset", "end", "id", "ingested", "kind", "module"),
            *("outcome", "start", "timezone", "type"),
        )
    ),
    "tocsin": frozenset({"origin", "parser", "privacy", "residency", "source", "tenant"}),
}
_SIGMA, _FINAL_SIGMA = "\N{GREEK SMALL LETTER SIGMA}", "\N{GREEK SMALL LETTER FINAL SIGMA}"
#: Places that are looked at one by one before a pattern is compiled.
_PATIENCE = 64
_NONE: frozenset[str] = frozenset()

_IPV6 = re.compile(r"[0-9A-Fa-f:.]{0,45}:[0-9A-Fa-f:.]{1,45}")
_ESCAPE = re.compile(r"(?:\\[bfnrt]|\\u[0-9a-fA-F]{4}|%[0-9a-fA-F]{2})\Z")
_NEVER_ESCAPED = re.compile(r"[A-Za-z0-9_.~\-]*")
_ESCAPED_IN_URLS = re.compile(r"[A-Za-z0-9_.~\-:@/ +,;()!#$*?\[\]]*")
_NOT_A_WORD = re.compile(r"[^A-Za-z_]")
_CEF = str.maketrans({"\\": "\\\\", "=": "\\=", "|": "\\|"})


class Needle(NamedTuple):
    """A value to look for, and what stands for it: None takes it away.

    `word` stands for a spelling that is no address although the value is one.
    """

    value: str
    replacement: str | None
    word: str


class _Form(NamedTuple):
    """One spelling of a needle, in lower case."""

    text: str
    replacement: str
    anywhere: bool


class Scrubber:
    """All the needles of one event; of two for one value the first counts."""

    def __init__(self, needles: Iterable[Needle]) -> None:
        self._exact: dict[str, str | None] = {}
        self._made: set[str | None] = set()
        self._addresses: dict[str, str] = {}
        forms: dict[str, _Form] = {}
        for needle in needles:
            folded = _folded(needle.value)
            if folded in _PLACEHOLDERS:
                continue
            self._exact.setdefault(folded, needle.replacement)
            self._made.add(needle.replacement)
            if ":" in folded and (canonical := address(folded)) is not None:
                self._addresses.setdefault(canonical, needle.replacement or REDACTED)
            for form in _forms(needle):
                forms.setdefault(form.text, form)
        self._forms = tuple(forms.values())

    def scrub(self, document: Document) -> None:
        """Replace in place, everywhere but where FIXED says."""
        if not self._forms:
            return
        fixed = FIXED[""]
        for root in list(document):
            if root not in fixed:
                self._put(document, root, FIXED.get(root, _NONE))

    def text(self, text: str) -> str | None:
        """The text without any needle; None for one that is a needle and is to go."""
        if text in self._made:
            return text
        folded = _folded(text)
        if folded in self._exact:
            return self._exact[folded]
        if self._addresses and ":" in text:
            text = _IPV6.sub(self._address, text)
            folded = _folded(text)
        spans = [
            (start, start + len(form.text), form)
            for form in self._forms
            if form.text in folded
            for start in _places(folded, form)
        ]
        return _replaced(text, spans) if spans else text

    def _put(self, node: dict[str, Any], key: str, fixed: frozenset[str]) -> None:
        """Replace within one field of an object; `fixed` are keys of its value to leave alone."""
        value = node[key]
        new = self._value(value, fixed)
        if new is value:
            return
        if new is None:
            del node[key]
        else:
            node[key] = new

    def _value(self, value: Any, fixed: frozenset[str] = _NONE) -> Any:
        """What stands there now; None if nothing may."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            for key in list(value):
                if key in fixed:
                    continue
                self._put(value, key, _NONE)
                if not _is_word(key) and key in value and (renamed := self._key(key)) != key:
                    value[renamed] = value.pop(key)
        elif isinstance(value, list) and value:
            new = [made for each in value if (made := self._value(each)) is not None]
            return new or None
        return value

    def _key(self, key: str) -> str:
        return self.text(key) or REDACTED

    def _address(self, found: re.Match[str]) -> str:
        """An IPv6 address in any spelling; what punctuation follows is outside of it."""
        text = found[0]
        for end in (len(text), len(text.rstrip(".:"))):
            canonical = address(text[:end])
            if canonical is not None and canonical in self._addresses:
                return self._addresses[canonical] + text[end:]
        return text


def _folded(text: str) -> str:
    """In lower case, letter by letter, so that places do not shift and no letter minds another."""
    if text.isascii():
        return text.lower()
    letters = (low if len(low := char.lower()) == 1 else char for char in text)
    return "".join(letters).replace(
        "\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"
    )


@lru_cache(8_192)
def _is_word(key: str) -> bool:
    """Whether a key is a word: those are field names far more often than users, and stay."""
    return _NOT_A_WORD.search(key) is None


def _places(text: str, form: _Form) -> Iterator[int]:
    """Where a form stands, without those that overlap the one before."""
    at, tried = text.find(form.text), 0
    while at >= 0:
        found = form.anywhere or _apart(text, at, at + len(form.text))
        if found:
            yield at
        tried += not found
        if tried > _PATIENCE:
            # A megabyte of one letter, and a user of that name: C is fifty times as fast.
            for match in _apart_pattern(form.text).finditer(text, at + 1):
                yield match.start()
            return
        at = text.find(form.text, at + (len(form.text) if found else 1))


def _apart(text: str, start: int, end: int) -> bool:
    """Whether neither a letter nor a digit is next to it; an escape before it is none."""
    if end < len(text) and text[end].isalnum():
        return False
    if start == 0 or not text[start - 1].isalnum():
        return True
    return _ESCAPE.search(text, max(0, start - 6), start) is not None


@lru_cache(256)
def _apart_pattern(text: str) -> re.Pattern[str]:
    """As `_apart` says; compiling it takes longer than looking at a few places."""
    before = r"(?:(?<![^\W_])|(?<=\\[bfnrt])|(?<=%[0-9a-f]{2})|(?<=\\u[0-9a-f]{4}))"
    return re.compile(f"{before}{re.escape(text)}(?![^\\W_])")


def _replaced(text: str, spans: list[tuple[int, int, _Form]]) -> str:
    """Spans that overlap become one, and the longest form's replacement stands for it."""
    spans.sort(key=lambda span: (span[0], -span[1]))
    parts: list[str] = []
    done = index = 0
    while index < len(spans):
        start, end, form = spans[index]
        index += 1
        while index < len(spans) and spans[index][0] < end:
            if len(spans[index][2].text) > len(form.text):
                form = spans[index][2]
            end = max(end, spans[index][1])
            index += 1
        parts += (text[done:start], form.replacement)
        done = end
    return "".join((*parts, text[done:]))


def _forms(needle: Needle) -> Iterator[_Form]:
    instead = REDACTED if needle.replacement is None else needle.replacement
    texts, dashed, anywhere = _spelled(needle.value)
    for text in texts:
        yield _Form(text, instead, anywhere)
    if dashed:
        yield _Form(dashed, REDACTED if needle.replacement is None else needle.word, anywhere)


@lru_cache(4_096)
def _spelled(value: str) -> tuple[tuple[str, ...], str, bool]:
    """The folded spellings of a value, one of an address with dashes, and whether within words."""
    is_address = len(value) <= MAX_HOST and address(value) is not None
    anywhere = len(value) >= ANYWHERE and not is_address
    dashed = value.replace(".", "-") if is_address and ":" not in value else ""
    return tuple(dict.fromkeys(map(_folded, _spellings(value)))), dashed, anywhere


def _spellings(value: str) -> tuple[str, ...]:
    """As it is, and as JSON, URLs, XML and CEF escape it: 20 µs, for most values none of it."""
    if _NEVER_ESCAPED.fullmatch(value) is not None:
        return (value,)
    utf8 = value.encode("utf-8", "replace")
    urls = (quote(utf8, safe=""), quote(utf8), quote_plus(utf8))
    if _ESCAPED_IN_URLS.fullmatch(value) is not None:
        return (value, *urls)
    return (
        value,
        json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(value)[1:-1],
        *urls,
        html.escape(value),
        value.translate(_CEF),
    )
