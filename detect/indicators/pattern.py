"""STIX patterns (STIX 2.1, part 9) that name single values, and what they name.

A pattern is used if it says *any of these values*: comparisons with =, IN and ISSUBSET joined by
OR. Hashes joined by AND are the names of one file, so any of them will do. Everything else (AND
of different things, FOLLOWEDBY, REPEATS, START, NOT, LIKE, MATCHES) needs more than one value at
once: to take a part of it alone would accuse the innocent, so it is refused with its reason.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.indicators.values import Kind

#: Longest pattern, characters, and deepest nesting of parentheses.
MAX_PATTERN = 32_768
MAX_DEPTH = 32

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>[tbh]?'(?:[^'\\]|\\.)*')
      | (?P<path>[a-z][a-z0-9-]*:(?:[A-Za-z0-9_.\-\[\]*]|'(?:[^'\\]|\\.)*')+)
      | (?P<word>[A-Za-z]+)
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<sign>!=|<>|<=|>=|[=<>()\[\],])
    )""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

#: Object paths that events can be asked about, and what their values may be.
_NETWORK: tuple[Kind, ...] = ("ip", "range")
_PATHS: dict[str, tuple[Kind, ...]] = {
    "ipv4-addr:value": _NETWORK,
    "ipv6-addr:value": _NETWORK,
    "network-traffic:dst_ref.value": (*_NETWORK, "domain"),
    "network-traffic:src_ref.value": (*_NETWORK, "domain"),
    "domain-name:value": ("domain",),
    "url:value": ("url", "domain"),
    "email-addr:value": ("email",),
    "email-message:from_ref.value": ("email",),
    "email-message:sender_ref.value": ("email",),
}
_HASHED = ("file:hashes.", "artifact:hashes.", "file:hashes[")


class Atom(NamedTuple):
    """A value that a pattern names, and the kinds it may be of."""

    value: str
    kinds: tuple[Kind, ...]


class Unsupported(ValueError):
    """A pattern that is none, or says more than single values; `reason` is bounded."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class _Token(NamedTuple):
    kind: str
    text: str


def atoms(pattern: str) -> list[Atom]:
    """Every value that a pattern names; raises Unsupported."""
    if len(pattern) > MAX_PATTERN:
        raise Unsupported("pattern_too_long")
    return _Parser(list(_tokens(pattern))).whole()


def _tokens(pattern: str) -> Iterator[_Token]:
    at, end = 0, len(pattern.rstrip())
    while at < end:
        match = _TOKEN.match(pattern, at)
        if match is None or match.lastgroup is None:
            raise Unsupported("pattern_invalid")
        yield _Token(match.lastgroup, match[match.lastgroup])
        at = match.end()


class _Parser:
    """Recursive descent; each method returns the values that its part names."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def whole(self) -> list[Atom]:
        found = self._observations(0)
        if self._at < len(self._tokens):
            raise Unsupported("pattern_invalid")
        return found

    def _observations(self, depth: int) -> list[Atom]:
        found = self._observation(depth)
        while (word := self._word()) in ("OR", "AND", "FOLLOWEDBY"):
            if word != "OR":
                raise Unsupported("pattern_compound")
            self._next()
            found += self._observation(depth)
        return found

    def _observation(self, depth: int) -> list[Atom]:
        if depth > MAX_DEPTH:
            raise Unsupported("pattern_too_deep")
        if self._sign("("):
            found = self._observations(depth + 1)
            self._expect(")")
        else:
            self._expect("[")
            found = self._comparisons(depth + 1)
            self._expect("]")
        if self._word() in ("WITHIN", "REPEATS", "START"):
            raise Unsupported("pattern_compound")
        return found

    def _comparisons(self, depth: int) -> list[Atom]:
        found = self._conjunction(depth)
        while self._word() == "OR":
            self._next()
            found += self._conjunction(depth)
        return found

    def _conjunction(self, depth: int) -> list[Atom]:
        found = self._comparison(depth)
        while self._word() == "AND":
            self._next()
            found += self._comparison(depth)
            if any(atom.kinds != ("hash",) for atom in found):
                raise Unsupported("pattern_compound")
        return found

    def _comparison(self, depth: int) -> list[Atom]:
        if depth > MAX_DEPTH:
            raise Unsupported("pattern_too_deep")
        if self._sign("("):
            found = self._comparisons(depth + 1)
            self._expect(")")
            return found
        path = self._next()
        if path.kind != "path":
            raise Unsupported("pattern_invalid")
        kinds = _kinds(path.text)
        operator = self._next().text.upper()
        if operator == "IN":
            return [Atom(value, kinds) for value in self._set()]
        if operator not in ("=", "ISSUBSET"):
            raise Unsupported("pattern_operator")
        return [Atom(self._value(), kinds)]

    def _set(self) -> list[str]:
        self._expect("(")
        values = [self._value()]
        while self._sign(","):
            values.append(self._value())
        self._expect(")")
        return values

    def _value(self) -> str:
        token = self._next()
        if token.kind != "text" or token.text[0] != "'":
            raise Unsupported("pattern_invalid")
        return _ESCAPED.sub(r"\1", token.text[1:-1])

    def _next(self) -> _Token:
        if self._at >= len(self._tokens):
            raise Unsupported("pattern_invalid")
        self._at += 1
        return self._tokens[self._at - 1]

    def _word(self) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at].kind != "word":
            return ""
        return self._tokens[self._at].text.upper()

    def _sign(self, sign: str) -> bool:
        """Whether that sign is next; it is then read."""
        if self._at < len(self._tokens) and self._tokens[self._at] == ("sign", sign):
            self._at += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._sign(sign):
            raise Unsupported("pattern_invalid")


def _kinds(path: str) -> tuple[Kind, ...]:
    if path.startswith(_HASHED):
        return ("hash",)
    if (kinds := _PATHS.get(path)) is None:
        raise Unsupported("pattern_object")
    return kinds
