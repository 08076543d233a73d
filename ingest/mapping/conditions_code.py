"""Conditions in generated code: an expression, after the lines that look its values up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.mapping.conditions import compare
from ingest.mapping.emitting import TEXT, Operand
from ingest.mapping.program import Check, Every_, Some

if TYPE_CHECKING:
    from ingest.mapping.compiler import Unit
    from ingest.mapping.program import Condition


class ConditionCode:
    """Writes the conditions of one function."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def code(self, condition: Condition) -> str:
        """The expression that tells whether a condition holds: True and False where it is known."""
        if isinstance(condition, Check):
            return self._check(condition)
        if isinstance(condition, (Every_, Some)):
            every = isinstance(condition, Every_)
            codes = [self.code(one) for one in condition.conditions]
            decided, neutral = ("False", "True") if every else ("True", "False")
            if decided in codes:
                return decided
            codes = [code for code in codes if code != neutral]
            return "(" + (" and " if every else " or ").join(codes) + ")" if codes else neutral
        code = self.code(condition.condition)
        return {"True": "False", "False": "True"}.get(code, f"(not {code})")

    def _check(self, check: Check) -> str:
        unit = self._unit
        if check.kind == "there":
            return unit.fields.there(check.path)
        operand = unit.fields.look(check.path)
        if operand.nothing:
            return "False"
        if check.path.header == "source" and unit.facts.source is not None:
            return str(compare(check, unit.facts.source))
        name = unit.fields.local(operand)
        operand = Operand(name, operand.kind, operand.form)
        if check.kind == "exists":
            absent = unit.fields.is_absent(operand)
            return "True" if absent == "False" else f"(not ({absent}))"
        single = operand.kind == TEXT
        if check.kind == "equal":
            return self._equal(check, name, single=single)
        if check.kind in ("starts", "ends", "contains"):
            return self._part(check, name, single=single)
        if check.kind in _ORDER:
            return self._number(check, name, single=single)
        return f"compared({unit.w.bind(check, 'C')}, {name})"

    def _fold(self, name: str) -> str:
        """The variable of a value that is ready to be compared."""
        unit = self._unit
        folded = unit.env.folded.get(name)
        if folded is None:
            folded = unit.w.name("w")
            if unit.assume and name in unit.certain:
                unit.w.line(f"{folded} = {name}.casefold()")
            else:
                unit.w.line(
                    f"{folded} = {name}.casefold() if {name}.__class__ is str "
                    f"else None if {name} is None else fold({name})"
                )
            unit.env.folded[name] = folded
        return folded

    def _equal(self, check: Check, name: str, *, single: bool) -> str:
        folded, unit = self._fold(name), self._unit
        wanted = sorted(check.detail)
        if len(wanted) == 1:
            test = f"{folded} == {wanted[0]!r}"
        else:
            test = f"{folded} in {unit.w.bind(check.detail, 'Q')}"
        if single:
            return f"({test})"
        many = unit.w.bind(check.detail, "Q")
        return f"({test} or {folded}.__class__ is tuple and any_in({folded}, {many}))"

    def _part(self, check: Check, name: str, *, single: bool) -> str:
        folded, unit = self._fold(name), self._unit
        if check.kind == "contains":
            test = " or ".join(f"{part!r} in {folded}" for part in check.detail)
            test = f"({test})"
        else:
            test = f"{folded}.{check.kind}with({check.detail!r})"
        if unit.assume and name in unit.certain:
            return test
        test = f"({folded}.__class__ is str and {test}"
        if single:
            return test + ")"
        slow = f"compared({unit.w.bind(check, 'C')}, {name})"
        return f"{test} or {folded}.__class__ is tuple and {slow})"

    def _number(self, check: Check, name: str, *, single: bool) -> str:
        unit = self._unit
        if name in unit.ints:
            return f"({name} {_ORDER[check.kind]} {check.detail!r})"
        key = f"number {name}"
        number = unit.env.folded.get(key)
        if number is None:
            number = unit.w.name("w")
            unit.w.line(f"{number} = number({name})")
            unit.env.folded[key] = number
        test = f"({number} is not None and {number} {_ORDER[check.kind]} {check.detail!r})"
        if single:
            return test
        slow = f"compared({unit.w.bind(check, 'C')}, {name})"
        return f"({test} or {name}.__class__ is list and {slow})"


_ORDER = {"gte": ">=", "lte": "<=", "gt": ">", "lt": "<"}
