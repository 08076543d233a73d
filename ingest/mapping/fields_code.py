"""Values of a line in generated code: which variable holds a path's value, looked up once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from ingest.mapping.emitting import CLEAN, PART, RAW, TEXT, Operand, Unsupported
from ingest.mapping.json_lines import MISSING
from ingest.mapping.values import absent

if TYPE_CHECKING:
    from ingest.mapping.compiler import Unit
    from ingest.mapping.json_lines import Sample
    from ingest.mapping.paths import Path, Step


class FieldCode:
    """Writes the looking up of values for one function."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.w = unit.w
        self._header_names: dict[str, str] = {}

    def look(self, path: Path) -> Operand:
        """The value at a path."""
        if path.header:
            return self._header(path)
        first = path.steps[0]
        if first in self.unit.env.captures:
            operand = self.unit.env.captures[str(first)]
            if len(path.steps) == 1:
                return operand
            if operand.kind == TEXT:
                return Operand("None", CLEAN)
            steps = self.w.bind(path.steps[1:], "S")
            return Operand(f"look({operand.code}, {steps})", RAW)
        if self.unit.flat:
            if path.steps == ("message",):
                return Operand("text", TEXT, PART)
            return Operand("None", CLEAN)
        name = self._field(path.steps)
        if name in self.unit.certain:
            return Operand(name, TEXT, PART)
        if name in self.unit.texts:
            return Operand(name, TEXT, PART)
        # Numbers and booleans as texts need no escapes either.
        return Operand(name, CLEAN if name == "None" else RAW, PART)

    def there(self, path: Path) -> str:
        """The condition that a key is there, whatever its value."""
        last = path.steps[-1] if path.steps else None
        sample = self.unit.facts.sample
        if sample is not None and not path.header and None not in path.steps:
            return str(sample.value(path.steps) is not MISSING)
        if path.header or self.unit.flat or not all(isinstance(step, str) for step in path.steps):
            operand = self.look(path)
            return "False" if operand.nothing else f"({operand.code} is not None)"
        if len(path.steps) == 1 and self.unit.facts.keys is not None:
            return str(last in self.unit.facts.keys)
        if path.steps[:-1] in self.unit.facts.nodes:
            return str(last in self.unit.facts.nodes[path.steps[:-1]])
        return f"({last!r} in {self._node(path.steps[:-1])})"

    def _header(self, path: Path) -> Operand:
        name = path.header
        if name == "text":
            # In other formats it is the line as it is written, quotation marks and all.
            # A line of groups is no text that means nothing: all of it fits their expression.
            kind = TEXT if self.unit.facts.groups is None else CLEAN
            operand = Operand("text", kind, PART if self.unit.is_text else "")
        elif name in ("source", "received"):
            operand = Operand(f"o.{name}", TEXT if name == "source" else CLEAN)
        elif self.unit.headless:
            return Operand("None", CLEAN)
        elif name == "time":
            code = "at[1]" if self.unit.common else "(h.time[1] if h.time is not None else None)"
            operand = Operand(code, CLEAN)
        elif self.unit.common:
            operand = Operand(self.unit.of_header(name), TEXT, PART)
        elif name == "sd":
            operand = Operand("h.sd", RAW)
        elif self.unit.headed and name in ("host", "program"):
            operand = Operand(self.header(name), TEXT, PART)
        else:
            operand = Operand(f"h.{name}", TEXT, PART)
        if not path.steps:
            return operand
        return Operand(f"look({operand.code}, {self.w.bind(path.steps, 'S')})", RAW)

    def header(self, name: str) -> str:
        """The variable of a header's host or program, which the line is taken to have."""
        if self.unit.common:
            return name
        known = self._header_names.get(name)
        if known is None:
            known = self._header_names[name] = self.w.name("h")
            self.w.head.append(f"    {known} = h.{name}")
            self.w.head.append(f"    if {known} is None: return {self.unit.unusual}")
            self.unit.certain.add(known)
        return known

    def _field(self, steps: tuple[Step, ...]) -> str:
        """The variable of a field's value."""
        known = self.unit.env.looked.get(steps)
        if known is not None:
            return known
        keys = self.unit.facts.keys
        if keys is not None and steps[0] not in keys:
            return "None"
        if self.unit.facts.groups is not None:
            if steps == ("labels",):
                raise Unsupported("all labels at once")
            return "None"  # a text holds nothing below it, and other labels there are not
        cut = next((n for n, step in enumerate(steps) if not isinstance(step, str)), len(steps))
        if self.unit.facts.sample is not None and cut == len(steps):
            return self._sampled(self.unit.facts.sample, steps)
        kinds = keys if len(steps) == 1 else self.unit.facts.nodes.get(steps[:-1])
        if cut == len(steps) and kinds is not None:
            kind = kinds.get(str(steps[-1]))
            return "None" if kind is None else self._known(steps, kind)
        if cut == len(steps):
            node = self._node(steps[:-1])
            if node == "EMPTY":
                return "None"
            name = self.w.name("v")
            self.w.line(f"{name} = {node}.get({steps[-1]!r})")
        elif cut == 0:
            name = self.w.name("v")
            self.w.line(f"{name} = look(f, {self.w.bind(steps, 'S')})")
        else:
            base = self._field(steps[:cut])
            if base == "None":
                return "None"
            name = self.w.name("v")
            self.w.line(f"{name} = look({base}, {self.w.bind(steps[cut:], 'S')})")
        self.unit.env.looked[steps] = name
        return name

    def _known(self, steps: tuple[Step, ...], kind: type) -> str:
        """The variable of the value of a key that is there, of the class that it always had."""
        name, unit = self.w.name("v"), self.unit
        node = self._node(steps[:-1])
        get = f"[{steps[-1]!r}]" if kind in (str, int) or len(steps) > 1 else f".get({steps[-1]!r})"
        self.w.line(f"{name} = {node}{get}")
        if kind in (str, int):
            unit.usual(f"{name}.__class__ is not {kind.__name__}")
            (unit.certain if kind is str else unit.ints).add(name)
        unit.env.looked[steps] = name
        return name

    def _sampled(self, sample: Sample, steps: tuple[Step, ...]) -> str:
        """The variable of a value of lines that are all like a sample."""
        unit, value = self.unit, sample.value(steps)
        if value is MISSING or value is None:
            return "None"
        name = sample.read.get(steps)
        if name is None:
            name = sample.read[steps] = self.w.name("c")
        if isinstance(value, str):
            (unit.texts if absent(value) else unit.certain).add(name)
            if sample.solid(value):
                unit.solid.add(name)
        elif isinstance(value, (dict, list)):
            given, name = name, self.w.name("v")
            self.w.line(f"{name} = {self.w.bind(orjson.loads, 'L')}({given})")
        elif not isinstance(value, bool):
            unit.ints.add(name)
        unit.env.looked[steps] = name
        return name

    def missing(self, steps: tuple[Step, ...]) -> bool:
        """Whether it is known that there is nothing at a path."""
        facts = self.unit.facts
        if facts.keys is not None and steps[0] not in facts.keys:
            return True
        return any(
            steps[:size] in facts.nodes and steps[size] not in facts.nodes[steps[:size]]
            for size in range(1, len(steps))
        )

    def _node(self, steps: tuple[Step, ...]) -> str:
        """The variable of an object: empty if there is none."""
        if not steps:
            if self.unit.facts.groups is not None:
                raise Unsupported("the fields are no object")
            return "f"
        known = self.unit.env.nodes.get(steps)
        if known is not None:
            return known
        field = self._field(steps)
        if field == "None":
            return "EMPTY"
        kinds = self.unit.facts.nodes.get(steps)
        if kinds is not None:
            if len(steps) > 1:  # those at the top are as their caller knows them
                keys = self.w.bind(tuple(kinds), "N")
                self.unit.usual(f"{field}.__class__ is not dict or tuple({field}) != {keys}")
            self.unit.env.nodes[steps] = field
            return field
        if field in self.unit.certain or field in self.unit.ints:
            return "EMPTY"
        name = self.w.name("d")
        self.w.line(f"{name} = {field}")
        self.w.line(f"if {name}.__class__ is not dict: {name} = EMPTY")
        self.unit.env.nodes[steps] = name
        return name

    def local(self, operand: Operand) -> str:
        """A variable that holds an operand."""
        if operand.code.isidentifier() and operand.code != "None":
            return operand.code
        name = self.w.name()
        self.w.line(f"{name} = {operand.code}")
        return name

    def is_absent(self, operand: Operand) -> str:
        """The condition under which a variable holds nothing."""
        name = operand.code
        if name in self.unit.ints:
            return "False"
        if operand.kind == CLEAN:
            return f"{name} is None"
        if operand.kind == TEXT:
            if self.unit.present(operand):
                return "False"
            return f"{name} is None or {name} in NOTHING or {name}.isspace()"
        return f"{name} is None or absent({name})"

    def clean(self, operand: Operand, out: str) -> None:
        """Write an operand to a variable, None if it is nothing."""
        known = self.unit.present(operand)
        self.w.line(f"{out} = {operand.code}")
        if known or operand.code in self.unit.ints:
            return
        if operand.kind != CLEAN:
            self.w.line(f"if {self.is_absent(Operand(out, operand.kind))}: {out} = None")
