"""Which mapping knows a line: indexes over the `recognize` entries of all mappings.

The outcome is a function of the line alone. Among the entries that hold, those that ask for most
come first, then those of the highest priority, then the first by id; of entries for texts, those
of the highest priority, then those that name the syslog program, then those that ask for most.
Indexes only keep entries that cannot hold from being looked at; what they remember changes no
result.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ingest.mapping.compiler import compile_condition
from ingest.mapping.program import Check, Every_, Match, Not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ingest.mapping.line import Header
    from ingest.mapping.origin import Origin
    from ingest.mapping.program import Block, Condition, Entry, Program, Shape

#: Most shapes of objects, and beginnings of texts, that are remembered.
MAX_SHAPES = 8_192
MAX_BEGINNINGS = 16_384

#: How much of a text is its beginning, characters.
HEAD = 3

#: How far into a text is looked for what it must contain, characters.
MAX_LOOK = 65_536

_PROGRAM_PARTS = re.compile(r"[/\[(]")

#: The first character of texts that begin with none of Latin-1, and of entries that name none.
_OTHER = 256


class Candidate:
    """An entry of a mapping, and whether it holds."""

    __slots__ = ("_holds", "_rest", "asks_only_keys", "entry", "named", "part", "program", "says")

    def __init__(self, entry: Entry, program: Program) -> None:
        self.entry = entry
        self.program = program
        #: The program's name is all that the entry asks of a text.
        self.named = entry.format == "text" and not (
            entry.starts or entry.contains or entry.regex or entry.condition
        )
        self.says = _says(entry)
        #: A text that every line holds for which the entry holds.
        literals = () if entry.regex is None else sorted(entry.regex.literals)
        self.part = max((*entry.contains, *literals), key=len, default="")
        self.asks_only_keys = _without_keys(entry.condition) is None
        self._holds: Callable[..., bool] | None = None
        self._rest: Callable[..., bool] | None = None

    def holds(self, f: dict[str, Any], text: str, h: Header, o: Origin) -> bool:
        """Whether everything holds that the entry asks of a framed line."""
        if self.entry.condition is None:
            return True
        if self._holds is None:
            self._holds = compile_condition(self.program, self.entry.format, self.entry.condition)
        return self._holds(f, text, h, o)

    def rest_holds(self, f: dict[str, Any], text: str, h: Header, o: Origin) -> bool:
        """Like `holds`, for fields that are known to have the keys that the entry asks for."""
        if self._rest is None:
            rest = _without_keys(self.entry.condition)
            if rest is None:
                self._rest = _always
            else:
                self._rest = compile_condition(self.program, self.entry.format, rest)
        return self._rest(f, text, h, o)

    def text_fits(self, text: str) -> bool:
        """Whether a text is as the entry says."""
        entry = self.entry
        if entry.starts and not text.startswith(entry.starts):
            return False
        if entry.contains:
            lead = text if len(text) <= MAX_LOOK else text[:MAX_LOOK]
            for part in entry.contains:
                if part not in lead:
                    return False
        return entry.regex is None or entry.regex.match(text) is not None

    def line_fits(self, text: str, h: Header) -> bool:
        """Whether a text and its program are as the entry says."""
        named = self.entry.programs
        if named and (not h.program or program_names(h.program).isdisjoint(named)):
            return False
        return self.text_fits(text)


def _always(*_: Any) -> bool:
    return True


def _without_keys(condition: Condition | None) -> Condition | None:
    """What a condition asks for besides the presence of top-level keys."""
    parts = condition.conditions if isinstance(condition, Every_) else (condition,)
    left = tuple(part for part in parts if part is not None and not _of_key(part))
    return Every_(left) if left else None


def _of_key(condition: Condition) -> bool:
    check = condition.condition if isinstance(condition, Not) else condition
    return (
        isinstance(check, Check)
        and check.kind == "there"
        and len(check.path.steps) == 1
        and not check.path.header
    )


class Recognizer:
    """The entries of a set of programs, best first."""

    def __init__(self, programs: Iterable[Program]) -> None:
        known = [Candidate(entry, program) for program in programs for entry in program.entries]
        known.sort(key=lambda one: (*(-part for part in one.entry.rank), one.program.id))
        self._by_format: dict[str, list[Candidate]] = {}
        for one in known:
            self._by_format.setdefault(one.entry.format, []).append(one)
        texts = [one for one in known if one.entry.format in ("text", "csv") and _says(one.entry)]
        texts.sort(key=lambda one: (-one.entry.rank[1], not one.entry.programs))
        self._texts = [(one, _beginnings(one.entry)) for one in texts]
        #: Entries of CSV that say nothing of its text: their columns must fit.
        self.columns = [one for one in self._by_format.get("csv", ()) if not _says(one.entry)]
        self._shapes: dict[str, dict[Any, tuple[tuple[Candidate, dict[Any, Any]], ...]]] = {
            format: {} for format in self._by_format
        }
        self._beginnings: dict[tuple[str, str | None], tuple[Candidate, ...]] = {}
        self._words: dict[str, list[tuple[Shape, Candidate]]] = {}
        for one in self._by_format.get("text", ()):
            if one.entry.patterns:
                for shape in _first_shapes(one.program.block):
                    if shape.word:
                        self._words.setdefault(shape.word, []).append((shape, one))

    def of_fields(
        self, format: str, f: dict[str, Any], text: str, h: Header, o: Origin
    ) -> tuple[Program, Any] | None:
        """The mapping of a line framed as json, windows, cef, leef, kv …; None if none knows it.

        With it goes what lines like this one share, for whoever runs the mapping.
        """
        shapes = self._shapes.get(format)
        if shapes is None:
            return None
        key: Any = tuple(f)
        by_keys = True
        if format in _VENDORS:
            key, by_keys = (f.get("deviceVendor"), f.get("deviceProduct")), False
        elif format == "windows":
            key, by_keys = f.get("channel"), False
        try:
            candidates = shapes.get(key)
        except TypeError:  # a list where a name should be
            return None
        if candidates is None:
            if len(shapes) >= MAX_SHAPES:
                shapes.clear()
            candidates = shapes[key] = tuple((one, {}) for one in self._possible(format, f))
        for one, shared in candidates:
            if by_keys:
                holds = one.asks_only_keys or one.rest_holds(f, text, h, o)
            else:
                holds = one.holds(f, text, h, o)
            if holds and (not one.says or one.line_fits(text, h)):
                return one.program, shared if by_keys else None
        return None

    def by_keys(self, format: str, f: dict[str, Any]) -> Candidate | None:
        """The first entry for lines of a format with these keys, if it asks nothing of the text."""
        for one in self._possible(format, f):
            return None if one.says else one
        return None

    def _possible(self, format: str, f: dict[str, Any]) -> Iterator[Candidate]:
        """The entries that may hold for any fields that are remembered as these are."""
        for one in self._by_format[format]:
            if format in _VENDORS:
                if _vendor_fits(one.entry, f):
                    yield one
            elif format == "windows":
                if _channel_fits(one.entry, f):
                    yield one
            elif _keys_fit(one.entry, f):
                yield one

    def of_text(self, text: str, program: str | None) -> tuple[Candidate, ...]:
        """The entries that may hold for a text of this syslog program, best first."""
        key = (text[:HEAD], program)
        found = self._beginnings.get(key)
        if found is None:
            found = tuple(self._possible_texts(*key))
            if len(self._beginnings) >= MAX_BEGINNINGS:
                self._beginnings.clear()
            self._beginnings[key] = found
        return found

    def _possible_texts(self, head: str, program: str | None) -> Iterator[Candidate]:
        names = program_names(program) if program else frozenset()
        code = min(ord(head[0]), _OTHER) if head else _OTHER
        for one, beginnings in self._texts:
            entry = one.entry
            if entry.programs and names.isdisjoint(entry.programs):
                continue
            if entry.starts and not any(
                start[:HEAD] == head[: len(start)] for start in entry.starts
            ):
                continue
            if code in beginnings and _may_begin(entry, head):
                yield one

    def of_phrase(self, text: str) -> Program | None:
        """The mapping that has a pattern with a literal first word that the text fits."""
        for shape, one in self._words.get(text.partition(" ")[0], ()):
            if shape.regex.match(text) is not None:
                return one.program
        return None


_VENDORS = frozenset({"cef", "leef"})


def _says(entry: Entry) -> bool:
    return bool(entry.programs or entry.starts or entry.contains or entry.regex)


def _beginnings(entry: Entry) -> frozenset[int]:
    """The codes of the characters that a text may begin with for which the regex holds."""
    if entry.regex is None:
        return frozenset(range(_OTHER + 1))
    return entry.regex.first


def _may_begin(entry: Entry, head: str) -> bool:
    """False if the regex holds for no text with this beginning."""
    known = () if entry.regex is None else entry.regex.begins
    return all(
        min(ord(letter), _OTHER) in chars for letter, chars in zip(head, known, strict=False)
    )


def _keys_fit(entry: Entry, f: dict[str, Any]) -> bool:
    """Whether fields have the top-level keys that an entry asks for, and none it refuses."""
    condition = entry.condition
    parts = condition.conditions if isinstance(condition, Every_) else (condition,)
    for part in parts:
        if part is None:
            continue
        if _of_key(part):
            refused = isinstance(part, Not)
            check = part.condition if isinstance(part, Not) else part
            if isinstance(check, Check) and (check.path.steps[0] in f) == refused:
                return False
        elif isinstance(part, Check) and part.path.steps and not part.path.header:
            first = part.path.steps[0]
            if first not in f:  # no comparison holds for what is not there
                return False
    return True


def _vendor_fits(entry: Entry, f: dict[str, Any]) -> bool:
    vendor = str(f.get("deviceVendor", "")).strip().casefold()
    if vendor not in entry.vendors:
        return False
    product = str(f.get("deviceProduct", "")).strip().casefold()
    return not entry.products or product in entry.products


def _channel_fits(entry: Entry, f: dict[str, Any]) -> bool:
    condition = entry.condition
    parts = condition.conditions if isinstance(condition, Every_) else (condition,)
    channel = f.get("channel")
    for part in parts:
        if (
            isinstance(part, Check)
            and part.kind == "equal"
            and part.path.steps == ("channel",)
            and isinstance(channel, str)
            and channel.casefold() not in part.detail
        ):
            return False
    return True


def program_names(program: str) -> frozenset[str]:
    """The names that a syslog tag goes by: `postfix/smtpd` is also `postfix` and `smtpd`."""
    name = program.casefold()
    bare = _PROGRAM_PARTS.split(name.lstrip("/"))
    path = name.partition("[")[0].partition("(")[0]
    return frozenset((name, bare[0], path, path.rpartition("/")[2]))


def _first_shapes(block: Block) -> Iterator[Shape]:
    for statement in block:
        if isinstance(statement, Match):
            yield from statement.shapes
