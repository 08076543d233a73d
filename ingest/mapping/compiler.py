"""Programs to Python: one function per mapping, and per pattern where texts are dispatched.

The function is straight-line code over local variables: what is constant is folded into the
literal of the document at the end, a path is looked up once, and a target's variable is only
tested for None where a path through the code may leave it unset. Nothing of a mapping stands in
the source but repr()-ed literals; everything else (patterns, tables) is bound by name.

`ingest.mapping.plain` is the meaning; tests hold both equal. What cannot be compiled (targets
within each other) is interpreted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.mapping import convert, parts
from ingest.mapping.assembling import Assembler
from ingest.mapping.casts import scalar
from ingest.mapping.conditions_code import ConditionCode
from ingest.mapping.emitting import CLEAN, RAW, TEXT, Env, Known, Operand, Writer
from ingest.mapping.program import (
    Assign,
    Branch,
    Constant,
    Every,
    First,
    Join,
    Look,
    Match,
    Member,
    Set,
    Spread,
)
from ingest.mapping.runtime import NAMES
from ingest.mapping.targets import ANY, DATE, IP, KEYWORD, LONG

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.mapping.paths import Path, Step
    from ingest.mapping.program import Block, Condition, Expression, Pipe, Program, Shape, Statement
    from ingest.mapping.targets import Target

#: Arguments of every generated function.
ARGUMENTS = "f, text, h, o, offset, id, original, must"


class Unit:
    """The generation of one function.

    `text`: the line is a text, so its only field is `message`. `shape`: the pattern that is known
    to fit the first top-level Match (-1: none does, None: it is not known), whose match is the
    argument `f`. `assume`: values are of the usual kind, and where one is not, `else_` is called.
    """

    def __init__(
        self,
        program: Program,
        format: str,
        *,
        shape: int | None = None,
        assume: Callable[..., Any] | None = None,
    ) -> None:
        self.program = program
        self.format = format
        self.is_text = format == "text"
        self.flat = self.is_text and not program.decode
        self.shape = shape
        self.assume = assume is not None
        self.w = Writer(NAMES)
        if assume is not None:
            self.w.names["usual"] = assume
        self.env = Env()
        self.conditions = ConditionCode(self)
        self.unreadable = False
        self.hit = False
        #: Variables of captures that take part in every match.
        self.certain: set[str] = set()

    # The whole

    def compile(self) -> Callable[..., Any]:
        """The function; raises Unsupported."""
        w = self.w
        first = first_match(self.program) if self.shape is not None else None
        self.reset(self.program.block)
        if not self.flat and self.program.decode:
            w.line(f"decode(f, {w.bind(self.program.decode)})")
        for number, statement in enumerate(self.program.block):
            if number == first and isinstance(statement, Match) and self.shape is not None:
                if self.shape >= 0:
                    self.fitted(statement.shapes[self.shape], "f")
                continue
            self.statement(statement, top=True)
        Assembler(self).write()
        source = "\n".join((f"def unit({ARGUMENTS}):", *w.lines, ""))
        self.source = source
        code = compile(source, f"<mapping {self.program.id}>", "exec")
        exec(code, w.names)  # noqa: S102 (names and literals only, see the module)
        made: Callable[..., Any] = w.names["unit"]
        return made

    def reset(self, block: Block) -> None:
        """Write the flags that statements of the block may set."""
        if self.shape in (None, -1) and any(isinstance(s, Match) for s in block):
            self.hit = True
            self.w.line("hit = False")
        if _assigns_time(block):
            self.unreadable = True
            self.w.line("unread = False")

    def usual(self, code: str) -> None:
        """Where `code` holds, the line is not of the usual kind."""
        with self.w.block(f"if {code}:"):
            self.w.line(f"return usual({ARGUMENTS})")

    # Statements

    def block(self, block: Block) -> None:
        """Write the statements of a block."""
        for statement in block:
            self.statement(statement)

    def statement(self, statement: Statement, *, top: bool = False) -> None:
        """Write one statement."""
        if isinstance(statement, Set):
            self.env.targets[statement.target.path] = Known(
                constant=statement.value,
                sure=True,
                plain=isinstance(statement.value, str),
            )
        elif isinstance(statement, Assign):
            self.assign(statement)
        elif isinstance(statement, Spread):
            self.spread(statement)
        elif isinstance(statement, Match):
            self.match(statement, top=top)
        else:
            self.branch(statement)

    def put(self, target: Target, code: str, *, sure: bool, plain: bool = False) -> None:
        """Assign a variable, None if there is no value, to a target."""
        before = self.env.targets.get(target.path)
        if before is None or sure:
            self.env.targets[target.path] = Known(code, sure=sure, plain=plain)
            return
        merged = self.w.name("t")
        self.w.line(f"{merged} = {code} if {code} is not None else {before.code}")
        self.env.targets[target.path] = Known(
            merged, sure=before.sure, plain=plain and before.plain
        )

    def assign(self, statement: Assign) -> None:
        """Write the cast of a source to a target's type."""
        target, w = statement.target, self.w
        operand = self.value(statement.source)
        if operand.nothing:
            return
        out = w.name("t")
        if target.path == "@timestamp":
            self.time(operand)
            return
        if target.type == DATE and not target.many:
            w.line(f"{out} = date({operand.code}, o.received, o.zone)")
            self.put(target, out, sure=False, plain=True)
            return
        simple = not target.many and target.allowed is None
        cast = scalar(target)
        if simple and cast is convert.text:
            self.keyword(target, operand, out)
        elif simple and cast in (convert.whole, convert.port):
            self.number(target, operand, out)
        elif simple and target.type == IP:
            w.line(f"{out} = ip({operand.code})")
            self.put(target, out, sure=False, plain=True)
        elif target.type == ANY:
            self.clean(operand, out)
            self.put(target, out, sure=False)
        else:
            w.line(f"{out} = casted({w.bind(target, 'T')}, {operand.code})")
            self.put(target, out, sure=False, plain=simple and target.type == KEYWORD)

    def time(self, operand: Operand) -> None:
        """Write the reading of `@timestamp`, an Instant."""
        w, out, value = self.w, self.w.name("t"), self.local(operand)
        absent_code = self.is_absent(Operand(value, operand.kind))
        with w.block(f"if {absent_code}:"):
            w.line(f"{out} = None")
        with w.block("else:"):
            w.line(f"{out} = instant({value}, o.received, o.zone)")
            w.line(f"unread = {out} is None")
        before = self.env.targets.get("@timestamp")
        if before is not None:
            w.line(f"if {out} is None: {out} = {before.code}")
        self.env.targets["@timestamp"] = Known(out, sure=before.sure if before else False)

    def keyword(self, target: Target, operand: Operand, out: str) -> None:
        """Write the cast to one text."""
        w = self.w
        w.line(f"{out} = {operand.code}")
        if operand.kind == TEXT:
            if self.assume and operand.code in self.certain:
                self.usual(f"{out} is None or {out} in NOTHING or {out}.isspace()")
                self.put(target, out, sure=True, plain=True)
                return
            w.line(f"if {out} is not None and ({out} in NOTHING or {out}.isspace()): {out} = None")
        elif operand.kind == RAW:
            with w.block(f"if {out}.__class__ is str:"):
                w.line(f"if {out} in NOTHING or {out}.isspace(): {out} = None")
            w.line(f"elif {out} is not None: {out} = keyword({out})")
        else:
            w.line(f"if {out}.__class__ is not str and {out} is not None: {out} = keyword({out})")
        self.put(target, out, sure=False, plain=True)

    def number(self, target: Target, operand: Operand, out: str) -> None:
        """Write the cast to a whole number."""
        w, cast = self.w, "port" if target.largest else "whole"
        w.line(f"{out} = {operand.code}")
        w.line(f"if {out} is not None: {out} = {cast}({out})")
        if self.assume and operand.kind == TEXT and operand.code in self.certain:
            self.usual(f"{out} is None")
            self.put(target, out, sure=True, plain=True)
            return
        self.put(target, out, sure=False, plain=True)

    def spread(self, statement: Spread) -> None:
        """Write taking a value apart over several targets."""
        w = self.w
        operand = self.value(statement.source)
        if operand.nothing:
            return
        if (
            self.assume
            and statement.function is parts.ip_or_host
            and operand.kind == TEXT
            and operand.code in self.certain
        ):
            out = w.name("t")
            w.line(f"{out} = ip({operand.code})")
            self.usual(f"{out} is None")
            self.put(statement.targets[0], out, sure=True, plain=True)
            return
        names = [w.name("t") for _ in statement.targets]
        value, whole = self.local(operand), w.name("v")
        w.line(f"{' = '.join(names)} = None")
        with w.block(f"if not ({self.is_absent(Operand(value, operand.kind))}):"):
            w.line(f"{whole} = {w.bind(statement.function, 'F')}({value})")
            w.line(f"if {whole} is not None: {', '.join(names)}, = {whole}")
        for target, name in zip(statement.targets, names, strict=True):
            plain = target.type in (KEYWORD, IP, LONG) and not target.many
            self.put(target, name, sure=False, plain=plain)

    # Patterns

    def match(self, statement: Match, *, top: bool) -> None:
        """Write the trying of shapes, the first that fits counts."""
        w = self.w
        operand = self.value(statement.source)
        if operand.nothing:
            return
        text = self.local(operand)
        before = self.env.copy()
        branches: list[tuple[list[str], Env]] = []
        guarded = any(shape.when is not None for shape in statement.shapes)
        index, found = w.name("n"), w.name("m")
        if not guarded:
            table, always = dispatch(statement.shapes)
            w.line(f"{index} = -1")
            w.line(
                f"if {text}.__class__ is str: {index}, {found} = "
                f"fit({text}, {w.bind(table, 'D')}, {w.bind(always, 'A')})"
            )
        with w.aside() as whole:
            for number, shape in enumerate(statement.shapes):
                if guarded:
                    condition = self.try_shape(shape, text, found)
                    w.line(f"if {condition}:")
                else:
                    w.line(f"if {index} == {number}:")
                after = self.env.copy()
                with w.aside() as lines:
                    if top and self.hit:
                        w.line("hit = True")
                    self.fitted(shape, found)
                    branches.append((lines, self.env))
                self.env = after
                whole.append(_PLACE)
            branches.append(([], self.env))
        self.env = before
        self.merge(whole, branches)

    def try_shape(self, shape: Shape, text: str, found: str) -> str:
        """Write the trying of one shape; the condition under which it fits."""
        w = self.w
        condition = self.conditions.code(shape.when) if shape.when is not None else "True"
        regex = w.bind(shape.regex, "R")
        w.line(
            f"{found} = {regex}.match({text}) if {text}.__class__ is str and {condition} else None"
        )
        return f"{found} is not None"

    def fitted(self, shape: Shape, found: str) -> None:
        """Write what a shape that fits says: its captures, then its block."""
        names = [self.w.name("c") for _ in shape.captures]
        if names:
            self.w.line(f"{', '.join(names)}, = {found}.groups()")
        for number, (capture, name) in enumerate(zip(shape.captures, names, strict=True), 1):
            self.env.captures[capture] = Operand(name, TEXT)
            if number in shape.always:
                self.certain.add(name)
        self.block(shape.block)

    def branch(self, statement: Branch) -> None:
        """Write cases: the first that holds, or every one that holds."""
        if statement.every:
            for condition, block in statement.cases:
                self.cases(((condition, block),))
        else:
            self.cases(statement.cases)

    def cases(self, cases: tuple[tuple[Condition, Block], ...]) -> None:
        """Write an exclusive chain of cases."""
        w = self.w
        before = self.env.copy()
        branches: list[tuple[list[str], Env]] = []
        with w.aside() as whole:
            for condition, block in cases:
                code = self.conditions.code(condition)
                if code == "False":
                    continue
                w.line(f"if {code}:")
                after = self.env.copy()
                with w.aside() as lines:
                    self.block(block)
                    branches.append((lines, self.env))
                self.env = after
                whole.append(_PLACE)
                if code == "True":
                    break
            branches.append(([], self.env))
        self.env = before
        if len(branches) > 1:
            self.merge(whole, branches)

    def merge(self, whole: list[str], branches: list[tuple[list[str], Env]]) -> None:
        """Write branches and continue with what holds after any of them.

        `whole` has a place for each branch but the last, which is the one where none was taken.
        """
        w = self.w
        merged = Env()
        envs = [env for _, env in branches]
        merged.looked = _common([env.looked for env in envs])
        merged.nodes = _common([env.nodes for env in envs])
        merged.folded = _common([env.folded for env in envs])
        moves: list[list[str]] = [[] for _ in branches]
        for path in dict.fromkeys(path for env in envs for path in env.targets):
            merged.targets[path] = self._join_targets(path, envs, moves)
        for name in dict.fromkeys(name for env in envs for name in env.captures):
            merged.captures[name] = self._join_captures(name, envs, moves)
        with w.block("while True:"):
            filled = iter(zip(branches, moves, strict=True))
            for line in whole:
                if line is not _PLACE:
                    w.lines.append(line)
                    continue
                (lines, _), move = next(filled)
                w.lines.extend(lines)
                self._moved(move, deeper=1)
                w.lines.append("    " * (w._depth + 1) + "break")
            (_, _), move = next(filled)
            self._moved(move, deeper=0)
            w.line("break")
        self.env = merged

    def _moved(self, moves: list[str], deeper: int) -> None:
        indent = "    " * (self.w._depth + deeper)
        self.w.lines.extend(indent + move for move in moves)

    def _join_targets(self, path: str, envs: list[Env], moves: list[list[str]]) -> Known:
        known = [env.targets.get(path) for env in envs]
        first = known[0]
        if first is not None and all(one == first for one in known):
            return first
        name = self.w.name("t")
        for one, move in zip(known, moves, strict=True):
            move.append(f"{name} = {one.code if one is not None else 'None'}")
        return Known(
            name,
            sure=all(one is not None and one.sure for one in known),
            plain=all(one is None or one.plain for one in known),
        )

    def _join_captures(self, name: str, envs: list[Env], moves: list[list[str]]) -> Operand:
        known = [env.captures.get(name) for env in envs]
        first = known[0]
        if first is not None and all(one == first for one in known):
            return first
        variable = self.w.name("x")
        kind = TEXT
        for one, move in zip(known, moves, strict=True):
            if one is not None:
                move.append(f"{variable} = {one.code}")
                kind = one.kind if one.kind != TEXT else kind
            elif self.flat:
                move.append(f"{variable} = {'text' if name == 'message' else 'None'}")
            else:
                move.append(f"{variable} = f.get({name!r})")
                kind = RAW
        return Operand(variable, kind)

    # Sources

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
        if operand.kind == CLEAN:
            return f"{name} is None"
        if operand.kind == TEXT:
            return f"{name} is None or {name} in NOTHING or {name}.isspace()"
        return f"{name} is None or absent({name})"

    def clean(self, operand: Operand, out: str) -> None:
        """Write an operand to a variable, None if it is nothing."""
        self.w.line(f"{out} = {operand.code}")
        if operand.kind != CLEAN:
            self.w.line(f"if {self.is_absent(Operand(out, operand.kind))}: {out} = None")

    def look(self, path: Path) -> Operand:
        """The value at a path."""
        if path.header:
            return self._header(path)
        first = path.steps[0]
        if first in self.env.captures:
            operand = self.env.captures[str(first)]
            if len(path.steps) == 1:
                return operand
            if operand.kind == TEXT:
                return Operand("None", CLEAN)
            steps = self.w.bind(path.steps[1:], "S")
            return Operand(f"look({operand.code}, {steps})", RAW)
        if self.flat:
            return Operand("text", TEXT) if path.steps == ("message",) else Operand("None", CLEAN)
        return Operand(self._field(path.steps), RAW)

    def there(self, path: Path) -> str:
        """The condition that a key is there, whatever its value."""
        last = path.steps[-1] if path.steps else None
        if path.header or self.flat or not all(isinstance(step, str) for step in path.steps):
            operand = self.look(path)
            return "False" if operand.nothing else f"({operand.code} is not None)"
        return f"({last!r} in {self._node(path.steps[:-1])})"

    def _header(self, path: Path) -> Operand:
        name = path.header
        if name == "time":
            code = "(h.time[1] if h.time is not None else None)"
            operand = Operand(code, CLEAN)
        elif name == "text":
            operand = Operand("text", TEXT)
        elif name in ("source", "received"):
            operand = Operand(f"o.{name}", TEXT if name == "source" else CLEAN)
        elif name == "sd":
            operand = Operand("h.sd", RAW)
        else:
            operand = Operand(f"h.{name}", TEXT)
        if not path.steps:
            return operand
        return Operand(f"look({operand.code}, {self.w.bind(path.steps, 'S')})", RAW)

    def _field(self, steps: tuple[Step, ...]) -> str:
        """The variable of a field's value."""
        known = self.env.looked.get(steps)
        if known is not None:
            return known
        cut = next((n for n, step in enumerate(steps) if not isinstance(step, str)), len(steps))
        name = self.w.name("v")
        if cut == len(steps):
            self.w.line(f"{name} = {self._node(steps[:-1])}.get({steps[-1]!r})")
        elif cut == 0:
            self.w.line(f"{name} = look(f, {self.w.bind(steps, 'S')})")
        else:
            base = self._field(steps[:cut])
            self.w.line(f"{name} = look({base}, {self.w.bind(steps[cut:], 'S')})")
        self.env.looked[steps] = name
        return name

    def _node(self, steps: tuple[Step, ...]) -> str:
        """The variable of an object: empty if there is none."""
        if not steps:
            return "f"
        known = self.env.nodes.get(steps)
        if known is not None:
            return known
        name = self.w.name("d")
        self.w.line(f"{name} = {self._field(steps)}")
        self.w.line(f"if {name}.__class__ is not dict: {name} = EMPTY")
        self.env.nodes[steps] = name
        return name

    def value(self, source: Expression) -> Operand:
        """The value of a source; writes what has to be worked out."""
        if isinstance(source, Look):
            return self.look(source.path)
        if isinstance(source, Constant):
            return Operand(repr(source.value), CLEAN)
        if isinstance(source, First):
            return self._first(source)
        if isinstance(source, Every):
            items = ", ".join(self.value(one).code for one in source.sources)
            return Operand(f"together(({items},))", CLEAN)
        if isinstance(source, Join):
            values = [self.value(part).code for part in source.parts if not isinstance(part, str)]
            listed = ", ".join(values) + ("," if values else "")
            return Operand(f"joined({self.w.bind(source.parts, 'J')}, ({listed}))", TEXT)
        if isinstance(source, Member):
            base = self.look(source.list)
            return Operand(f"member({base.code}, {self.w.bind(source, 'M')})", CLEAN)
        return self._pipe(source)

    def _first(self, source: First) -> Operand:
        out = self.w.name()
        last = self._alternatives(source.sources, out)
        return last

    def _alternatives(self, sources: tuple[Expression, ...], out: str) -> Operand:
        operand = self.value(sources[0])
        rest = sources[1:]
        while operand.nothing and rest:
            operand, rest = self.value(rest[0]), rest[1:]
        if not rest:
            self.w.line(f"{out} = {operand.code}")
            return Operand(out, operand.kind)
        self.w.line(f"{out} = {operand.code}")
        before = self.env.copy()
        with self.w.block(f"if {self.is_absent(Operand(out, operand.kind))}:"):
            last = self._alternatives(rest, out)
        self.env = before
        kinds = {operand.kind, last.kind}
        if kinds == {TEXT, CLEAN} or len(kinds) == 1:
            return Operand(out, last.kind if last.kind != CLEAN or kinds == {CLEAN} else RAW)
        return Operand(out, RAW)

    def _pipe(self, source: Pipe) -> Operand:
        w, out = self.w, self.w.name()
        if source.when is not None:
            condition = self.conditions.code(source.when)
            if condition == "False":
                return Operand("None", CLEAN)
            w.line(f"{out} = None")
            before = self.env.copy()
            with w.block(f"if {condition}:"):
                self._steps(source, out)
            self.env = before
        else:
            self._steps(source, out)
        return Operand(out, CLEAN)

    def _steps(self, source: Pipe, out: str) -> None:
        w = self.w
        self.clean(self.value(source.source), out)
        for step in source.steps:
            name = "mapped" if step.kind == "map" else "applied"
            w.line(f"if {out} is not None: {out} = {name}({w.bind(step, 'P')}, {out}, o)")
        if source.default is not None:
            w.line(f"if {out} is None: {out} = {source.default!r}")


def compile_condition(program: Program, format: str, condition: Condition) -> Callable[..., bool]:
    """A condition on a framed line as a function of (f, text, h, o)."""
    unit = Unit(program, format)
    code = unit.conditions.code(condition)
    source = "\n".join(("def holds(f, text, h, o):", *unit.w.lines, f"    return {code}", ""))
    exec(compile(source, f"<condition of {program.id}>", "exec"), unit.w.names)  # noqa: S102
    made: Callable[..., bool] = unit.w.names["holds"]
    return made


#: Where the lines of a branch go.
_PLACE = "\0place"


def _common(tables: list[dict[Any, str]]) -> dict[Any, str]:
    first, *others = tables
    return {key: name for key, name in first.items() if all(one.get(key) == name for one in others)}


def _assigns_time(block: Block) -> bool:
    for statement in block:
        if isinstance(statement, Assign) and statement.target.path == "@timestamp":
            return True
        if isinstance(statement, Match) and any(_assigns_time(s.block) for s in statement.shapes):
            return True
        if isinstance(statement, Branch) and any(_assigns_time(b) for _, b in statement.cases):
            return True
    return False


def first_match(program: Program) -> int | None:
    """Which statement tries patterns on the whole text first, None if none does."""
    for number, statement in enumerate(program.block):
        if isinstance(statement, Match):
            return number if is_text(statement.source) else None
    return None


def is_text(source: Expression) -> bool:
    """True for a source that is the payload of a text."""
    if isinstance(source, First):
        return is_text(source.sources[0])
    return isinstance(source, Look) and (
        (source.path.header == "text" and not source.path.steps)
        or (source.path.header == "" and source.path.steps == ("message",))
    )


def dispatch(shapes: tuple[Shape, ...]) -> tuple[dict[str, Any], Any]:
    """The shapes that a text may fit by its first word, and those that any text may."""
    always = tuple(
        (number, shape.regex.pattern.match, shape.regex.longest)
        for number, shape in enumerate(shapes)
        if not shape.word
    )
    table = {
        word: tuple(
            (number, shape.regex.pattern.match, shape.regex.longest)
            for number, shape in enumerate(shapes)
            if shape.word in ("", word)
        )
        for word in {shape.word for shape in shapes if shape.word}
    }
    return table, always
