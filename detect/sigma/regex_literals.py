"""Texts that a regular expression cannot match without, read from its source.

Only what is certain is used: letters outside of optional, repeated-from-zero and negated parts.
A construct that is not understood ends the search, so the answer may be poorer than possible and
is never wrong.
"""

from __future__ import annotations

#: Most alternatives followed; more say too little each.
MAX_ALTERNATIVES = 64
#: Most letters of a class, and most texts by several classes in a row, that are told apart.
MAX_LETTERS = 4
MAX_RUNS = 16

_SPECIAL = frozenset(".^$*+?{}[]|()\\")
#: What has a meaning of its own in a class.
_IN_CLASSES = frozenset("\\^-[]")
#: Escapes that stand for themselves.
_PLAIN_ESCAPES = frozenset("\\.^$*+?{}[]|()-/ \"'#&~,:;<>=@!%_`")


class _Unclear(Exception):
    """The source holds something this reader does not follow."""


def required(source: str) -> tuple[str, ...] | None:
    """Texts of which one is in every match; None if there is no such set.

    The texts are as the source has them; with a caseless expression they are to be compared
    without case, which callers do anyway.
    """
    reader = _Reader(source)
    try:
        found = reader.alternatives()
        if reader.rest():
            return None
    except (_Unclear, IndexError, RecursionError):
        return None
    if not found or len(found) > MAX_ALTERNATIVES or not all(found):
        return None
    return tuple(dict.fromkeys(found))


def every_required(source: str) -> tuple[tuple[str, ...], ...]:
    """Sets of texts, each of which has one that is in every match; empty if none is known.

    As `required`, which names the most telling of them, for expressions that are one branch.
    """
    reader = _Reader(source)
    try:
        reader.alternatives()
    except (_Unclear, IndexError, RecursionError):
        return ()
    if reader.rest() or reader.branches != 1:
        return ()
    return tuple(
        dict.fromkeys(
            tuple(dict.fromkeys(found))
            for found in reader.sets
            if all(found) and len(found) <= MAX_ALTERNATIVES
        )
    )


def width(source: str) -> int:
    """The fewest characters that a match has, as far as that is certain."""
    reader = _Reader(source)
    try:
        reader.alternatives()
    except (_Unclear, IndexError, RecursionError):
        return 0
    return 0 if reader.rest() else reader.width


class _Reader:
    """Reads a source; each part is the best set of texts it requires ([''] for none)."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._depth = 0
        #: The fewest characters of the branches, and of the atom, that were read last.
        self.width = 0
        self._atom_width = 0
        #: How many branches were read last, and what the last of them requires.
        self.branches = 0
        self.sets: list[list[str]] = []

    def rest(self) -> bool:
        return self._at < len(self._source)

    def _peek(self) -> str:
        return self._source[self._at] if self._at < len(self._source) else ""

    def alternatives(self) -> list[str]:
        """Branches with `|` between: each branch's best texts together."""
        found = self._branch()
        width, branches = self.width, 1
        while self._peek() == "|":
            self._at += 1
            found = [*found, *self._branch()]
            width, branches = min(width, self.width), branches + 1
        self.width, self.branches = width, branches
        return found

    def _branch(self) -> list[str]:
        """A sequence: the most telling of its runs of letters and of its groups."""
        sets: list[list[str]] = []
        run = [""]
        width = 0
        while (char := self._peek()) and char not in "|)":
            texts, letters = self._atom()
            low = self._quantifier()
            width += low[0] * self._atom_width
            if letters and low[0] >= 1:
                if len(run) * len(letters) > MAX_RUNS:
                    sets.append(run)
                    run = [""]
                run = [text + letter for text in run for letter in letters]
                if low != (1, True):  # what follows is not known to stand right behind it
                    sets.append(run)
                    run = [""]
                continue
            sets.append(run)
            run = [""]
            if not letters and low[0] >= 1:
                sets.append(texts)
        self.width, self.sets = width, [*sets, run]
        best = [""]
        for each in self.sets:
            best = _better(best, each)
        return best

    def _atom(self) -> tuple[list[str], str]:
        """One atom: the texts it requires, and the letters of which it is one, as far as known."""
        char = self._source[self._at]
        self._at += 1
        self._atom_width = 1
        match char:
            case "(":
                self.width = 0
                found = self._group()
                self._atom_width = self.width
                return found, ""
            case "[":
                return self._set()
            case ".":
                return [""], ""
            case "^" | "$":
                self._atom_width = 0
                return [""], ""
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{":
                raise _Unclear
            case _:
                return [char], char

    def _group(self) -> list[str]:
        self._depth += 1
        if self._depth > 20:
            raise _Unclear
        lookaround = False
        if self._peek() == "?":
            self._at += 1
            lookaround = self._flags()
        found = self.alternatives() if not lookaround else [""]
        if self._peek() != ")":
            raise _Unclear
        self._at += 1
        self._depth -= 1
        return found

    def _flags(self) -> bool:
        """After `(?`: names and flags are passed over; True if the group is empty of text."""
        if self._source.startswith("P<", self._at) or self._source.startswith("<", self._at):
            if self._source[self._at + 1 : self._at + 2] in "=!":
                raise _Unclear
            self._at = self._source.index(">", self._at) + 1 if ">" in self._source else -1
            if self._at <= 0:
                raise _Unclear
            return False
        while self._peek() and self._peek() in "imsU-":
            self._at += 1
        if self._peek() == ":":
            self._at += 1
            return False
        if self._peek() == ")":
            return True
        raise _Unclear

    def _set(self) -> tuple[list[str], str]:
        """A class of few characters is one of those; one with ranges or more says nothing."""
        start = self._at
        if self._peek() == "^":
            self._at += 1
        if self._peek() == "]":
            self._at += 1
        while self._peek() != "]":
            if self._peek() == "\\":
                self._at += 1
            elif self._source.startswith("[:", self._at):
                self._at = self._source.index(":]", self._at) + 1
            if self._at >= len(self._source):
                raise _Unclear
            self._at += 1
        inside = self._source[start : self._at]
        self._at += 1
        letters = "".join(dict.fromkeys(inside.lower() if inside.isascii() else ""))
        if 0 < len(letters) <= MAX_LETTERS and not set(letters) & _IN_CLASSES:
            return [*letters], letters
        return [""], ""

    def _escape(self) -> tuple[list[str], str]:
        char = self._source[self._at]
        self._at += 1
        if char in _PLAIN_ESCAPES:
            return [char], char
        if char in "dDwWsSbBAz":
            self._atom_width = 0 if char in "bBAz" else 1
            return [""], ""
        if char in "tnr":
            text = {"t": "\t", "n": "\n", "r": "\r"}[char]
            return [text], text
        raise _Unclear

    def _quantifier(self) -> tuple[int, bool]:
        """How often at least, and whether exactly once."""
        char = self._peek()
        if char == "*":
            low = 0
        elif char == "+":
            low = 1
        elif char == "?":
            low = 0
        elif char == "{":
            return self._counted()
        else:
            return 1, True
        self._at += 1
        if self._peek() in ("?", "+"):
            self._at += 1
        return low, False

    def _counted(self) -> tuple[int, bool]:
        end = self._source.find("}", self._at)
        if end < 0:
            raise _Unclear
        low, comma, high = self._source[self._at + 1 : end].partition(",")
        if not low.isdigit() or (high and not high.isdigit()):
            raise _Unclear
        self._at = end + 1
        if self._peek() in ("?", "+"):
            self._at += 1
        return int(low), int(low) == 1 and not comma


def _better(known: list[str], other: list[str]) -> list[str]:
    """The set whose shortest text is longer; of equals the smaller one."""
    if not other:
        return known
    shortest, length = min(map(len, known)), min(map(len, other))
    if length != shortest:
        return other if length > shortest else known
    return other if len(other) < len(known) else known
