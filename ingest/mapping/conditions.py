"""Conditions: reading them from YAML, and whether they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.mapping.convert import number
from ingest.mapping.program import Check, Every_, Not, Some
from ingest.mapping.regexes import bounded
from ingest.mapping.values import absent, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.mapping.paths import Path
    from ingest.mapping.program import Condition
    from ingest.mapping.source import KeyPath, Source

_TEXTS = ("starts", "ends", "contains")
_NUMBERS = ("gte", "lte", "gt", "lt")

ALWAYS = Every_(())


class Conditions:
    """Reads the conditions of one file; notes mistakes in `source`."""

    def __init__(self, source: Source, path: Callable[[Any, KeyPath], Path | None]) -> None:
        self._source = source
        self._path = path

    def read(self, value: Any, at: KeyPath) -> Condition:
        """The condition that a mapping of paths writes; all of its keys must hold."""
        return self.all_of(self.parts(value, at)) or ALWAYS

    def all_of(self, conditions: list[Condition]) -> Condition | None:
        """One condition of several, None of none."""
        if len(conditions) <= 1:
            return conditions[0] if conditions else None
        return Every_(tuple(conditions))

    def parts(self, value: Any, at: KeyPath) -> list[Condition]:
        """The conditions that the keys of `value` write."""
        if not isinstance(value, dict):
            self._source.complain(at, "a condition is a mapping: {path: value}")
            return []
        made: list[Condition] = []
        for name, wanted in value.items():
            here = (*at, name)
            if name in ("any", "all") and isinstance(wanted, list):
                inner = tuple(self.read(one, (*here, n)) for n, one in enumerate(wanted))
                made.append(Some(inner) if name == "any" else Every_(inner))
            elif name == "not" and isinstance(wanted, dict):
                made.append(Not(self.read(wanted, here)))
            else:
                path = self._path(name, here)
                if path is not None:
                    made.extend(self._checks(path, wanted, here))
        return made

    def _checks(self, path: Path, wanted: Any, at: KeyPath) -> list[Condition]:
        if isinstance(wanted, dict):
            return [
                c for kind, detail in wanted.items() for c in self._check(path, kind, detail, at)
            ]
        if wanted is None:
            return [Not(Check(path, "exists", True))]
        items = wanted if isinstance(wanted, list) else [wanted]
        if not items or any(isinstance(item, (dict, list)) or item is None for item in items):
            self._source.complain(at, "what is compared must be a text, number or a list of them")
            return []
        return [Check(path, "equal", frozenset(words(item).casefold() for item in items))]

    def _check(self, path: Path, kind: str, detail: Any, at: KeyPath) -> list[Condition]:
        here = (*at, kind)
        if kind == "exists" and isinstance(detail, bool):
            check = Check(path, "exists", True)
            return [check if detail else Not(check)]
        items = detail if isinstance(detail, list) else [detail]
        if kind in _TEXTS and items and all(isinstance(item, (str, int)) for item in items):
            return [Check(path, kind, tuple(words(item).casefold() for item in items))]
        if kind in _NUMBERS and isinstance(detail, (int, float)) and not isinstance(detail, bool):
            return [Check(path, kind, detail)]
        if kind == "not":
            return [Not(one) for one in self._checks(path, detail, here)]
        if kind == "regex" and all(isinstance(item, str) for item in items):
            try:
                return [Check(path, "regex", tuple(bounded(item, anywhere=True) for item in items))]
            except ValueError as error:
                self._source.complain(here, str(error))
                return []
        known = ("exists", *_TEXTS, "regex", *_NUMBERS, "not")
        self._source.complain(here, f"'{kind}' is no comparison", f"one of {', '.join(known)}")
        return []


def compare(check: Check, value: Any) -> bool:
    """Whether the value at a check's path passes; of a list any member may."""
    if check.kind == "exists":
        return not absent(value)
    if isinstance(value, list):
        return any(compare(check, item) for item in value)
    if value is None or isinstance(value, dict):
        return False
    if check.kind in _NUMBERS:
        found = number(value)
        return found is not None and _ordered(check.kind, found, check.detail)
    text = words(value)
    if check.kind == "regex":
        return any(regex.search(text) is not None for regex in check.detail)
    folded = text.casefold()
    if check.kind == "equal":
        return folded in check.detail
    if check.kind == "starts":
        return folded.startswith(check.detail)
    if check.kind == "ends":
        return folded.endswith(check.detail)
    return any(part in folded for part in check.detail)


def _ordered(kind: str, found: float, bound: float) -> bool:
    if kind == "gte":
        return found >= bound
    if kind == "lte":
        return found <= bound
    return found > bound if kind == "gt" else found < bound
