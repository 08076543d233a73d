"""A mapping as a program: what the YAML means, checked, as data for whoever runs it.

`ingest.mapping.plain` interprets a Program and says why; `ingest.mapping.compiler` makes Python
of it. Both have the same meaning, which tests hold them to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.mapping.model import Mapping
    from ingest.mapping.paths import Path
    from ingest.mapping.regexes import Regex
    from ingest.mapping.targets import Target


@dataclass(frozen=True, slots=True)
class Look:
    """The value at a path."""

    path: Path


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant."""

    value: Any


@dataclass(frozen=True, slots=True)
class First:
    """The first of several that yields something."""

    sources: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Every:
    """All values of several, as a list without doubles."""

    sources: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """Texts and sources put together; nothing if one is missing."""

    parts: tuple[str | Expression, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """Of a list of objects the first that holds all of `where`; of it what is at `take`."""

    list: Path
    where: tuple[tuple[Path, str], ...]
    take: Path


@dataclass(frozen=True, slots=True)
class Step:
    """A change of a value: `split`, `regex`, `map` or `as`."""

    kind: str
    #: split: the separator. regex: a pattern. map: casefolded text → value.
    #: as: (converter's name, argument).
    detail: Any
    default: Any = None
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Pipe:
    """A source and the changes of its value; `when` guards all of it, `default` ends it."""

    source: Expression
    steps: tuple[Step, ...]
    when: Condition | None = None
    default: Any = None


Expression = Look | Constant | First | Every | Join | Member | Pipe


@dataclass(frozen=True, slots=True)
class Check:
    """A comparison of the value at a path.

    `kind`: equal (casefolded texts), exists, there (of any value), starts, ends, contains
    (casefolded texts), regex (patterns), gte, lte, gt, lt (numbers).
    """

    path: Path
    kind: str
    detail: Any


@dataclass(frozen=True, slots=True)
class Every_:
    """All conditions hold."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one condition holds."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: Condition


Condition = Check | Every_ | Some | Not


@dataclass(frozen=True, slots=True)
class Set:
    """A constant for a target."""

    target: Target
    value: Any
    line: int = 0


@dataclass(frozen=True, slots=True)
class Assign:
    """A source for a target; the value is cast to the target's type."""

    target: Target
    source: Expression
    line: int = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """A source whose value is taken apart over several targets (ingest.mapping.parts)."""

    name: str
    function: Callable[[Any], tuple[Any, ...] | None]
    targets: tuple[Target, ...]
    source: Expression
    line: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """A pattern: `pattern` matches at the start of the text; `captures` name its groups.

    `word` is the literal first word of every text that fits, "" where there is none.
    """

    regex: Regex
    captures: tuple[str, ...]
    block: Block
    word: str = ""
    when: Condition | None = None
    line: int = 0
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """Shapes tried in order on a text; the first that fits counts."""

    source: Expression
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """Cases; the first that holds, or with `every` all that hold."""

    cases: tuple[tuple[Condition, Block], ...]
    every: bool = False


Statement = Set | Assign | Spread | Match | Branch
Block = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One way to recognise a line, ready to be checked."""

    format: str
    condition: Condition | None
    vendors: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    regex: Regex | None = None
    columns: tuple[str | None, ...] = ()
    delimiter: str = ","
    patterns: bool = False
    #: (how much it asks for, priority): greater wins.
    rank: tuple[int, int] = (0, 0)
    line: int = 0


@dataclass(eq=False)
class Program:
    """A mapping as a program; its statements may be worked out when they are first asked for."""

    id: str
    version: str
    file: str
    root: str
    keep: bool
    entries: tuple[Entry, ...]
    #: Makes the statements; raises ContentErrors if something in them is wrong.
    make: Callable[[], Block] = field(repr=False)
    decode: tuple[tuple[Path, str], ...] = ()
    identity: Expression | None = None
    model: Mapping | None = field(default=None, repr=False)

    @cached_property
    def block(self) -> Block:
        """The statements in the order in which they run."""
        return self.make()


def names_text(source: Expression) -> bool:
    """True for a source that is the payload of a text."""
    if isinstance(source, First):
        return names_text(source.sources[0])
    return isinstance(source, Look) and (
        (source.path.header == "text" and not source.path.steps)
        or (not source.path.header and source.path.steps == ("message",))
    )
