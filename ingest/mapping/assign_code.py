"""Assignments in generated code: the cast of a value to the type of its target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from ingest.mapping import casts, convert
from ingest.mapping.casts import scalar
from ingest.mapping.companions import STILL_LISTS
from ingest.mapping.emitting import RAW, READY, SAFE, TEXT, WHOLE, Known, Operand, constant
from ingest.mapping.program import Assign, Pipe
from ingest.mapping.runtime import MAX_PIPED
from ingest.mapping.source_code import fold
from ingest.mapping.targets import ANY, DATE, IP, KEYWORD, LONG
from ingest.mapping.values import absent

if TYPE_CHECKING:
    from ingest.mapping.compiler import Unit
    from ingest.mapping.targets import Target


class AssignCode:
    """Writes the assignments of one function."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.w = unit.w

    def assign(self, statement: Assign) -> None:
        """Write the cast of a source to a target's type."""
        target = statement.target
        operand = self.unit.sources.value(statement.source)
        if operand.nothing:
            return
        if target.path == "@timestamp":
            self.time(operand)
            return
        known, value = fold(statement.source, self.unit.facts)
        if known and target.type != DATE:
            made = None if absent(value) else casts.cast(target, value)
            if made is not None and not absent(made):
                self.unit.env.targets[target.path] = constant(made)
            return
        if self._mapped(statement, operand):
            return
        if self._remembers(statement, operand):
            return
        self.cast(target, operand)

    def cast(self, target: Target, operand: Operand) -> None:
        """Write the cast of a value to a target's type."""
        w = self.w
        out = w.name("t")
        if target.type == DATE and not target.many:
            w.line(f"{out} = date({operand.code}, o.received, o.zone)")
            self.unit.put(target, out, sure=False, plain=True, form=SAFE)
            return
        simple = not target.many and target.allowed is None
        cast = scalar(target)
        if (simple and cast is convert.text) or (target.type == ANY and operand.kind == TEXT):
            self.keyword(target, operand, out)
        elif simple and cast in (convert.whole, convert.port):
            self.number(target, operand, out)
        elif simple and target.type == IP:
            w.line(f"{out} = ip({operand.code})")
            self.unit.put(target, out, sure=False, plain=True, form=SAFE)
        elif target.type == ANY:
            self.unit.fields.clean(operand, out)
            self.unit.put(target, out, sure=False)
        else:
            self._casted(target, operand, out)
            form = WHOLE if simple and target.type == LONG else ""
            plain = simple and target.type == KEYWORD
            self.unit.put(target, out, sure=False, plain=plain, form=form)

    def _casted(self, target: Target, operand: Operand, out: str) -> None:
        """Write a cast that takes long; of texts, and of numbers, the first are remembered."""
        w, code = self.w, operand.code
        slow = f"casted({w.bind(target, 'T')}, {code})"
        if not self.unit.facts.encoded or target.many:
            w.line(f"{out} = {slow}")
            return
        table, number = w.bind({}, "X"), code in self.unit.ints
        test = "" if number else f" if ({code}).__class__ is str else {slow}"
        w.line(f"{out} = {table}.get({code}, EMPTY){test}")
        make = f"kept({table}, {code}, {slow})"
        if number:
            make = f"{table}.setdefault({code}, {slow}) if len({table}) < {MAX_PIPED} else {slow}"
        w.line(f"if {out} is EMPTY: {out} = {make}")

    def _remembers(self, statement: Assign, operand: Operand) -> bool:
        """Assign a pipe's value whose cast takes long, and is remembered with it."""
        target, source = statement.target, statement.source
        if operand.code not in self.unit.memos or not isinstance(source, Pipe) or target.many:
            return False
        if target.type != KEYWORD or target.allowed is None:
            return False
        value, out = self.unit.memos[operand.code], self.w.name("t")
        table, cast = self.w.bind({}, "X"), self.w.bind(target, "T")
        self.w.line(f"{out} = {table}.get({value}, EMPTY)")
        self.w.line(
            f"if {out} is EMPTY: {out} = kept({table}, {value}, casted({cast}, {operand.code}))"
        )
        self.unit.put(target, out, sure=False, plain=True, form=operand.form)
        return True

    def _mapped(self, statement: Assign, operand: Operand) -> bool:
        """Assign what a table gives, if all that it may give is a value of the target."""
        target, source, w = statement.target, statement.source, self.w
        if not isinstance(source, Pipe) or not source.steps:
            return False
        step = source.steps[-1]
        if step.kind != "map" or step.keep:
            return False
        values = [v for v in (*step.detail.values(), step.default, source.default) if v is not None]
        if not all(isinstance(v, str) and casts.cast(target, v) in (v, [v]) for v in values):
            return False
        safe = all(orjson.dumps(v) == f'"{v}"'.encode() for v in values)
        slow, out = w.bind(target, "T"), w.name("t")
        w.line(f"{out} = {operand.code}")
        if target.many and self.unit.facts.encoded and safe and target.path not in STILL_LISTS:
            with w.block(f"if {out}.__class__ is str:"):
                w.line(f"{out} = f'[\"{{{out}}}\"]'")
            w.line(f"elif {out} is not None: {out} = casted_json({slow}, {out})")
            self.unit.put(target, out, sure=False, form=READY)
        elif target.many:
            many = f"[{out}] if {out}.__class__ is str else casted({slow}, {out})"
            w.line(f"if {out} is not None: {out} = {many}")
            self.unit.put(target, out, sure=False)
        else:
            # A list of values gives a list: then the target takes the first.
            w.line(f"if {out}.__class__ is list: {out} = casted({slow}, {out})")
            self.unit.put(target, out, sure=False, plain=True, form=SAFE if safe else "")
        return True

    def time(self, operand: Operand) -> None:
        """Write the reading of `@timestamp`, an Instant."""
        w, value = self.w, self.unit.fields.local(operand)
        operand = Operand(value, operand.kind)
        out = w.name("t")
        if self.unit.present(operand):
            table = w.bind({}, "Z")
            w.line(f"{out} = {table}.get({value})")
            w.line(f"if {out} is None: {out} = timed({table}, {value}, o.received, o.zone)")
            self.unit.usual(f"{out} is None")
            self.unit.env.targets["@timestamp"] = Known(out, sure=True)
            return
        with w.block(f"if {self.unit.fields.is_absent(operand)}:"):
            w.line(f"{out} = None")
        with w.block("else:"):
            w.line(f"{out} = instant({value}, o.received, o.zone)")
            w.line(f"unread = {out} is None")
        before = self.unit.env.targets.get("@timestamp")
        if before is not None:
            w.line(f"if {out} is None: {out} = {before.code}")
        self.unit.env.targets["@timestamp"] = Known(out, sure=before.sure if before else False)

    def keyword(self, target: Target, operand: Operand, out: str) -> None:
        """Write the cast to one text."""
        w = self.w
        if self.unit.present(operand):
            self.unit.put(target, operand.code, sure=True, plain=True, form=operand.form)
            return
        if operand.code in self.unit.ints:
            w.line(f"{out} = str({operand.code})")
            self.unit.put(target, out, sure=True, plain=True, form=SAFE)
            return
        w.line(f"{out} = {operand.code}")
        form = operand.form
        if operand.kind == TEXT:
            w.line(f"if {out} is not None and ({out} in NOTHING or {out}.isspace()): {out} = None")
        elif operand.kind == RAW:
            with w.block(f"if {out}.__class__ is str:"):
                w.line(f"if {out} in NOTHING or {out}.isspace(): {out} = None")
            w.line(f"elif {out} is not None: {out} = keyword({out})")
        else:
            w.line(f"if {out}.__class__ is not str and {out} is not None: {out} = keyword({out})")
        self.unit.put(target, out, sure=False, plain=True, form=form)

    def number(self, target: Target, operand: Operand, out: str) -> None:
        """Write the cast to a whole number."""
        w, cast, code = self.w, "port" if target.largest else "whole", operand.code
        digits = 5 if target.largest else 18
        if code in self.unit.ints:
            if target.largest:
                self.unit.usual(f"not 0 <= {code} <= {target.largest}")
            self.unit.put(target, code, sure=True, plain=True, form=WHOLE)
            return
        if self.unit.assume and operand.kind == TEXT and code in self.unit.certain:
            self.unit.env.present[code] = code
            wrong = f"not {code}.isdigit() or len({code}) > {digits} or not {code}.isascii()"
            if self.unit.facts.encoded:
                # In JSON the digits are the number.
                if code in self.unit.digits:
                    wrong = f"len({code}) > {digits}"
                if target.largest:
                    wrong += f" or len({code}) == {digits} and {code} > {str(target.largest)!r}"
                self.unit.usual(f"{wrong} or {code}[0] == '0' and {code} != '0'")
                self.unit.put(target, code, sure=True, plain=True, form=WHOLE)
                return
            self.unit.usual(wrong)
            w.line(f"{out} = int({code})")
            if target.largest:
                self.unit.usual(f"{out} > {target.largest}")
            self.unit.put(target, out, sure=True, plain=True, form=WHOLE)
            return
        w.line(f"{out} = {code}")
        w.line(f"if {out} is not None: {out} = {cast}({out})")
        self.unit.put(target, out, sure=False, plain=True, form=WHOLE)
