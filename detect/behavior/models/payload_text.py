"""What a model of web payloads sees of a parameter: decoded text, and its skeleton of tokens.

Both are meant to carry over to other collections: numbers are one sign, and in the skeleton words
are one sign too unless a language of attacks knows them.
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple
from urllib.parse import unquote_plus

import numpy as np

#: Longest text that is looked at, characters; rounds of decoding; parts of a query string.
LONGEST, ROUNDS, MAX_PARTS = 2048, 3, 16

_KNOWN = """
select union from where order by having group insert into values update set delete drop table
database schema exec execute declare cast convert char chr concat like limit sleep waitfor delay
benchmark null and or not between case when then else end if count user version information xp
cmdshell script javascript vbscript alert prompt confirm eval document cookie location window
onerror onload onmouseover iframe img src href svg body style expression object meta link input
fromcharcode html xml doctype entity system public etc passwd shadow bin sh bash cmd exe win ini
boot windows proc self environ cat ls id whoami wget curl ping uname echo dir type php asp
include require import os file http https data jndi ldap dns class getruntime template config
request
"""
#: Words of SQL, markup, scripts, shells and paths that keep their identity in the skeleton. Each
#: becomes a byte of its own above 127, so there are at most 128.
WORDS = _KNOWN.split()

_CODES = {word: chr(0x80 + number) for number, word in enumerate(dict.fromkeys(WORDS))}
_ESCAPED = re.compile(r"\\(?:x|u00)([0-9a-f]{2})", re.IGNORECASE)
_COMMENT = re.compile(r"/\*[^*]{0,256}\*/")
_BLANK = re.compile(r"\s+")
_DIGITS = re.compile(r"[0-9]+")
_HEXADECIMAL = re.compile(r"\b0x[0-9a-f]+")
_WORD = re.compile(r"[^\W\d_]+")
_SPECIAL = re.compile(r"[^\w\s]")

#: What is measured of a text, each about between 0 and 1.
FEATURES = (
    "length",
    "special_share",
    "special_count",
    "quotes_odd",
    "brackets_unbalanced",
    "attack_words",
    "climbs",
    "angle_brackets",
    "ends_in_comment",
    "longest_run",
)


class Seen(NamedTuple):
    """A text as bytes for the n-grams: plain, and its skeleton; and FEATURES."""

    plain: bytes
    skeleton: bytes
    measured: list[float]


def decoded(text: str) -> str:
    """Without URL encoding, character references, escapes and comments; lower case, one line."""
    current = text[:LONGEST]
    for _ in range(ROUNDS):
        before = current
        if "%" in current or "+" in current:
            current = unquote_plus(current, errors="replace")
        if "&" in current:
            current = html.unescape(current)
        if "\\" in current:
            current = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), current)
        if current == before:
            break
    current = _COMMENT.sub(" ", current.lower().replace("\0", ""))
    return _BLANK.sub(" ", current)[:LONGEST]


def parts(text: str) -> list[str]:
    """The text, and if it is a query string or has one, its path and values by themselves."""
    path, mark, query = text.partition("?")
    if not mark and ("=" not in text or "&" not in text):
        return [text]
    pairs = (query if mark else text).split("&")[:MAX_PARTS]
    values = [pair.partition("=")[2] for pair in pairs]
    return [text, *([path] if mark else []), *(value for value in values if value)]


def seen(text: str) -> Seen:
    """A parameter's value as the model sees it."""
    plain = decoded(text)
    numbered = _HEXADECIMAL.sub("0", plain)
    skeleton = _DIGITS.sub("0", _WORD.sub(_sign, numbered))
    return Seen(
        _DIGITS.sub("0", numbered).encode("ascii", "replace"),
        skeleton.replace("_", "w").encode("latin-1", "replace"),
        _measured(plain, skeleton),
    )


def _sign(word: re.Match[str]) -> str:
    return _CODES.get(word[0], "w")


def _measured(plain: str, skeleton: str) -> list[float]:
    special = _SPECIAL.findall(plain)
    size = max(len(plain), 1)
    unbalanced = sum(abs(plain.count(a) - plain.count(b)) for a, b in ("()", "[]", "{}", "<>"))
    words = sum(sign >= "\x80" for sign in skeleton)
    return [
        float(np.log1p(size) / 8),
        len(special) / size,
        float(np.log1p(len(special)) / 5),
        float(plain.count("'") % 2 or plain.count('"') % 2),
        min(unbalanced, 4) / 4,
        float(np.log1p(words) / 3),
        min(plain.count("../") + plain.count("..\\"), 4) / 4,
        min(plain.count("<"), 4) / 4,
        float(plain.rstrip().endswith(("--", "#", "/*", ";"))),
        min(_longest_run(plain), 32) / 32,
    ]


def _longest_run(text: str) -> int:
    """The length of the longest repetition of one character."""
    if len(text) < 2:
        return len(text)
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    breaks = np.flatnonzero(np.append(codes[1:] != codes[:-1], True))
    return int(np.diff(np.append(-1, breaks)).max())
