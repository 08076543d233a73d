"""What the compiler writes into: lines of Python, and what is known at a point of them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ingest.mapping.json_lines import Sample
    from ingest.mapping.paths import Step
    from ingest.mapping.regexes import Regex

#: How sure it is what a variable holds.
#: RAW: anything. TEXT: a text or None, perhaps one that means nothing. CLEAN: present or None.
RAW, TEXT, CLEAN = "raw", "text", "clean"


#: What a variable's value needs to become JSON. PART: a piece of the line, which is looked at as
#: a whole; SAFE: a text that never needs escapes; WHOLE: a whole number; READY: JSON already.
PART, SAFE, WHOLE, READY = "part", "safe", "whole", "ready"


class Unsupported(Exception):
    """A program that has to be interpreted."""


@dataclass(frozen=True, slots=True)
class Known:
    """A value at a point of the program: a constant, or a variable of the generated function."""

    name: str = ""
    constant: Any = None
    #: The variable holds a value, never None.
    sure: bool = False
    #: A single text: it can be compared and hashed.
    plain: bool = False
    #: How it is written as JSON, "" where nothing is known.
    form: str = ""

    @property
    def code(self) -> str:
        """The expression that gives the value; a fresh object each time."""
        return self.name or repr(self.constant)


def constant(value: Any) -> Known:
    """What is known of a constant."""
    text = isinstance(value, str)
    safe = text and orjson.dumps(value) == f'"{value}"'.encode()
    return Known(constant=value, sure=True, plain=text, form=SAFE if safe else "")


def is_ready(known: Known) -> bool:
    """Whether a value is JSON already, or a list that can be written as such beforehand."""
    return known.form == READY if known.name else isinstance(known.constant, list)


def ready(known: Known) -> Known:
    """A constant as JSON."""
    text = orjson.dumps(known.constant).decode()
    return Known(constant=text, sure=True, form=READY)


def common_form(known: list[Known | None]) -> str:
    """The form of a variable that holds any of several values."""
    forms = {one.form for one in known if one is not None}
    if forms == {SAFE, PART}:
        return PART
    return forms.pop() if len(forms) == 1 else ""


@dataclass(frozen=True, slots=True)
class Operand:
    """The value of a source: an expression and its kind (RAW, TEXT or CLEAN)."""

    code: str
    kind: str
    #: How it is written as JSON (PART …), "" where nothing is known.
    form: str = ""

    @property
    def nothing(self) -> bool:
        """It is known that there is no value."""
        return self.code == "None"


@dataclass(slots=True)
class Env:
    """What is known: targets, captures, and looked-up values, by the variables that hold them."""

    targets: dict[str, Known] = field(default_factory=dict)
    captures: dict[str, Operand] = field(default_factory=dict)
    looked: dict[tuple[Step, ...], str] = field(default_factory=dict)
    nodes: dict[tuple[Step, ...], str] = field(default_factory=dict)
    folded: dict[str, str] = field(default_factory=dict)
    #: Variables of texts that are known to mean something; `url v1` if its parts are assigned.
    present: dict[str, str] = field(default_factory=dict)

    def copy(self) -> Env:
        """An independent copy, for a branch."""
        return Env(
            dict(self.targets),
            dict(self.captures),
            dict(self.looked),
            dict(self.nodes),
            dict(self.folded),
            dict(self.present),
        )


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of an expression that fits a whole line."""

    regex: Regex
    #: The name of each group, "" for one that is no field.
    names: tuple[str, ...]
    #: How many quotation marks stand outside of the groups.
    marks: int
    #: No group is empty or has a blank at an end.
    tidy: bool = False
    #: Fields that have one value in all lines.
    fixed: dict[str, str] = field(default_factory=dict)
    #: What stands below `labels`: the text of a label → the name of its field.
    labels: dict[str, str] = field(default_factory=dict)
    #: Fields of digits and dots: an address in dotted quads, or the line is not as others are.
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a function may take for granted of the lines it is called with.

    Whatever else it meets makes it call the function that takes nothing for granted.
    """

    #: The line has no header; else one with host and program, if it is a text.
    headless: bool = False
    #: Top-level key → the class of its value; a line has these keys and no others. None: unknown.
    keys: dict[str, type] | None = None
    #: The name of the source.
    source: str | None = None
    #: The function returns JSON instead of a document.
    encoded: bool = False
    #: The program of syslog's common header, whose other parts are arguments of the function.
    common: str | None = None
    #: With `common`: `f` are the groups of an expression for the whole line (ingest.mapping.whole):
    #: its host, its process id as JSON writes it if it is `numbered`, and those of the pattern.
    numbered: bool | None = None
    #: The fields are the groups of a match, which tells what they hold; `keys` are their names.
    groups: Groups | None = None
    #: The line is the JSON of the fields as orjson writes it.
    canonical: bool = False
    #: Path of an object within the fields → its keys in order and the classes of their values; it
    #: has these keys and no others.
    nodes: Mapping[tuple[Any, ...], dict[str, type]] = field(default_factory=dict)
    #: The line is one like this in all but its values, and `f` are the values that are read; then
    #: `keys` and `nodes` are those of the sample, and `canonical` holds.
    sample: Sample | None = None
    #: The ECS fields that the shipper itself says; their values stand in the field `said`.
    said: tuple[str, ...] = ()

    @property
    def short(self) -> bool:
        """The function gives None for a line of which something does not hold."""
        return self.common is not None or self.groups is not None or self.canonical


class Writer:
    """Lines of a function, variables' names, and the objects that the lines refer to."""

    def __init__(self, names: dict[str, Any]) -> None:
        #: Lines before all others.
        self.head: list[str] = []
        self.lines: list[str] = []
        self.names = dict(names)
        self._depth = 1
        self._count = 0
        self._bound: dict[int, str] = {}
        self._kept: list[Any] = []

    def line(self, text: str) -> None:
        """Write a line at the present depth."""
        self.lines.append("    " * self._depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Write `head` and, one deeper, what is written within."""
        self.line(head)
        before = len(self.lines)
        self._depth += 1
        yield
        if len(self.lines) == before:
            self.line("pass")
        self._depth -= 1

    @contextmanager
    def aside(self, deeper: int = 1) -> Iterator[list[str]]:
        """What is written within goes to a list of its own, `deeper` than here."""
        outer, self.lines = self.lines, []
        self._depth += deeper
        mine = self.lines
        try:
            yield mine
        finally:
            self._depth -= deeper
            self.lines = outer

    def name(self, prefix: str = "v") -> str:
        """A name that no other variable has."""
        self._count += 1
        return f"{prefix}{self._count}"

    def bind(self, value: Any, prefix: str = "K") -> str:
        """The name by which the function knows an object."""
        key = id(value)
        if key not in self._bound:
            self._count += 1
            self._bound[key] = f"{prefix}_{self._count}"
            self.names[self._bound[key]] = value
            self._kept.append(value)
        return self._bound[key]
