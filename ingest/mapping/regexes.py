"""Regular expressions of authors that run on strangers' texts: how long a text each may be given.

Python's engine backtracks: a repetition that could also have stopped earlier (`.*?` before a text
that it may itself contain) multiplies the work by the length of the text. So the length is what is
bounded: of each expression the repetitions that are ambiguous in this way are counted, and the
longest text follows from a budget of steps. Repetitions within repetitions that are ambiguous grow
exponentially and are refused. Possessive repetitions (`.*+`) and atomic groups (`(?>…)`) never go
back, and classes that leave out what follows (`[^"]*"`) are never ambiguous: they cost nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import factorial
from re import _parser  # type: ignore[attr-defined]  # the only parser of this dialect
from typing import TYPE_CHECKING, Any

from ingest.mapping.values import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Longest text that any expression is given, characters.
MAX_TEXT = 16_384

#: Longest expression, characters.
MAX_PATTERN = 4_096

#: Steps of the engine that one expression may take on one text: about 30 ms.
BUDGET = 4_000_000

#: What any expression may be given, whatever its cost.
_FLOOR = 1_024

#: Repetitions up to this often count as a factor, longer ones as the length of the text.
_FEW = 8_192

_ALL = frozenset(range(257))  # 256 stands for everything beyond Latin-1
_ASCII = frozenset(range(128))
_BLANKS = frozenset(code for code in range(128) if chr(code).isspace())
_DIGITS = frozenset(range(0x30, 0x3A))
_CLASSES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}
_CATEGORY = {
    name: frozenset(code for code in range(256) if re.match(text, chr(code)))
    | (frozenset({256}) if "_NOT_" in name or name == "CATEGORY_WORD" else frozenset())
    for name, text in _CLASSES.items()
}

_BACKTRACKING = ("MAX_REPEAT", "MIN_REPEAT")
_REPEATS = (*_BACKTRACKING, "POSSESSIVE_REPEAT")
_EMPTY = ("AT", "ASSERT", "ASSERT_NOT")

#: The end of the text, where it must be.
_END = frozenset({257})

#: How far ahead is looked for what tells where a repetition ends, characters.
_AHEAD = 12

#: Repetitions up to this often may repeat what is ambiguous.
_ROUNDS = 64


def _ends(item: Any) -> bool:
    return str(item[0]) == "AT" and str(item[1]).startswith("AT_END")


def _either(one: Run, other: Run) -> Run:
    return tuple(a | b for a, b in zip(one, other, strict=False))


def _period(run: Run) -> int:
    """How far apart two places can be at which `run` stands: 1 unless all of it is literal."""
    if any(len(chars) != 1 for chars in run):
        return 1
    return next(p for p in range(1, len(run) + 1) if run[p:] == run[: len(run) - p])


Chars = frozenset[int]

#: What must come next, character by character; nothing where the text may end.
Run = tuple[Chars, ...]


@dataclass(frozen=True, slots=True)
class Regex:
    """An expression and the longest text it may be given."""

    pattern: re.Pattern[str]
    longest: int
    #: The numbers of the groups that take part in every match.
    always: frozenset[int] = frozenset()
    #: Texts that stand in everything it matches, behind its beginning.
    literals: frozenset[str] = frozenset()
    #: The codes of the characters that a match may begin with; 256 is any beyond Latin-1.
    first: Chars = frozenset()
    #: The same for the characters behind, as far as they are known.
    begins: Run = ()
    #: The numbers of the groups that, in an ASCII text, are never empty and hold no blanks.
    solid: frozenset[int] = frozenset()
    #: Those of them that hold digits only.
    digits: frozenset[int] = frozenset()
    #: The numbers of the groups that can hold none of the texts that mean nothing.
    telling: frozenset[int] = frozenset()

    def match(self, text: str) -> re.Match[str] | None:
        """A match at the start of the text; None for one that is too long."""
        return self.pattern.match(text) if len(text) <= self.longest else None

    def search(self, text: str) -> re.Match[str] | None:
        """The first match anywhere in the text; None for one that is too long."""
        return self.pattern.search(text) if len(text) <= self.longest else None


def bounded(text: str, *, anywhere: bool = False) -> Regex:
    """A checked expression, for matching at the start or `anywhere`; raises ValueError."""
    if len(text) > MAX_PATTERN:
        raise ValueError(f"a regular expression has at most {MAX_PATTERN} characters")
    try:
        pattern = re.compile(text, re.DOTALL)
        parsed = list(_parser.parse(text, re.DOTALL))
        searched = anywhere and not text.startswith(("^", r"\A"))
        cost = _Counter(bool(pattern.flags & re.IGNORECASE)).total(parsed, searched)
        if searched and not cost.certain:
            cost = _Cost(1) + cost
        return described(pattern, _longest(cost), parsed)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    except RecursionError:
        raise ValueError("the regular expression is nested too deeply") from None


def described(pattern: re.Pattern[str], longest: int, parsed: list[Any] | None = None) -> Regex:
    """An expression with what is known of all of its matches."""
    items = list(_parser.parse(pattern.pattern, pattern.flags)) if parsed is None else parsed
    folded = bool(pattern.flags & re.IGNORECASE)
    chars, empty = _Counter(folded).first(items)
    runs = [] if folded else list(_literal_runs(items))
    groups = dict(_groups(items))
    held = {
        number: _Counter(folded).chars(list(body)) & _ASCII
        for number, body in groups.items()
        if body.getwidth()[0] > 0
    }
    return Regex(
        pattern,
        longest,
        frozenset(_taking_part(items)),
        frozenset(run for run in runs[1:] if len(run) >= MIN_LITERAL),
        _ALL if empty else chars & _ALL,
        () if empty else _Counter(folded).run(items, ())[:KNOWN_BEGINNING],
        frozenset(number for number, chars in held.items() if not chars & _BLANKS),
        frozenset(number for number, chars in held.items() if chars <= _DIGITS),
        frozenset(n for n, chars in held.items() if not _may_mean_nothing(groups[n], chars)),
    )


def _may_mean_nothing(group: Any, chars: Chars) -> bool:
    """Whether a group that holds these characters can be as long as a text of NOTHING of them."""
    least, most = group.getwidth()
    return any(
        least <= len(text) <= most and all(ord(char) in chars for char in text) for text in NOTHING
    )


#: How many characters of a beginning are known.
KNOWN_BEGINNING = 4

#: The shortest text that is worth looking for before an expression is tried.
MIN_LITERAL = 3


def _literal_runs(items: list[Any]) -> Iterator[str]:
    """Runs of literal characters that every match has; the first is its beginning, or empty."""
    run = ""
    for name, argument in ((str(item[0]), item[1]) for item in items):
        if name == "LITERAL":
            run += chr(argument)
            continue
        if name == "AT":
            continue
        yield run
        run = ""
        if name in ("SUBPATTERN", "ATOMIC_GROUP"):
            body = list(argument[3] if name == "SUBPATTERN" else argument)
            *inner, run = _literal_runs(body)
            yield from inner
    yield run


def _taking_part(items: list[Any]) -> Iterator[int]:
    for item in items:
        name, argument = str(item[0]), item[1]
        if name == "SUBPATTERN":
            if argument[0] is not None:
                yield int(argument[0])
            yield from _taking_part(list(argument[3]))
        elif name == "ATOMIC_GROUP":
            yield from _taking_part(list(argument))
        elif name in _REPEATS and int(argument[0]) > 0:
            yield from _taking_part(list(argument[2]))


def _groups(items: list[Any]) -> Iterator[tuple[int, Any]]:
    """The numbers of all groups and what stands in them."""
    for name, argument in ((str(item[0]), item[1]) for item in items):
        if name == "SUBPATTERN":
            if argument[0] is not None:
                yield int(argument[0]), argument[3]
            yield from _groups(list(argument[3]))
        elif name in ("ATOMIC_GROUP", "ASSERT"):
            yield from _groups(list(argument if name == "ATOMIC_GROUP" else argument[1]))
        elif name in _REPEATS:
            yield from _groups(list(argument[2]))
        elif name == "BRANCH":
            for branch in argument[1]:
                yield from _groups(list(branch))


def _longest(cost: _Cost) -> int:
    """The longest text whose worst case fits the budget."""
    if cost.free == 0:
        return MAX_TEXT if cost.factor <= BUDGET else _FLOOR
    length = (BUDGET * factorial(cost.free) / cost.factor) ** (1 / cost.free)
    return max(_FLOOR, min(MAX_TEXT, int(length)))


@dataclass(frozen=True, slots=True)
class _Cost:
    """Ambiguous repetitions: how many of any length, and the product of how often they may stop.

    `share` is the part of the last one's steps after which what follows is tried at all: its own
    steps are all taken.
    """

    free: int = 0
    factor: float = 1.0
    share: float = 1.0

    def __add__(self, other: _Cost) -> _Cost:
        if other.certain:
            return self
        return _Cost(self.free + other.free, self.factor * self.share * other.factor, other.share)

    @property
    def certain(self) -> bool:
        return not self.free and self.factor <= 1


def _dearest(costs: Iterable[_Cost]) -> _Cost:
    return max(costs, key=lambda cost: (cost.free, cost.factor))


class _Counter:
    """Counts the ambiguous repetitions of a parsed expression."""

    def __init__(self, folded: bool) -> None:
        self._folded = folded
        self._asked = _Cost()

    def total(self, items: list[Any], searched: bool) -> _Cost:
        """The cost of a whole expression; of one that is `searched`, what each place adds."""
        since: list[Chars] | None = [] if searched else None
        if searched and items and str(items[0][1]) == "AT_BEGINNING":
            since = [frozenset({ord("\n")})]
        return self.sequence(items, (), since) + self._asked

    def sequence(self, items: list[Any], follow: Run, since: list[Chars] | None = None) -> _Cost:
        """The cost of items in a row, behind which `follow` stands.

        `since` are the fixed characters since the last ambiguous repetition, or since the place
        where a search tries the whole; None before there was one.
        """
        cost = again = _Cost()
        searched = since is not None
        for number, item in enumerate(items):
            behind = self.run(items[number + 1 :], follow)
            own = self._item(item, behind)
            if not own.certain:
                cost += own + again
                again, since, searched = _Cost(), [], False
            elif since is not None:
                # One after the other they run through the text once: the dearest counts.
                if behind or searched:
                    own = self._again(item, since, behind, searched)
                    again = _dearest((again, own))
                since.extend(self.run([item], ()))
        return cost + again

    def _again(self, item: Any, since: list[Chars], behind: Run, searched: bool) -> _Cost:
        """What running through the text again costs, for every place an earlier one may stop at.

        It is nothing if a character between the two keeps this one from running over the next
        such place. Of groups only the beginning counts, but where every place is `searched`.
        """
        name, argument = str(item[0]), item[1]
        if name in ("SUBPATTERN", "ATOMIC_GROUP"):
            body = list(argument[3] if name == "SUBPATTERN" else argument)
            if searched:
                return self.sequence(body, behind, list(since))
            return self._again(body[0], since, behind, False) if body else _Cost()
        if name == "BRANCH" and searched:
            return _dearest(
                self.sequence(list(branch), behind, list(since)) for branch in argument[1]
            )
        if name not in _REPEATS or int(argument[1]) == 1 or not behind:
            return _Cost()
        chars = self.chars(list(argument[2]))
        if not all(chars & one for one in since) or (chars >= _ALL and behind == (_END,)):
            return _Cost()
        most = int(argument[1])
        return _Cost(1) if most > _FEW else _Cost(0, most)

    def _item(self, item: Any, follow: Run) -> _Cost:
        name, argument = str(item[0]), item[1]
        if name in _BACKTRACKING:
            return self._repeat(argument, follow)
        if name == "POSSESSIVE_REPEAT":
            return self._possessive(argument)
        if name == "ATOMIC_GROUP":
            return self.sequence(list(argument), ())
        if name == "SUBPATTERN":
            return self.sequence(list(argument[3]), follow)
        if name == "BRANCH":
            costs = [self.sequence(list(branch), follow) for branch in argument[1]]
            return _dearest(costs)
        if name in ("ASSERT", "ASSERT_NOT"):
            # Once decided it is never gone back into, but it may be asked at every place.
            cost = self.sequence(list(argument[1]), ())
            self._asked += _Cost() if cost.certain else cost + _Cost(1)
        return _Cost()

    def _repeat(self, argument: Any, follow: Run) -> _Cost:
        _, most, body = argument
        most, inner = int(most), list(body)
        again = self.run(inner, ())
        both = follow
        if most > 1:
            both = _either(again, follow) if follow else again
        cost = self.sequence(inner, both)
        if most > _ROUNDS and not cost.certain:
            raise ValueError(
                "a repetition of a repetition, as in (a+)+, can take for ever: make the inner one "
                "possessive (a++), or let it leave out what may follow ([^,]*,)"
            )
        chars = self.chars(inner)
        if most == 1 or not follow or not all(chars & one for one in follow):
            return cost
        period = _period(follow)
        return cost + (
            _Cost(1, 1, 1 / period) if most > _FEW else _Cost(0, max(1.0, most / period))
        )

    def _possessive(self, argument: Any) -> _Cost:
        """Its rounds are tried once, but each may still go back in itself."""
        body = list(argument[2])
        cost = self.sequence(body, self.run(body, ()))
        return cost if cost.certain else cost + _Cost(1)

    def run(self, items: list[Any], follow: Run) -> Run:
        """What must stand next, character by character, as far as that is known."""
        found: list[Chars] = []
        for number, item in enumerate(items):
            name, argument = str(item[0]), item[1]
            if name in _EMPTY:
                if str(argument).startswith("AT_END"):
                    return (*found, _END)
                continue
            if name in _REPEATS or name in ("BRANCH", "GROUPREF", "GROUPREF_EXISTS"):
                first, empty = self.first(items[number:])
                if empty:
                    ends = any(_ends(other) for other in items[number:])
                    if not follow and not ends:
                        return tuple(found)
                    first |= _END if ends else follow[0]
                return (*found, first)
            if name in ("SUBPATTERN", "ATOMIC_GROUP"):
                body = list(argument[3] if name == "SUBPATTERN" else argument)
                return (*found, *self.run([*body, *items[number + 1 :]], follow))
            found.append(self._set(item))
            if len(found) >= _AHEAD:
                return tuple(found)
        return (*found, *follow)[:_AHEAD]

    def first(self, items: list[Any]) -> tuple[Chars, bool]:
        """The characters that items in a row may begin with, and whether they may be empty."""
        found: Chars = frozenset()
        for item in items:
            chars, empty = self._first_of(item)
            found |= chars
            if not empty:
                return found, False
        return found, True

    def _first_of(self, item: Any) -> tuple[Chars, bool]:
        name, argument = str(item[0]), item[1]
        if name in _REPEATS:
            chars, empty = self.first(list(argument[2]))
            return chars, empty or int(argument[0]) == 0
        if name == "SUBPATTERN":
            return self.first(list(argument[3]))
        if name == "ATOMIC_GROUP":
            return self.first(list(argument))
        if name == "BRANCH":
            both = [self.first(list(branch)) for branch in argument[1]]
            return frozenset().union(*(c for c, _ in both)), any(e for _, e in both)
        if name in _EMPTY:
            return frozenset(), True
        if name in ("GROUPREF", "GROUPREF_EXISTS"):
            return _ALL, True
        return self._set(item), False

    def chars(self, items: list[Any]) -> Chars:
        """All characters that items may hold."""
        found: Chars = frozenset()
        for item in items:
            name, argument = str(item[0]), item[1]
            if name in _REPEATS:
                found |= self.chars(list(argument[2]))
            elif name == "SUBPATTERN":
                found |= self.chars(list(argument[3]))
            elif name == "ATOMIC_GROUP":
                found |= self.chars(list(argument))
            elif name == "BRANCH":
                for branch in argument[1]:
                    found |= self.chars(list(branch))
            elif name in ("GROUPREF", "GROUPREF_EXISTS"):
                return _ALL
            elif name not in _EMPTY:
                found |= self._set(item)
        return found

    def _set(self, item: Any) -> Chars:
        name, argument = str(item[0]), item[1]
        if name == "LITERAL":
            return self._cased(argument)
        if name == "NOT_LITERAL":
            return _ALL - self._cased(argument)
        if name != "IN":
            return _ALL
        found: Chars = frozenset()
        negated = False
        for kind, value in argument:
            kind = str(kind)
            if kind == "NEGATE":
                negated = True
            elif kind == "LITERAL":
                found |= self._cased(value)
            elif kind == "RANGE":
                found |= frozenset(range(value[0], min(value[1], 255) + 1))
                found |= frozenset({256}) if value[1] > 255 else frozenset()
            elif kind == "CATEGORY":
                found |= _CATEGORY[str(value)]
        return _ALL - found if negated else found

    def _cased(self, code: int) -> Chars:
        if code > 255:
            return frozenset({256})
        if not self._folded:
            return frozenset({code})
        letter = chr(code)
        return frozenset(min(256, ord(c)) for c in (letter.lower()[0], letter.upper()[0]))
