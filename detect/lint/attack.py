"""ATT&CK tags: there, well written, of techniques that exist."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from detect.lint.attack_ids import NEWER, RETIRED, TECHNIQUES, VERSION
from detect.lint.model import Check, Remark
from tocsin.alert_document import TACTICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from detect.lint.model import Subject, World

_TECHNIQUE = re.compile(r"t(\d{4})(?:\.(\d{3}))?", re.ASCII)
#: Groups, software, campaigns, mitigations, data sources; the ICS and mobile matrices have their
#: own ranges of techniques.
_OTHER = re.compile(r"(?:[gscm]\d{4}|ds\d{4}|ta\d{4}|t0\d{3}(?:\.\d{3})?)", re.ASCII)
_PREFIX = "attack."


def techniques(tags: Iterable[str]) -> list[str]:
    """The techniques among the tags, as ATT&CK writes them: T1059.001."""
    found = (tag.lower().removeprefix(_PREFIX) for tag in tags if tag.lower().startswith(_PREFIX))
    return [name.upper() for name in found if _TECHNIQUE.fullmatch(name)]


def tactics(tags: Iterable[str]) -> list[str]:
    """The tactics among the tags, in ATT&CK's order."""
    given = {tag.lower() for tag in tags}
    return [name for name in TACTICS if f"{_PREFIX}{name}" in given]


def placed(tagged: Iterable[Sequence[str]]) -> dict[str, frozenset[str]]:
    """The tactics of each technique, read from the tags of many rules.

    A rule is tagged with all tactics of all of its techniques, so a technique's own tactics are
    those that every rule with it (or with a sub-technique of the same) has.
    """
    found: dict[str, frozenset[str]] = {}
    for tags in tagged:
        own = frozenset(tactics(tags))
        for name in techniques(tags):
            for key in {name, name.partition(".")[0]} if own else ():
                found[key] = found.get(key, own) & own
    return found


def _tags(subject: Subject) -> Iterator[tuple[int, str]]:
    tags = subject.content.get("tags")
    for index, tag in enumerate(tags if isinstance(tags, list) else ()):
        text = str(tag).lower()
        if text.startswith(_PREFIX):
            yield index, text.removeprefix(_PREFIX)


class MissingAttack(Check):
    """Coverage does not count a rule without a technique."""

    name = "missing-attack"
    level = "advice"
    recommendation = "add a tag such as attack.t1110.003"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.kind != "filter" and not any(_TECHNIQUE.match(t) for _, t in _tags(subject)):
            yield Remark("no ATT&CK technique: coverage does not count it")


class UnknownAttack(Check):
    """A tag that ATT&CK does not have: mistyped, or revoked long ago."""

    name = "unknown-attack"
    level = "warning"
    recommendation = "look it up at attack.mitre.org"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        for index, tag in _tags(subject):
            if problem := _problem(tag):
                yield Remark(f"attack.{tag}: {problem}", ("tags", index))


def _problem(tag: str) -> str:
    match = _TECHNIQUE.fullmatch(tag)
    if match is None:
        if tag in TACTICS or tag in RETIRED or _OTHER.fullmatch(tag):
            return ""
        near = get_close_matches(tag.replace("_", "-"), TACTICS, n=1)
        return "no tactic or technique" + (f"; did you mean attack.{near[0]}?" if near else "")
    number, sub = int(match[1]), int(match[2] or 0)
    if number >= NEWER or number < 1000:
        return ""
    if number not in TECHNIQUES:
        return f"ATT&CK {VERSION} has no technique T{number}"
    if sub > TECHNIQUES[number]:
        return f"T{number} has {TECHNIQUES[number] or 'no'} sub-techniques"
    return ""


class RetiredAttack(Check):
    """A tag of an older ATT&CK."""

    name = "retired-attack"
    level = "advice"
    recommendation = "use what replaced it"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        for index, tag in _tags(subject):
            if (now := RETIRED.get(tag.partition(".")[0])) is not None:
                yield Remark(f"attack.{tag} was replaced by {now}", ("tags", index))
