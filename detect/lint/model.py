"""What a check is given, and what it says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, get_args

from detect.sigma.condition import FieldItem, KeywordItem
from detect.sigma.logic import logic
from detect.sigma.prepare import Prepared
from detect.sigma.supply import unsupplied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from detect.sigma.condition import Node
    from detect.sigma.files import Document
    from detect.sigma.prepare import Part
    from detect.sigma.ruleset import RuleSet
    from tocsin.errors import Place

#: `error`: the rule does not do what it says. `warning`: probably so. `advice`: it could be better.
Level = Literal["error", "warning", "advice"]
LEVELS: tuple[Level, ...] = get_args(Level)

Path = tuple[str | int, ...]


class Remark(NamedTuple):
    """What a check says of a rule, and about which key of its document."""

    message: str
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Issue:
    """A remark with everything a person needs: who says it, of what, where, and what to do."""

    check: str
    level: Level
    rule: str
    title: str
    place: Place
    message: str
    recommendation: str = ""

    def __str__(self) -> str:
        advice = f" ({self.recommendation})" if self.recommendation else ""
        return f"{self.place}: {self.level}: {self.check}: {self.message}{advice}"


class Subject(NamedTuple):
    """A rule, correlation or filter as it is looked at: the document and what it became."""

    document: Document
    part: Part

    @property
    def content(self) -> dict[str, Any]:
        return self.document.content

    @property
    def title(self) -> str:
        return str(self.content.get("title", ""))

    @property
    def kind(self) -> Literal["rule", "correlation", "filter"]:
        return "rule" if isinstance(self.part, Prepared) else self.part.kind

    @property
    def condition(self) -> Node | None:
        """The compiled condition of a rule that can be evaluated."""
        return self.part.condition if isinstance(self.part, Prepared) else None

    def path_of(self, item: FieldItem | KeywordItem) -> Path:
        """The keys under which a part of the condition stands in the document."""
        found = self.content.get("detection", {}).get(item.selection)
        start: Path = ("detection", item.selection)
        wanted = item.field if isinstance(item, FieldItem) else ""
        return next(_keys(found, wanted, item.modifiers, start), start)


def _keys(part: Any, field: str, modifiers: str, path: Path) -> Iterator[Path]:
    if isinstance(part, list):
        for index, inner in enumerate(part):
            yield from _keys(inner, field, modifiers, (*path, index))
    elif isinstance(part, dict):
        for key, inner in part.items():
            name, _, written = str(key).partition("|")
            if name == field and written.count("|") == modifiers.count("|"):
                yield (*path, str(key))
            if isinstance(inner, dict):
                yield from _keys(inner, field, modifiers, (*path, str(key)))


class World:
    """All rules of a set, for checks that compare them; `tests` are theirs by id."""

    def __init__(
        self,
        subjects: Sequence[Subject],
        ruleset: RuleSet,
        tests: Mapping[str, tuple[Any, ...]],
    ) -> None:
        self.subjects = subjects
        self.ruleset = ruleset
        self.tests = tests

    @cached_property
    def titles(self) -> dict[str, Subject]:
        """The first rule of each title, titles compared without case."""
        first: dict[str, Subject] = {}
        for subject in self.subjects:
            first.setdefault(subject.title.casefold(), subject)
        return first

    @cached_property
    def logics(self) -> dict[bytes, Subject]:
        """The first rule of each logic."""
        first: dict[bytes, Subject] = {}
        for subject in self.subjects:
            if (logic := logic_of(subject)) is not None:
                first.setdefault(logic, subject)
        return first

    @cached_property
    def unsupplied(self) -> dict[tuple[str, str], str]:
        """Why no event has a field, by logsource and field."""
        return {(use.logsource, use.field): use.reason for use in unsupplied(self.ruleset)}

    @cached_property
    def filtered(self) -> dict[str, int]:
        """How many rules each filter applies to, by its id."""
        count: dict[str, int] = defaultdict(int)
        for rule in self.ruleset.rules:
            for each in rule.filters:
                count[each.id] += 1
        return count


def logic_of(subject: Subject) -> bytes | None:
    """What a rule asks for, whatever its selections are called; None if it is not evaluated."""
    part = subject.part
    if not isinstance(part, Prepared) or part.condition is None:
        return None
    return logic(part.condition, part.logsource, ecs=part.ecs)


class Check(ABC):
    """One thing that may be wrong with a rule.

    `name` is what people select or ignore it by, `recommendation` what to do about it.
    """

    name: ClassVar[str]
    level: ClassVar[Level]
    recommendation: ClassVar[str]

    @abstractmethod
    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        """What is to be said of one rule; nothing if all is well."""


def leaves(node: Node) -> Iterator[FieldItem | KeywordItem]:
    """The comparisons of a condition, in order, those under NOT too."""
    if isinstance(node, FieldItem | KeywordItem):
        yield node
    for child in node.children():
        yield from leaves(child)
