"""Programs to Python: one function per mapping, and per pattern where texts are dispatched.

The function is straight-line code over local variables: what is constant is folded into the
literal of the document at the end, a path is looked up once, and a target's variable is only
tested for None where a path through the code may leave it unset. Nothing of a mapping stands in
the source but repr()-ed literals; everything else (patterns, tables) is bound by name.

`ingest.mapping.plain` is the meaning; tests hold both equal. What cannot be compiled (targets
within each other) is interpreted.

Here is the frame of a function; its parts are written by concern: fields_code (values of the line),
source_code, assign_code, spread_code, conditions_code, branch_code, and at the end assembling or
json_code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.mapping.assembling import Assembler
from ingest.mapping.assign_code import AssignCode
from ingest.mapping.branch_code import BranchCode
from ingest.mapping.conditions_code import ConditionCode
from ingest.mapping.dispatching import first_match, reads_message
from ingest.mapping.emitting import (
    READY,
    TEXT,
    Env,
    Facts,
    Known,
    Operand,
    Unsupported,
    Writer,
    common_form,
    constant,
    ready,
)
from ingest.mapping.fields_code import FieldCode
from ingest.mapping.json_code import JsonAssembler
from ingest.mapping.program import Assign, Branch, Match, Set, Spread
from ingest.mapping.runtime import NAMES
from ingest.mapping.source_code import SourceCode
from ingest.mapping.spread_code import SpreadCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.mapping.emitting import Groups
    from ingest.mapping.json_lines import Sample
    from ingest.mapping.program import Block, Condition, Program, Statement
    from ingest.mapping.regexes import Regex
    from ingest.mapping.targets import Target


#: Arguments of every generated function.
ARGUMENTS = "f, text, h, o, offset, id, original, must"

#: Arguments of those for syslog's common header.
COMMON = "f, text, at, host, pid, o, offset, id, original"

#: Arguments of those for the groups of a match of the whole line, behind such a header.
WHOLE = "f, text, at, o, offset, id, original"

#: Arguments of those for the groups of a match, and for canonical JSON.
GROUPS = "f, text, h, o, offset, id, original"


class Unit:
    """The generation of one function.

    `shape`: the pattern that is known to fit the first top-level Match (-1: none does, None: it
    is not known), whose match is the argument `f`. With `facts` they are taken for granted, and
    where one does not hold, `usual` is called.
    """

    def __init__(
        self,
        program: Program,
        format: str,
        *,
        shape: int | None = None,
        facts: Facts | None = None,
        usual: Callable[..., Any] | None = None,
    ) -> None:
        self.program = program
        self.format = format
        self.is_text = format == "text"
        self.flat = self.is_text
        self.shape = shape
        self.facts = facts or Facts()
        self.assume = facts is not None
        self.headless = self.facts.headless
        self.common = self.facts.common is not None
        #: A header with host and program.
        self.headed = self.assume and self.is_text and not self.headless
        self.w = Writer(NAMES)
        self.w.names["usual"] = usual
        self.env = Env()
        self.conditions = ConditionCode(self)
        self.fields = FieldCode(self)
        self.sources = SourceCode(self)
        self.assigning = AssignCode(self)
        self.spreads = SpreadCode(self)
        self.branches = BranchCode(self)
        self.unreadable = False
        self.hit = False
        #: Variables of the captures of the shape, if they are there from the beginning.
        self.captured: list[str] | None = None
        #: Variables of texts that may mean nothing, but are never None: with `facts` what means
        #: nothing is unusual.
        self.certain: set[str] = set()
        #: Those that are not blank, and those that are digits, if the line is ASCII.
        self.solid: set[str] = set()
        self.digits: set[str] = set()
        #: Those that can be no text that means nothing, but perhaps blanks.
        self.telling: set[str] = set()
        #: Those that are addresses in dotted quads.
        self.addresses: set[str] = set()
        #: Variables of whole numbers.
        self.ints: set[str] = set()
        #: Variables of what was remembered of a text, and that text's.
        self.memos: dict[str, str] = {}
        #: Variables of address, ip and domain that were told apart: none follows from another.
        self.endpoints: set[tuple[str, str, str]] = set()
        #: Those of texts that may mean nothing, and often do.
        self.texts: set[str] = set()
        if self.common:
            self.certain |= {"host", "program"}
            self.solid |= {"host", "program"}

    def compile(self) -> Callable[..., Any]:
        """The function; raises Unsupported."""
        w = self.w
        if self.is_text and reads_message(self.program):
            raise Unsupported("the text itself is decoded")
        first = first_match(self.program) if self.shape is not None else None
        if self.facts.groups is not None:
            self._groups(self.facts.groups)
        if self.facts.numbered is not None:
            self._whole(first)
        self.reset(self.program.block)
        if self.facts.short and not self.common and self.program.decode:
            raise Unsupported("the fields are not those of the line")
        if not self.flat and self.program.decode:
            w.line(f"decode(f, {w.bind(self.program.decode)})")
        for number, statement in enumerate(self.program.block):
            if number == first and isinstance(statement, Match) and self.shape is not None:
                if self.shape >= 0:
                    self.branches.fitted(statement.shapes[self.shape], "f")
                continue
            self.statement(statement, top=True)
        (JsonAssembler if self.facts.encoded else Assembler)(self).write()
        if self.facts.sample is not None:
            self._unpack(self.facts.sample)
        arguments = COMMON if self.common else GROUPS if self.facts.short else ARGUMENTS
        arguments = WHOLE if self.facts.numbered is not None else arguments
        if self.common:
            w.head.insert(0, f"    program = {self.facts.common!r}")
        source = "\n".join((f"def unit({arguments}):", *w.head, *w.lines, ""))
        self.source = source
        code = compile(source, f"<mapping {self.program.id}>", "exec")
        exec(code, w.names)  # noqa: S102 (names and literals only, see the module)
        made: Callable[..., Any] = w.names["unit"]
        return made

    def _whole(self, first: int | None) -> None:
        """Write the parts of the header and the captures, which are the groups of one match."""
        match = None if first is None else self.program.block[first]
        if not isinstance(match, Match) or self.shape is None or self.shape < 0:
            raise Unsupported("there is no pattern")
        self.captured = [self.w.name("c") for _ in match.shapes[self.shape].captures]
        header = ("host", "pid") if self.facts.numbered else ("host",)
        self.w.line(f"{', '.join((*header, *self.captured))}, = f")
        if not self.facts.numbered:
            self.w.line("pid = None")

    def _groups(self, groups: Groups) -> None:
        """Write the fields, which are the groups of a match."""
        names = [self.w.name("c") for _ in groups.names]
        self.w.line(f"{', '.join(names)}, = f")
        for number, (name, variable) in enumerate(zip(groups.names, names, strict=True), 1):
            kind = (self.facts.keys or {}).get(name)
            if kind is not None:
                self.env.looked[(name,)] = variable
            if groups.tidy:
                self.solid.add(variable)
            if name in groups.addresses:
                self.addresses.add(variable)
            if kind is str:
                self.known(variable, groups.regex, number)
            elif kind is not None:
                self.texts.add(variable)
        for name, value in groups.fixed.items():
            variable = self.env.looked[(name,)] = self.w.name("c")
            self.w.line(f"{variable} = {value!r}")
            self.texts.add(variable)
        for label, name in groups.labels.items():
            self.env.looked[("labels", label)] = self.env.looked[(name,)]

    def _unpack(self, sample: Sample) -> None:
        """Write, before all that reads them, the values of a line that is like a sample."""
        _, variables = sample.expression()
        if variables:
            self.w.head.append(f"    {', '.join(variables)}, = f")
        for steps, variable in sample.read.items():
            value = sample.value(steps)
            if steps in sample.fixed:
                self.w.head.append(f"    {variable} = {value!r}")
            elif isinstance(value, bool):
                self.w.head.append(f"    {variable} = {variable} == 'true'")
            elif isinstance(value, int):
                self.w.head.append(f"    {variable} = int({variable})")

    def known(self, variable: str, regex: Regex, number: int) -> None:
        """Note what is known of the variable of a group."""
        if number in regex.always:
            self.certain.add(variable)
        if self.facts.short and number in regex.solid:
            self.solid.add(variable)
        if self.facts.short and number in regex.digits:
            self.digits.add(variable)
        if self.facts.short and number in regex.telling:
            self.telling.add(variable)

    def reset(self, block: Block) -> None:
        """Write the flags that statements of the block may set."""
        asked = self.shape in (None, -1) and not self.facts.short
        if asked and any(isinstance(s, Match) for s in block):
            self.hit = True
            self.w.line("hit = False")
        if _assigns_time(block):
            self.unreadable = True
            self.w.line("unread = False")

    def usual(self, code: str) -> None:
        """Where `code` holds, the line is not of the usual kind."""
        self.w.line(f"if {code}: return {self.unusual}")

    @property
    def unusual(self) -> str:
        """The call of the function for lines that are not of the usual kind."""
        return "None" if self.facts.short else f"usual({ARGUMENTS})"

    def of_header(self, name: str) -> str:
        """The expression of a part of the header."""
        if not self.common:
            return f"h.{name}"
        return {"time": "at", "host": "host", "program": "program", "pid": "pid"}.get(name, "None")

    def present(self, operand: Operand) -> bool:
        """Take for granted that a text means something; False if that may not be."""
        if not self.assume or operand.kind != TEXT or operand.code not in self.certain:
            return False
        if operand.code not in self.env.present:
            tests = [] if operand.code in self.telling else [f"{operand.code} in NOTHING"]
            tests += [] if operand.code in self.solid else [f"{operand.code}.isspace()"]
            if tests:
                self.usual(" or ".join(tests))
            self.env.present[operand.code] = operand.code
        return True

    def block(self, block: Block) -> None:
        """Write the statements of a block."""
        for statement in block:
            self.statement(statement)

    def statement(self, statement: Statement, *, top: bool = False) -> None:
        """Write one statement."""
        if isinstance(statement, Set):
            self.env.targets[statement.target.path] = constant(statement.value)
        elif isinstance(statement, Assign):
            self.assigning.assign(statement)
        elif isinstance(statement, Spread):
            self.spreads.spread(statement)
        elif isinstance(statement, Match):
            self.branches.match(statement, top=top)
        else:
            self.branches.branch(statement)

    def put(
        self, target: Target, code: str, *, sure: bool, plain: bool = False, form: str = ""
    ) -> None:
        """Assign a variable, None if there is no value, to a target."""
        before = self.env.targets.get(target.path)
        if before is None or sure:
            self.env.targets[target.path] = Known(code, sure=sure, plain=plain, form=form)
            return
        merged = self.w.name("t")
        other = before.code
        if form == READY and not before.name:
            before = ready(before)
            other = before.code
        elif (form == READY) != (before.form == READY):
            raise Unsupported(f"{target.path} is in two forms")
        self.w.line(f"{merged} = {code} if {code} is not None else {other}")
        self.env.targets[target.path] = Known(
            merged,
            sure=before.sure,
            plain=plain and before.plain,
            form=common_form([before, Known(form=form)]),
        )


def compile_condition(program: Program, format: str, condition: Condition) -> Callable[..., bool]:
    """A condition on a framed line as a function of (f, text, h, o)."""
    unit = Unit(program, format)
    code = unit.conditions.code(condition)
    source = "\n".join(("def holds(f, text, h, o):", *unit.w.lines, f"    return {code}", ""))
    exec(compile(source, f"<condition of {program.id}>", "exec"), unit.w.names)  # noqa: S102
    made: Callable[..., bool] = unit.w.names["holds"]
    return made


def _assigns_time(block: Block) -> bool:
    for statement in block:
        if isinstance(statement, Assign) and statement.target.path == "@timestamp":
            return True
        if isinstance(statement, Match) and any(_assigns_time(s.block) for s in statement.shapes):
            return True
        if isinstance(statement, Branch) and any(_assigns_time(b) for _, b in statement.cases):
            return True
    return False
