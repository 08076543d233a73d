"""Conditions in generated code: an expression, after the lines that look its values up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.mapping.emitting import CLEAN, TEXT, Operand
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
            return unit.there(check.path)
        operand = unit.look(check.path)
        if operand.nothing:
            return "False"
        name = unit.local(operand)
        if check.kind == "exists":
            return f"(not ({unit.is_absent(Operand(name, operand.kind))}))"
        if check.kind == "equal":
            return self._equal(check, name, operand)
        return f"compared({unit.w.bind(check, 'C')}, {name})"

    def _equal(self, check: Check, name: str, operand: Operand) -> str:
        unit = self._unit
        folded = unit.env.folded.get(name)
        if folded is None:
            folded = unit.w.name("w")
            unit.w.line(
                f"{folded} = {name}.casefold() if {name}.__class__ is str else fold({name})"
            )
            unit.env.folded[name] = folded
        wanted = sorted(check.detail)
        if len(wanted) == 1:
            test = f"{folded} == {wanted[0]!r}"
        else:
            test = f"{folded} in {unit.w.bind(check.detail, 'Q')}"
        if operand.kind in (TEXT, CLEAN):
            return f"({test})"
        return f"({test} or {folded}.__class__ is tuple and any_in({folded}, " + (
            f"{unit.w.bind(check.detail, 'Q')}))"
        )
