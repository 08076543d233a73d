"""What a rule costs on the stream: whether something cheap says that it cannot match."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detect.lint.model import Check, Remark, leaves
from detect.lint.values import patterns
from detect.sigma.condition import FieldItem, KeywordItem
from detect.sigma.literals import MIN_LENGTH
from detect.sigma.patterns import Regex, compile_regex
from detect.sigma.regex_literals import required
from detect.sigma.routing import KINDS
from detect.sigma.witness import chosen, guess, witness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.lint.model import Subject, World
    from detect.sigma.event import FieldMap
    from detect.sigma.ruleset import CompiledRule

#: Values of one field from which on preparing them is felt.
MANY_VALUES = 1_000
#: Instructions of a compiled expression from which on it is large; most have fewer than a hundred.
LARGE_PROGRAM = 4_000
#: Shorter literals, bytes, are in many events that have nothing to do with the rule.
SHORT_LITERAL = 4


def _maps(rule: CompiledRule, world: World) -> Iterator[FieldMap]:
    """The field maps through which the rule is read."""
    if rule.fields is not None:
        yield rule.fields
        return
    for position in world.ruleset.taxonomy.bind(rule.logsource):
        yield world.ruleset.taxonomy.entries[position].fields


def _by_kind(rule: CompiledRule, fields: FieldMap) -> bool:
    """Whether the rule asks only for kinds of events: then the bucket decides, at no cost."""
    return all(
        isinstance(item, FieldItem)
        and all(path.name in KINDS for path in fields.places(item.field).paths)
        for item in leaves(rule.condition)
    )


class NoWitness(Check):
    """No text says that the rule cannot match: it is evaluated on each event of its logsource."""

    name = "no-witness"
    level = "warning"
    recommendation = "ask for a text that must be there, such as a program's name"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        rule = world.ruleset.rule(subject.part.id)
        if rule is None:
            return
        for fields in _maps(rule, world):
            if witness(rule.condition, fields) is None and not _by_kind(rule, fields):
                yield Remark(
                    "nothing must stand in the text of an event for it to match, so it is "
                    f"evaluated on every event of {rule.logsource}",
                    ("detection",),
                )
                return


class WeakWitness(Check):
    """All that must be there is so short that it is in many events."""

    name = "weak-witness"
    level = "advice"
    recommendation = "longer texts are rarer: each saves evaluations"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        rule = world.ruleset.rule(subject.part.id)
        if rule is None:
            return
        for fields in _maps(rule, world):
            found = witness(rule.condition, fields)
            clauses = [] if found is None else chosen(found, guess)
            if clauses and not _by_kind(rule, fields):
                best = min(clauses, key=guess)
                short = [text for text in best if len(text) < SHORT_LITERAL]
                if short and min(len(min(c, key=len)) for c in clauses) < SHORT_LITERAL:
                    text = min(short).decode("utf-8", "replace")
                    yield Remark(f"the rarest text that it needs is '{text}'", ("detection",))
                return


class RegexWithoutLiteral(Check):
    """An expression with no text of its own must be tried on every value of its field."""

    name = "regex-without-literal"
    level = "warning"
    recommendation = "put a literal part into each alternative, or another selection beside it"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.condition is None:
            return
        for item in leaves(subject.condition):
            for pattern in patterns(item):
                if isinstance(pattern, Regex) and not _literal(pattern.source):
                    yield Remark(
                        f"'{_short(pattern.source)}' has no text that must be there",
                        subject.path_of(item),
                    )


def _literal(source: str) -> bool:
    """Whether each alternative has a text that is worth looking for."""
    texts = required(source)
    return texts is not None and min(map(len, texts), default=0) >= MIN_LENGTH


class LargeRegex(Check):
    """An expression that counts high: each repetition is written out."""

    name = "large-regex"
    level = "warning"
    recommendation = "lower the counts of {…}, or write + and *"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.condition is None:
            return
        for item in leaves(subject.condition):
            for pattern in patterns(item):
                if isinstance(pattern, Regex):
                    size = compile_regex(pattern.source).programsize
                    if size > LARGE_PROGRAM:
                        yield Remark(
                            f"'{_short(pattern.source)}' becomes {size:,} instructions; it takes "
                            "time linear in the text, and that many for each character",
                            subject.path_of(item),
                        )


class ManyValues(Check):
    """A list so long that it takes time and memory to prepare."""

    name = "many-values"
    level = "advice"
    recommendation = "indicators belong into a feed: see docs/enrichment.md"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.condition is None:
            return
        for item in leaves(subject.condition):
            count = sum(1 for _ in patterns(item))
            if count > MANY_VALUES:
                what = item.field if isinstance(item, FieldItem) else "keywords"
                yield Remark(
                    f"{what}: {count:,} values; the first event waits while they are prepared",
                    subject.path_of(item),
                )


class Keywords(Check):
    """Keywords are looked for in all of the event, however long it is."""

    name = "keywords"
    level = "advice"
    recommendation = "name the field if you know it"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.condition is None:
            return
        for item in leaves(subject.condition):
            if isinstance(item, KeywordItem):
                yield Remark(
                    "keywords are looked for in the whole text of an event: on one of 1 MB in all "
                    "of that, once for each keyword",
                    subject.path_of(item),
                )
                return


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
