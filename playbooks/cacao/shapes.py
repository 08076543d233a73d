"""Checking JSON objects against tables of properties: required, known, and what each must be."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from playbooks.cacao import values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from playbooks.cacao.problems import Path, Problems

#: A misspelt property is this near to a known one.
_NEAR = 0.85


def scalar(check: Callable[[Any], str]) -> Callable[[Problems, Path, Any], None]:
    """The rule that a check of a single value makes."""

    def rule(problems: Problems, path: Path, value: Any) -> None:
        if wrong := check(value):
            problems.error(path, wrong)

    return rule


def list_of(
    rule: Callable[[Problems, Path, Any], None], at_least: int = 1
) -> Callable[[Problems, Path, Any], None]:
    """A rule for each item of a list that has `at_least` so many."""

    def check(problems: Problems, path: Path, value: Any) -> None:
        if not isinstance(value, list):
            problems.error(path, "this is no list")
            return
        if len(value) < at_least:
            problems.error(path, f"the list has {len(value)} items, at least {at_least} are needed")
        for index, item in enumerate(value):
            rule(problems, (*path, index), item)

    return check


def dictionary_of(
    rule: Callable[[Problems, Path, Any], None],
    key: Callable[[str], str] = values.dictionary_key,
    at_least: int = 0,
) -> Callable[[Problems, Path, Any], None]:
    """A rule for each value of a dictionary of `at_least` so many, and a check of its keys."""

    def check(problems: Problems, path: Path, value: Any) -> None:
        if wrong := values.mapping(value):
            problems.error(path, wrong)
            return
        if len(value) < at_least:
            problems.error(path, "this is empty: what is not there is left out")
        for name, item in value.items():
            if wrong := key(name):
                problems.error((*path, name), wrong)
            rule(problems, (*path, name), item)

    return check


def anything(problems: Problems, path: Path, value: Any) -> None:
    """No rule."""


TEXT = scalar(values.text)
FILLED = scalar(values.filled)
BOOLEAN = scalar(values.boolean)
TIMESTAMP = scalar(values.timestamp)
TEXTS = list_of(FILLED)


def identifier(*prefixes: str) -> Callable[[Problems, Path, Any], None]:
    """The rule for an identifier of an object of one of these types."""
    return scalar(lambda value: values.identifier(value, *prefixes))


@dataclass(frozen=True)
class Shape:
    """The properties of a kind of object."""

    name: str
    fields: Mapping[str, Callable[[Problems, Path, Any], None]]
    required: tuple[str, ...] = ()

    def __call__(self, problems: Problems, path: Path, value: Any) -> None:
        """Note what is wrong with the object at `path`."""
        if not isinstance(value, dict):
            problems.error(path, f"{article(self.name)} is a JSON object")
            return
        for name in self.required:
            if name not in value:
                near = _misspelt(name, value, self.fields)
                hint = f"'{near}' is there; did you mean '{name}'?" if near else ""
                problems.error((*path, name), f"{article(self.name)} needs '{name}'", hint)
        for name, item in value.items():
            if (rule := self.fields.get(name)) is not None:
                rule(problems, (*path, name), item)
            else:
                self._unknown(problems, (*path, name), name, value)

    def _unknown(self, problems: Problems, path: Path, name: str, value: dict[str, Any]) -> None:
        missing = [known for known in self.fields if known not in value]
        if near := get_close_matches(name, missing, n=1, cutoff=_NEAR):
            problems.error(
                path, f"{article(self.name)} has no property '{name}'", f"did you mean '{near[0]}'?"
            )
        else:
            problems.warning(
                path,
                f"the standard has no property '{name}' of {article(self.name)}; it is kept and "
                "means nothing",
                "what is one's own belongs into an extension",
            )

    def also(
        self,
        fields: Mapping[str, Callable[[Problems, Path, Any], None]],
        *required: str,
        name: str = "",
    ) -> Shape:
        """This shape with further properties."""
        both = {**self.fields, **fields}
        return Shape(name or self.name, both, (*self.required, *required))


def article(name: str) -> str:
    """`an action`, `a playbook`."""
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _misspelt(name: str, value: dict[str, Any], known: Mapping[str, object]) -> str:
    strange = [key for key in value if key not in known]
    return next(iter(get_close_matches(name, strange, n=1, cutoff=_NEAR)), "")


def not_before(problems: Problems, path: Path, value: Any, first: str, second: str) -> None:
    """Note a second time that comes before the first."""
    if _order(value, first, second) < 0:
        problems.error((*path, second), f"'{second}' is before '{first}'")


def after(problems: Problems, path: Path, value: Any, first: str, second: str) -> None:
    """Note a second time that does not come after the first."""
    if _order(value, first, second) < 1:
        problems.error((*path, second), f"'{second}' is not after '{first}'")


def _order(value: dict[str, Any], first: str, second: str) -> int:
    """-1, 0 or 1 as the second time is before, at or after the first; 1 where one is missing."""
    early, late = values.instant(value.get(first)), values.instant(value.get(second))
    if early is None or late is None:
        return 1
    return (late > early) - (late < early)
