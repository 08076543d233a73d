"""The condition as a whole: does it say what its author meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from detect.lint.model import Check, Remark, leaves, logic_of
from detect.sigma.condition import And, Not
from detect.sigma.event import FieldMap, Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from detect.lint.model import Subject, World
    from detect.sigma.condition import Node

#: How alike two names are that are thought to be the same; of all names in SigmaHQ's rules none is
#: that like another one that is mapped.
ALIKE = 0.8

_NOTHING = Reader({}, FieldMap())


class DuplicateLogic(Check):
    """Two rules that fire together: every hit is two alerts."""

    name = "duplicate-logic"
    level = "warning"
    recommendation = "keep one of the two"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        logic = logic_of(subject)
        first = subject if logic is None else world.logics[logic]
        if first is not subject:
            yield Remark(
                f"the same logic as '{first.title}' ({first.document.start})",
                ("detection",),
            )


class OverBroad(Check):
    """The condition holds for an event that has none of its fields."""

    name = "over-broad"
    level = "warning"
    recommendation = "ask for something that is there, not only for what is not"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        condition = subject.condition
        if condition is not None and condition.evaluate(_NOTHING) is not None:
            yield Remark(
                "it matches every event of its logsource that has none of its fields",
                ("detection", "condition"),
            )


class Contradiction(Check):
    """The condition asks for something and its opposite."""

    name = "contradiction"
    level = "error"
    recommendation = "the rule never matches: correct the condition"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.condition is not None and _contradicts(subject.condition):
            yield Remark(
                "a selection is asked for and excluded at once", ("detection", "condition")
            )


def _contradicts(node: Node) -> bool:
    """Whether a conjunction that must hold has a part and the same part negated."""
    if not isinstance(node, And):
        return False
    parts = list(_conjuncts(node))
    wanted = [part for part in parts if not isinstance(part, Not)]
    return any(isinstance(part, Not) and part.part in wanted for part in parts)


def _conjuncts(node: Node) -> Iterator[Node]:
    if isinstance(node, And):
        yield node  # `not all of them` excludes the conjunction, not its parts
        for part in node.parts:
            yield from _conjuncts(part)
    else:
        yield node


class UnusedSelection(Check):
    """A selection that the condition never names."""

    name = "unused-selection"
    level = "warning"
    recommendation = "name it in the condition, or remove it"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.condition is None:
            return
        used = {item.selection for item in leaves(subject.condition)}
        for name in subject.content.get("detection", {}):
            if name not in used and name not in ("condition", "timeframe"):
                yield Remark(
                    f"the selection '{name}' is not used by the condition", ("detection", name)
                )


class Ungrouped(Check):
    """A correlation over everything at once."""

    name = "ungrouped-correlation"
    level = "warning"
    recommendation = "group it by what the events have in common, such as source.ip"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.kind == "correlation":
            body = subject.content.get("correlation")
            if isinstance(body, dict) and not body.get("group-by"):
                yield Remark(
                    "no group-by: it counts the events of all hosts and users together",
                    ("correlation",),
                )


class UnusedFilter(Check):
    """An exception that excepts nothing."""

    name = "unused-filter"
    level = "warning"
    recommendation = "its logsource must cover that of the rules it names; or remove it"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.kind == "filter" and not world.filtered.get(subject.part.id):
            yield Remark("the filter applies to no rule", ("filter",))


class UnsuppliedField(Check):
    """A field that no event of the logsource has."""

    name = "unsupplied-field"
    level = "warning"
    recommendation = "`tocsin rules explain` shows what an event has; map it in the taxonomy"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        rule = world.ruleset.rule(subject.part.id)
        if rule is None or rule.fields is not None or subject.condition is None:
            return
        told: set[str] = set()
        for item in leaves(subject.condition):
            name = getattr(item, "field", "")
            reason = world.unsupplied.get((str(rule.logsource), name))
            if reason is not None and name not in told:
                told.add(name)
                yield Remark(
                    f"no event of {rule.logsource} has '{name}': {reason}", subject.path_of(item)
                )


class MistypedField(Check):
    """A field that nothing maps, and that is almost called like one that is mapped."""

    name = "mistyped-field"
    level = "warning"
    recommendation = "a field that no event has never matches, and nothing else says so"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        rule = world.ruleset.rule(subject.part.id)
        if rule is None or rule.fields is not None or subject.condition is None:
            return
        taxonomy = world.ruleset.taxonomy
        entries = [taxonomy.entries[position] for position in taxonomy.bind(rule.logsource)]
        known = {name for entry in entries for name in (*entry.fields.fields, *entry.unsupplied)}
        told: set[str] = set()
        for item in leaves(subject.condition):
            name = getattr(item, "field", "")
            if not name or "." in name or name in known or name in told:
                continue  # with a dot it is a path in the event, by ECS or the vendor
            told.add(name)
            if near := get_close_matches(name, _alike(name, known), n=1, cutoff=ALIKE):
                yield Remark(
                    f"nothing is mapped as '{name}'; did you mean '{near[0]}'?",
                    subject.path_of(item),
                )


def _alike(name: str, known: Iterable[str]) -> list[str]:
    """Those that begin with the same letter and are a letter longer or shorter at most."""
    return sorted(
        each
        for each in known
        if each[:1].casefold() == name[0].casefold() and abs(len(each) - len(name)) <= 1
    )
