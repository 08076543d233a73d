"""What must stand in an event's JSON text for a value to match: the literals that are scanned for.

A literal is bytes in lower case, as `orjson.dumps` writes the text. A pattern gives a *clause*: a
set of literals at least one of which stands in the text of every event with a value that the
pattern accepts (compared without ASCII case), or None if no such set is known. Bad literals cost
time, never a match: what the scan finds is evaluated exactly.

Caseless comparison of other alphabets is avoided: only the longest ASCII stretch of a text is
used. `ODD_LETTERS` are the four characters outside ASCII that fold into it; an event that holds
one is scanned a second time, folded.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import TYPE_CHECKING

import orjson

from detect.sigma.patterns import AnyOf, Cidr, Number, Regex, Text, Wildcard
from detect.sigma.regex_literals import required
from detect.sigma.values import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from detect.sigma.patterns import Compare, Pattern

Clause = frozenset[bytes]

#: Shorter literals are in nearly every event.
MIN_LENGTH = 2
#: Shorter ASCII stretches say less than one letter of another alphabet.
MIN_ASCII = 8
#: Most literals of a clause; a rule with a list of 100,000 values must not fill the database.
MAX_CLAUSE = 2_000
#: Longest literal, bytes: more says no more.
MAX_LITERAL = 48
#: Long s, dotted capital i, dotless i and the Kelvin sign: `lower`, or a caseless expression,
#: takes them for ASCII letters.
ODD_LETTERS = ("\u017f", "\u0130", "\u0131", "\u212a")

_ASCII = re.compile(r"[\x00-\x7f]+")
#: 5 is 5 and 5.0, 1e16 is 1e+16 to Python: what may be a piece of a number needs care.
_PART_OF_NUMBER = re.compile(r"[+-]?\d*\.?\d*(?:e[+-]?\d*)?|")
_WORDS = ("true", "false")


def clause_of(pattern: Pattern) -> Clause | None:
    """The clause of a pattern, None if it has none."""
    match pattern:
        case Text():
            return _text(pattern)
        case Wildcard():
            return _wildcard(pattern)
        case Regex(source=source):
            return _regex(source)
        case Number(number=number):
            return _number(str(number))
        case Cidr():
            return _cidr(pattern)
        case AnyOf(patterns=patterns):
            return union(map(clause_of, patterns))
        case _:
            return None


def union(clauses: Iterable[Clause | None]) -> Clause | None:
    """The clause of alternatives; None if one of them has none, or if it became too large."""
    literals: set[bytes] = set()
    for clause in clauses:
        if clause is None or len(literals) + len(clause) > MAX_CLAUSE:
            return None
        literals |= clause
    return frozenset(literals) or None


def escaped(text: str) -> bytes:
    """`text` as it stands inside a JSON string, in lower case."""
    return orjson.dumps(text)[1:-1].lower()


def _longest_ascii(text: str) -> str:
    return max(_ASCII.findall(text), key=len, default="")


def _letters(text: str) -> Clause | None:
    """For a text with hardly any ASCII: one of its other letters, in all its cases."""
    letter = next((char for char in text if not char.isascii() and char not in ODD_LETTERS), "")
    if not letter:
        return None
    return frozenset(each.encode() for each in {letter, *_cases().get(fold(letter), ())})


@cache
def _cases() -> dict[str, tuple[str, ...]]:
    """Letters outside ASCII by what they are folded to."""
    cases: dict[str, list[str]] = {}
    for code in range(0x80, 0x20000):
        char = chr(code)
        if not 0xD800 <= code < 0xE000 and (folded := fold(char)) != char:
            cases.setdefault(folded, []).append(char)
    return {folded: tuple(found) for folded, found in cases.items()}


def _clause(literals: Iterator[bytes] | Iterable[bytes]) -> Clause | None:
    kept = {literal[:MAX_LITERAL] for literal in literals}
    return None if not kept or min(map(len, kept)) < MIN_LENGTH else frozenset(kept)


def _number(text: str) -> Clause | None:
    """A JSON number may be written in several ways; its digits, if that is all, in one."""
    plain = text.isdigit() and len(text) <= 15 and (len(text) > 3 or text[0] != "0")
    return _clause([text.encode()]) if plain else None


def first_digits(least: Compare, greatest: Compare) -> str:
    """What a JSON number that satisfies both may begin with; "" where that is not told.

    `least` is gt or gte, `greatest` lt or lte.
    """
    if not 1 <= least.number <= greatest.number < math.inf:
        return ""
    low, high = math.floor(least.number), math.floor(greatest.number)
    if greatest.operator == "lt" and high == greatest.number and high > low:
        high -= 1
    begin, end = str(low), str(high)
    if len(begin) != len(end):
        return ""
    return "".join(map(str, range(int(begin[0]), int(end[0]) + 1)))


def _text(pattern: Text) -> Clause | None:
    folded = pattern.text.lower()
    if _PART_OF_NUMBER.fullmatch(folded):
        return _number(folded)
    if folded in _WORDS:
        return frozenset({folded.encode()})
    inner = _longest_ascii(folded)
    if len(inner) < MIN_ASCII and (letters := _letters(folded)) is not None:
        return letters
    whole = inner == folded
    starts = whole and pattern.operator in ("", "startswith")
    ends = whole and pattern.operator in ("", "endswith")
    literal = escaped(inner)
    quoted = (b'"' if starts else b"") + literal + (b'"' if ends else b"")
    # Paths and command lines begin alike, so the end says more.
    part = quoted[:MAX_LITERAL] if starts and not ends else quoted[-MAX_LITERAL:]
    return _clause([part, *_of_object(pattern.operator, inner, literal)])


def _of_object(operator: str, text: str, literal: bytes) -> Iterator[bytes]:
    """A value that is an object is compared by its JSON text, which is not escaped again."""
    raw = text.lower().encode()
    if operator == "contains":
        if raw not in literal:
            yield raw[-MAX_LITERAL:]
    elif text.endswith("}") if operator == "endswith" else text.startswith("{"):
        yield raw[-MAX_LITERAL:]


def _wildcard(pattern: Wildcard) -> Clause | None:
    texts = [
        stretch for run in pattern.runs for _, text in run.literals
        for stretch in _ASCII.findall(text.lower())
    ]  # fmt: skip
    return _anywhere(max(texts, key=len, default=""))


def _anywhere(text: str) -> Clause | None:
    """A text that stands somewhere in the value."""
    if _PART_OF_NUMBER.fullmatch(text):
        return _number(text)
    literal = escaped(text)
    return _clause([literal[-MAX_LITERAL:], *_of_object("contains", text, literal)])


def _regex(source: str) -> Clause | None:
    alternatives = required(source)
    if alternatives is None:
        return None
    return union(_anywhere(_longest_ascii(text.lower())) for text in alternatives)


def _cidr(pattern: Cidr) -> Clause | None:
    """Whole bytes of an IPv4 network stand in its addresses, also in wrapped ones."""
    network = pattern.network
    octets = network.prefixlen // 8
    if network.version != 4 or not octets:
        return None
    parts = str(network.network_address).split(".")[:octets]
    text = ".".join(parts) + ("." if octets < 4 else "")
    return None if octets < 4 and not text else _clause([text.encode()])
