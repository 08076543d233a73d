"""Linting a set: what loading refuses, then every check on every rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detect.lint import attack, cost, logic, metadata, values
from detect.lint.model import Check, Issue, Level, Remark, Subject, World
from detect.rule_tests import beside
from detect.sigma.files import Budget, parse, read
from detect.sigma.loader import BUILTIN, assemble
from detect.sigma.prepare import part_of
from detect.sigma.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from detect.sigma.prepare import Part
    from detect.sigma.taxonomy import Taxonomy
    from tocsin.errors import RuleError

CHECKS: tuple[Check, ...] = (
    metadata.MissingId(),
    metadata.MissingDescription(),
    metadata.MissingAuthor(),
    metadata.MissingLevel(),
    metadata.MissingFalsePositives(),
    metadata.MissingTests(),
    metadata.Deprecated(),
    metadata.DuplicateTitle(),
    attack.MissingAttack(),
    attack.UnknownAttack(),
    attack.RetiredAttack(),
    logic.DuplicateLogic(),
    logic.OverBroad(),
    logic.Contradiction(),
    logic.UnusedSelection(),
    logic.Ungrouped(),
    logic.UnusedFilter(),
    logic.UnsuppliedField(),
    logic.MistypedField(),
    values.WildcardOnly(),
    values.PlainRegex(),
    values.ControlCharacter(),
    values.RedundantValue(),
    cost.NoWitness(),
    cost.WeakWitness(),
    cost.RegexWithoutLiteral(),
    cost.LargeRegex(),
    cost.ManyValues(),
    cost.Keywords(),
)
#: What loading says, under names like those of checks.
LOAD, UNEVALUATED = "load", "unevaluated"


def lint(
    paths: Sequence[Path],
    *,
    builtin: bool = False,
    ignore: Collection[str] = (),
    taxonomy: Taxonomy | None = None,
    placeholders: Mapping[str, Sequence[str]] | None = None,
) -> list[Issue]:
    """Everything that is to be said of the rules of `paths`, by file and line.

    `ignore` names checks that are not wanted.
    """
    lists = placeholders or {}
    errors: list[RuleError] = []
    subjects: list[Subject] = []
    parts: list[Part] = []
    budget = Budget()
    for file in read([BUILTIN, *paths] if builtin else paths, errors, budget):
        for document in parse(file, errors):
            for part in part_of(document, lists, errors):
                parts.append(part)
                subjects.append(Subject(document, part))
    ruleset = assemble(parts, errors, taxonomy or load_taxonomy(), lists)
    outside = beside(ruleset.places, ruleset.names, errors)
    issues = [_of_error(error) for error in errors]
    world = World(subjects, ruleset, _tests(subjects, outside))
    refused = {each.id: each.reason for each in ruleset.unsupported}
    for subject in subjects:
        if (reason := refused.get(subject.part.id)) is not None:
            remark = Remark(f"it cannot be evaluated: {reason}")
            issues.append(_issue(UNEVALUATED, "warning", subject, remark, ""))
        issues += _looked_at(subject, world, ignore)
    issues = [issue for issue in issues if issue.check not in ignore]
    return sorted(issues, key=lambda i: (i.place.path, i.place.line, i.place.column, i.check))


def _tests(
    subjects: Sequence[Subject], outside: Mapping[str, tuple[Any, ...]]
) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for subject in subjects:
        inside = subject.content.get("tests")
        found[subject.part.id] = (
            *(inside if isinstance(inside, list) else ()),
            *outside.get(subject.part.id, ()),
        )
    return found


def _looked_at(subject: Subject, world: World, ignore: Collection[str]) -> Iterator[Issue]:
    for check in CHECKS:
        if check.name not in ignore:
            for remark in check.remarks(subject, world):
                yield _issue(check.name, check.level, subject, remark, check.recommendation)


def _of_error(error: RuleError) -> Issue:
    return Issue(LOAD, "error", "", "", error.place, error.message, error.suggestion)


def _issue(
    check: str, level: Level, subject: Subject, remark: Remark, recommendation: str
) -> Issue:
    return Issue(
        check=check,
        level=level,
        rule=subject.part.id,
        title=subject.title,
        place=subject.document.place(*remark.path),
        message=remark.message,
        recommendation=recommendation,
    )
