"""Sources in generated code: what a target is given, worked out from a line's values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.mapping.emitting import CLEAN, RAW, SAFE, TEXT, Facts, Operand, Writer
from ingest.mapping.plain import apply
from ingest.mapping.program import Constant, Every, First, Join, Look, Member, Pipe
from ingest.mapping.runtime import MAX_PIPED
from ingest.mapping.values import absent

if TYPE_CHECKING:
    from ingest.mapping.compiler import Unit
    from ingest.mapping.program import Expression
    from ingest.mapping.program import Step as PipeStep

#: Headers that every line has.
OF_ALL = frozenset({"text", "source", "received"})


class SourceCode:
    """Writes the sources of one function."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.w = unit.w

    def value(self, source: Expression) -> Operand:
        """The value of a source; writes what has to be worked out."""
        known, value = fold(source, self.unit.facts)
        if known:
            return Operand(repr(value), CLEAN)
        if isinstance(source, Look):
            return self.unit.fields.look(source.path)
        if isinstance(source, Constant):
            return Operand(repr(source.value), CLEAN)
        if isinstance(source, First):
            return self._first(source)
        if isinstance(source, Every):
            found = [self.value(one) for one in source.sources]
            items = ", ".join(one.code for one in found if not one.nothing)
            return Operand(f"together(({items},))" if items else "None", CLEAN)
        if isinstance(source, Join):
            values = [self.value(part).code for part in source.parts if not isinstance(part, str)]
            listed = ", ".join(values) + ("," if values else "")
            return Operand(f"joined({self.w.bind(source.parts, 'J')}, ({listed}))", TEXT)
        if isinstance(source, Member):
            base = self.unit.fields.look(source.list)
            return Operand(f"member({base.code}, {self.w.bind(source, 'M')})", CLEAN)
        return self._pipe(source)

    def _first(self, source: First) -> Operand:
        return self._alternatives(source.sources, self.w.name(), at_start=True)

    def _alternatives(
        self, sources: tuple[Expression, ...], out: str, *, at_start: bool
    ) -> Operand:
        operand = self.value(sources[0])
        rest = sources[1:]
        while operand.nothing and rest:
            operand, rest = self.value(rest[0]), rest[1:]
        if self.unit.present(operand):
            if at_start:
                return operand
            self.w.line(f"{out} = {operand.code}")
            return Operand(out, TEXT, operand.form)
        if operand.code in self.unit.ints and at_start:
            return operand
        if not rest:
            if at_start:
                return operand
            self.w.line(f"{out} = {operand.code}")
            return Operand(out, operand.kind, operand.form)
        self.w.line(f"{out} = {operand.code}")
        before = self.unit.env.copy()
        with self.w.block(f"if {self.unit.fields.is_absent(Operand(out, operand.kind))}:"):
            last = self._alternatives(rest, out, at_start=False)
        self.unit.env = before
        form = operand.form if operand.form == last.form else ""
        return Operand(out, last.kind if operand.kind == last.kind else RAW, form)

    def _pipe(self, source: Pipe) -> Operand:
        w, out, form = self.w, self.w.name(), ""
        condition = "True"
        if source.when is not None:
            condition = self.unit.conditions.code(source.when)
            if condition == "False":
                return Operand("None", CLEAN)
        if self._never(source.source):
            if source.default is None or condition == "True":
                return Operand(repr(source.default), CLEAN)
        elif self._memorable(source):
            operand = self.value(source.source)
            if self.unit.present(operand):
                return self._memorized(source, operand, out)
        elif condition == "True" and _is_text(source) and isinstance(source.source, Look):
            operand = self.value(source.source)
            if operand.code in self.unit.ints:
                w.line(f"{out} = str({operand.code})")
                self.unit.certain.add(out)
                self.unit.env.present[out] = out
                return Operand(out, TEXT, SAFE)
        if condition != "True":
            w.line(f"{out} = None")
            before = self.unit.env.copy()
            with w.block(f"if {condition}:"):
                form = self._steps(source, out)
            self.unit.env = before
        else:
            form = self._steps(source, out)
        return Operand(out, CLEAN, form)

    def _never(self, source: Expression) -> bool:
        """Whether a source yields nothing for any line of the given keys."""
        if isinstance(source, First):
            return all(self._never(one) for one in source.sources)
        if isinstance(source, Pipe):
            return source.default is None and self._never(source.source)
        if not isinstance(source, Look):
            return False
        path = source.path
        if path.header:
            return self.unit.headless and path.header not in OF_ALL
        if path.steps[0] in self.unit.env.captures or path.steps in self.unit.env.looked:
            return False
        return self.unit.fields.missing(path.steps)

    def _memorable(self, source: Pipe) -> bool:
        """Whether what a pipe makes follows from a text alone."""
        return (
            self.unit.facts.encoded
            and source.when is None
            and self._surely(source.source)
            and all(step.kind != "as" or step.detail[0] != "time" for step in source.steps)
        )

    def _surely(self, source: Expression) -> bool:
        """Whether it is a text that a source yields."""
        if isinstance(source, First):
            left = [one for one in source.sources if not self._never(one)]
            return bool(left) and self._surely(left[0])
        if not isinstance(source, Look) or source.path.header:
            return False
        steps = source.path.steps
        known = self.unit.env.looked.get(steps)
        if known is not None:
            return known in self.unit.certain
        kinds = self.unit.facts.keys if len(steps) == 1 else self.unit.facts.nodes.get(steps[:-1])
        return kinds is not None and kinds.get(str(steps[-1])) is str

    def _memorized(self, source: Pipe, operand: Operand, out: str) -> Operand:
        """Write a pipe that remembers what it made of the first texts."""
        w, table = self.w, self.w.bind({}, "X")
        w.line(f"{out} = {table}.get({operand.code}, EMPTY)")
        pipe = w.bind(source, "P")
        form = ""
        self.unit.memos[out] = operand.code
        with w.block(f"if {out} is EMPTY:"):
            if all(step.kind == "regex" for step in source.steps):
                form = self._steps(source, out)
                w.line(f"if len({table}) < {MAX_PIPED}: {table}[{operand.code}] = {out}")
            else:
                w.line(f"{out} = piped({table}, {pipe}, {operand.code}, o)")
                cut = all(step.kind in ("as", "regex") for step in source.steps)
                if cut and source.default is None and all(_quick(s, out, w) for s in source.steps):
                    form = operand.form
        return Operand(out, CLEAN, form)

    def _steps(self, source: Pipe, out: str) -> str:
        """Write the steps of a pipe; the form of what comes out."""
        w = self.w
        operand = self.value(source.source)
        self.unit.fields.clean(operand, out)
        form = operand.form
        for step in source.steps:
            step_name = w.bind(step, "P")
            quick = _quick(step, out, w)
            form = form if quick and step.kind != "map" else ""
            if not quick:
                w.line(f"if {out} is not None: {out} = applied({step_name}, {out}, o)")
                continue
            with w.block(f"if {out}.__class__ is str:"):
                for line in quick:
                    w.line(line)
                if step.kind != "map":
                    w.line(f"if {out} in NOTHING or {out} and {out}.isspace(): {out} = None")
            w.line(f"elif {out} is not None: {out} = applied({step_name}, {out}, o)")
        if source.default is not None:
            w.line(f"if {out} is None: {out} = {source.default!r}")
            form = ""
        return form


def _is_text(source: Pipe) -> bool:
    """Whether a pipe only makes a text of its value."""
    if len(source.steps) != 1 or source.default is not None:
        return False
    [step] = source.steps
    return step.kind == "as" and bool(step.detail[0] == "text")


def _quick(step: PipeStep, out: str, w: Writer) -> list[str]:
    """The lines that apply a step to a text, none where only the slow way knows how."""
    if step.kind == "regex":
        found = w.name("m")
        search = w.bind(step.detail.pattern.search, "R")
        return [
            f"{found} = {search}({out}) if len({out}) <= {step.detail.longest} else None",
            f"{out} = {found}[1] if {found} is not None else None",
        ]
    if step.kind == "map":
        if step.keep or any(absent(v) for v in step.detail.values() if v is not None):
            return [f"{out} = mapped({w.bind(step, 'P')}, {out}, o)"]
        table = w.bind(step.detail, "Q")
        default = "" if step.default is None else f", {step.default!r}"
        return [f"{out} = {table}.get({out}.casefold(){default})"]
    if step.kind == "as" and step.detail[0] in ("lower", "upper"):
        return [f"{out} = {out}.{step.detail[0]}()"]
    return []


def fold(source: Expression, facts: Facts) -> tuple[bool, Any]:
    """Whether it is known what a source yields for all lines of which `facts` hold, and what."""
    if isinstance(source, Constant):
        return True, source.value
    if isinstance(source, Look):
        header = source.path.header
        given = facts.source if header == "source" else facts.common
        if header in ("source", "program") and given is not None and not source.path.steps:
            return True, None if absent(given) else given
        return bool(header) and facts.headless and header not in OF_ALL, None
    if isinstance(source, First):
        for one in source.sources:
            known, value = fold(one, facts)
            if not known or value is not None:
                return known, value
        return True, None
    if isinstance(source, Pipe) and source.when is None:
        known, value = fold(source.source, facts)
        for step in source.steps:
            if not known or value is None:
                break
            if step.kind == "as" and step.detail[0] == "time":
                return False, None
            value = apply(step, value, 0, "UTC")
            value = None if absent(value) else value
        return known, source.default if value is None else value
    return False, None
