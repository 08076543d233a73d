"""Single values: patterns that ask for nothing, or for something else than was meant."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from detect.lint.model import Check, Remark, leaves
from detect.sigma.condition import FieldItem
from detect.sigma.patterns import AnyOf, Regex, Text, Wildcard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.lint.model import Subject, World
    from detect.sigma.condition import Expectation, KeywordItem

_PLAIN = re.compile(r"[\w\s/:;,=@%&#\"'<>~`-]+", re.ASCII)
#: Characters that double quotes in YAML make of a Windows path: "\t", "\b", "\x…".
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<=[A-Za-z]:)[\t\n\r]|\t")


def patterns(item: FieldItem | KeywordItem) -> Iterator[Expectation]:
    """What the item compares with, alternatives that a modifier made one by one."""
    given = item.expectations if isinstance(item, FieldItem) else item.patterns
    for each in given:
        if isinstance(each, AnyOf):
            yield from each.patterns
        else:
            yield each


def _anything(pattern: Expectation) -> bool:
    match pattern:
        case Text(operator="contains" | "startswith" | "endswith", text=""):
            return True
        case Wildcard(runs=runs):
            return len(runs) > 1 and all(not run.literals and not run.length for run in runs)
        case _:
            return False


class WildcardOnly(Check):
    """A value that every value matches."""

    name = "wildcard-only"
    level = "advice"
    recommendation = "write `field|exists: true` if only its presence is meant"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.condition is None:
            return
        for item in leaves(subject.condition):
            found = list(patterns(item))
            if any(map(_anything, found)):
                what = item.field if isinstance(item, FieldItem) else "a keyword"
                rest = len(found) - 1
                beside = f", which makes the {rest} others beside it pointless" if rest else ""
                yield Remark(f"{what}: '*' is any value{beside}", subject.path_of(item))


class PlainRegex(Check):
    """A regular expression without anything regular."""

    name = "plain-regex"
    level = "advice"
    recommendation = "write contains, startswith or endswith: faster, and without regard to case"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.condition is None:
            return
        for item in leaves(subject.condition):
            for pattern in patterns(item):
                if isinstance(pattern, Regex) and _PLAIN.fullmatch(_bare(pattern.source)):
                    yield Remark(f"'{pattern}' is a plain text", subject.path_of(item))


def _bare(source: str) -> str:
    """The expression without flags and anchors."""
    return re.sub(r"^\(\?[ims]+\)", "", source).removeprefix("^").removesuffix("$")


class ControlCharacter(Check):
    """A value that double quotes have changed: "C:\\temp" holds a TAB."""

    name = "control-character"
    level = "warning"
    recommendation = "write values with backslashes in single quotes"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.condition is None:
            return
        for item in leaves(subject.condition):
            for pattern in patterns(item):
                if isinstance(pattern, Text) and _CONTROL.search(pattern.text) and (
                    "wide" not in item.modifiers and "utf16" not in item.modifiers
                ):  # fmt: skip
                    yield Remark(
                        f"{pattern.text!r} holds a control character", subject.path_of(item)
                    )


class RedundantValue(Check):
    """The same value twice, or one that another includes."""

    name = "redundant-value"
    level = "advice"
    recommendation = "remove it"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.condition is None:
            return
        for item in leaves(subject.condition):
            if not isinstance(item, FieldItem):
                continue
            counts = Counter(each for each in item.expectations if isinstance(each, Text))
            for pattern, count in counts.items():
                if count > 1:
                    yield Remark(
                        f"{item.field}: '{pattern}' stands {count} times (case does not count)",
                        subject.path_of(item),
                    )
