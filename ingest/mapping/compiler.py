"""Programs to Python: one function per mapping, and per pattern where texts are dispatched.

The function is straight-line code over local variables: what is constant is folded into the
literal of the document at the end, a path is looked up once, and a target's variable is only
tested for None where a path through the code may leave it unset. Nothing of a mapping stands in
the source but repr()-ed literals; everything else (patterns, tables) is bound by name.

`ingest.mapping.plain` is the meaning; tests hold both equal. What cannot be compiled (targets
within each other) is interpreted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson

from ingest.mapping import casts, convert, parts
from ingest.mapping.assembling import Assembler, Unsupported
from ingest.mapping.casts import scalar
from ingest.mapping.companions import RELATED
from ingest.mapping.conditions_code import ConditionCode
from ingest.mapping.emitting import (
    CLEAN,
    PART,
    RAW,
    READY,
    SAFE,
    TEXT,
    WHOLE,
    Env,
    Facts,
    Known,
    Operand,
    Writer,
    constant,
)
from ingest.mapping.json_code import JsonAssembler
from ingest.mapping.plain import apply
from ingest.mapping.program import (
    Assign,
    Branch,
    Check,
    Constant,
    Every,
    First,
    Join,
    Look,
    Match,
    Member,
    Not,
    Pipe,
    Set,
    Spread,
    names_text,
)
from ingest.mapping.runtime import MAX_PIPED, NAMES
from ingest.mapping.targets import ANY, DATE, IP, KEYWORD, LONG
from ingest.mapping.values import absent

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.mapping.emitting import Groups
    from ingest.mapping.paths import Path, Step
    from ingest.mapping.program import Block, Condition, Expression, Program, Shape, Statement
    from ingest.mapping.program import Step as PipeStep
    from ingest.mapping.regexes import Regex
    from ingest.mapping.targets import Target

#: Arguments of every generated function.
ARGUMENTS = "f, text, h, o, offset, id, original, must"

#: Arguments of those for syslog's common header.
COMMON = "f, text, at, host, pid, o, offset, id, original"

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
        self.unreadable = False
        self.hit = False
        #: Variables of texts that may mean nothing, but are never None: with `facts` what means
        #: nothing is unusual.
        self.certain: set[str] = set()
        #: Those that are not blank, and those that are digits, if the line is ASCII.
        self.solid: set[str] = set()
        self.digits: set[str] = set()
        #: Variables of what was remembered of a text, and that text's.
        self.memos: dict[str, str] = {}
        #: Variables of address, ip and domain that were told apart: none follows from another.
        self.endpoints: set[tuple[str, str, str]] = set()
        #: Those of texts that may mean nothing, and often do.
        self.texts: set[str] = set()
        if self.common:
            self.certain |= {"host", "program"}
            self.solid |= {"host", "program"}
        self._header_names: dict[str, str] = {}
        self._remembering = False

    # The whole

    def compile(self) -> Callable[..., Any]:
        """The function; raises Unsupported."""
        w = self.w
        if self.is_text and reads_message(self.program):
            raise Unsupported("the text itself is decoded")
        first = first_match(self.program) if self.shape is not None else None
        if self.facts.groups is not None:
            self._groups(self.facts.groups)
        self.reset(self.program.block)
        if self.facts.short and not self.common and self.program.decode:
            raise Unsupported("the fields are not those of the line")
        if not self.flat and self.program.decode:
            w.line(f"decode(f, {w.bind(self.program.decode)})")
        for number, statement in enumerate(self.program.block):
            if number == first and isinstance(statement, Match) and self.shape is not None:
                if self.shape >= 0:
                    self.fitted(statement.shapes[self.shape], "f")
                continue
            self.statement(statement, top=True)
        (JsonAssembler if self.facts.encoded else Assembler)(self).write()
        arguments = COMMON if self.common else GROUPS if self.facts.short else ARGUMENTS
        if self.common:
            w.head.insert(0, f"    program = {self.facts.common!r}")
        source = "\n".join((f"def unit({arguments}):", *w.head, *w.lines, ""))
        self.source = source
        code = compile(source, f"<mapping {self.program.id}>", "exec")
        exec(code, w.names)  # noqa: S102 (names and literals only, see the module)
        made: Callable[..., Any] = w.names["unit"]
        return made

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

    def known(self, variable: str, regex: Regex, number: int) -> None:
        """Note what is known of the variable of a group."""
        if number in regex.always:
            self.certain.add(variable)
        if self.facts.short and number in regex.solid:
            self.solid.add(variable)
        if self.facts.short and number in regex.digits:
            self.digits.add(variable)

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
            blank = "" if operand.code in self.solid else f" or {operand.code}.isspace()"
            self.usual(f"{operand.code} in NOTHING{blank}")
            self.env.present[operand.code] = operand.code
        return True

    # Statements

    def block(self, block: Block) -> None:
        """Write the statements of a block."""
        for statement in block:
            self.statement(statement)

    def statement(self, statement: Statement, *, top: bool = False) -> None:
        """Write one statement."""
        if isinstance(statement, Set):
            self.env.targets[statement.target.path] = constant(statement.value)
        elif isinstance(statement, Assign):
            self.assign(statement)
        elif isinstance(statement, Spread):
            self.spread(statement)
        elif isinstance(statement, Match):
            self.match(statement, top=top)
        else:
            self.branch(statement)

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
            form=_common_form([before, Known(form=form)]),
        )

    def assign(self, statement: Assign) -> None:
        """Write the cast of a source to a target's type."""
        target, w = statement.target, self.w
        operand = self.value(statement.source)
        if operand.nothing:
            return
        if target.path == "@timestamp":
            self.time(operand)
            return
        known, value = fold(statement.source, self.facts)
        if known and target.type != DATE:
            made = None if absent(value) else casts.cast(target, value)
            if made is not None and not absent(made):
                self.env.targets[target.path] = constant(made)
            return
        out = w.name("t")
        if self._mapped(statement, operand):
            return
        if self._remembers(statement, operand, out):
            return
        if target.type == DATE and not target.many:
            w.line(f"{out} = date({operand.code}, o.received, o.zone)")
            self.put(target, out, sure=False, plain=True, form=SAFE)
            return
        simple = not target.many and target.allowed is None
        cast = scalar(target)
        if (simple and cast is convert.text) or (target.type == ANY and operand.kind == TEXT):
            self.keyword(target, operand, out)
        elif simple and cast in (convert.whole, convert.port):
            self.number(target, operand, out)
        elif simple and target.type == IP:
            w.line(f"{out} = ip({operand.code})")
            self.put(target, out, sure=False, plain=True, form=SAFE)
        elif target.type == ANY:
            self.clean(operand, out)
            self.put(target, out, sure=False)
        else:
            w.line(f"{out} = casted({w.bind(target, 'T')}, {operand.code})")
            form = WHOLE if simple and target.type == LONG else ""
            self.put(target, out, sure=False, plain=simple and target.type == KEYWORD, form=form)

    def _remembers(self, statement: Assign, operand: Operand, out: str) -> bool:
        """Assign a pipe's value whose cast takes long, and is remembered with it."""
        target, source = statement.target, statement.source
        if operand.code not in self.memos or not isinstance(source, Pipe) or target.many:
            return False
        if target.type != KEYWORD or target.allowed is None:
            return False
        value = self.memos[operand.code]
        table, cast = self.w.bind({}, "X"), self.w.bind(target, "T")
        self.w.line(f"{out} = {table}.get({value}, EMPTY)")
        self.w.line(
            f"if {out} is EMPTY: {out} = kept({table}, {value}, casted({cast}, {operand.code}))"
        )
        self.put(target, out, sure=False, plain=True, form=operand.form)
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
        if target.many and self.facts.encoded and safe and target.path not in _STILL_LISTS:
            with w.block(f"if {out}.__class__ is str:"):
                w.line(f"{out} = f'[\"{{{out}}}\"]'")
            w.line(f"elif {out} is not None: {out} = casted_json({slow}, {out})")
            self.put(target, out, sure=False, form=READY)
        elif target.many:
            many = f"[{out}] if {out}.__class__ is str else casted({slow}, {out})"
            w.line(f"if {out} is not None: {out} = {many}")
            self.put(target, out, sure=False)
        else:
            # A list of values gives a list: then the target takes the first.
            w.line(f"if {out}.__class__ is list: {out} = casted({slow}, {out})")
            self.put(target, out, sure=False, plain=True, form=SAFE if safe else "")
        return True

    def time(self, operand: Operand) -> None:
        """Write the reading of `@timestamp`, an Instant."""
        w, value = self.w, self.local(operand)
        operand = Operand(value, operand.kind)
        out = w.name("t")
        if self.present(operand):
            table = w.bind({}, "Z")
            w.line(f"{out} = {table}.get({value})")
            w.line(f"if {out} is None: {out} = timed({table}, {value}, o.received, o.zone)")
            self.usual(f"{out} is None")
            self.env.targets["@timestamp"] = Known(out, sure=True)
            return
        with w.block(f"if {self.is_absent(operand)}:"):
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
        if self.present(operand):
            self.put(target, operand.code, sure=True, plain=True, form=operand.form)
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
        self.put(target, out, sure=False, plain=True, form=form)

    def number(self, target: Target, operand: Operand, out: str) -> None:
        """Write the cast to a whole number."""
        w, cast, code = self.w, "port" if target.largest else "whole", operand.code
        digits = 5 if target.largest else 18
        if self.assume and operand.kind == TEXT and code in self.certain:
            self.env.present[code] = code
            wrong = f"not {code}.isdigit() or len({code}) > {digits} or not {code}.isascii()"
            if self.facts.encoded:
                # In JSON the digits are the number.
                if code in self.digits:
                    wrong = f"len({code}) > {digits}"
                if target.largest:
                    wrong += f" or len({code}) == {digits} and {code} > {str(target.largest)!r}"
                self.usual(f"{wrong} or {code}[0] == '0' and {code} != '0'")
                self.put(target, code, sure=True, plain=True, form=WHOLE)
                return
            self.usual(wrong)
            w.line(f"{out} = int({code})")
            if target.largest:
                self.usual(f"{out} > {target.largest}")
            self.put(target, out, sure=True, plain=True, form=WHOLE)
            return
        w.line(f"{out} = {code}")
        w.line(f"if {out} is not None: {out} = {cast}({out})")
        self.put(target, out, sure=False, plain=True, form=WHOLE)

    def spread(self, statement: Spread) -> None:
        """Write taking a value apart over several targets."""
        operand = self.value(statement.source)
        if operand.nothing:
            return
        if self.assume and operand.kind == TEXT and operand.code in self.certain:
            if statement.function is parts.ip_or_host:
                out = self.w.name("t")
                self.w.line(f"{out} = address({operand.code})")
                self.usual(f"{out} is None")
                self.env.present[operand.code] = operand.code
                self.put(statement.targets[0], out, sure=True, plain=True, form=SAFE)
                return
            if statement.function is parts.endpoint and self.present(operand):
                self._endpoint(statement, operand)
                return
            if statement.function is parts.url and self.present(operand):
                self._url(statement, operand)
                return
        self._spread(statement, operand)

    def _endpoint(self, statement: Spread, operand: Operand) -> None:
        """An endpoint, which is an address more often than not."""
        w, value = self.w, operand.code
        names = [w.name("t") for _ in statement.targets]
        shown, ip, domain, port = names
        whole = w.name("v")
        w.line(f"{ip} = address({value})")
        with w.block(f"if {ip} is not None:"):
            w.line(f"{shown} = {value}")
            w.line(f"{domain} = {port} = None")
        with w.block("else:"):
            w.line(f"{' = '.join(names)} = None")
            w.line(f"{whole} = {w.bind(statement.function, 'F')}({value})")
            w.line(f"if {whole} is not None: {', '.join(names)}, = {whole}")
        forms = {IP: SAFE, LONG: WHOLE}
        for target, name in zip(statement.targets, names, strict=True):
            form = forms.get(target.type, operand.form)
            self.put(target, name, sure=False, plain=True, form=form)
        self.endpoints.add((shown, ip, domain))

    def _url(self, statement: Spread, operand: Operand) -> None:
        """A URL that has a path, as almost all have."""
        if self.facts.short:
            self._target(statement, operand)
            return
        names = [self.w.name("t") for _ in statement.targets]
        self.w.line(f"{', '.join(names)}, = {self.w.bind(parts.url, 'F')}({operand.code})")
        path = names[parts.URL.index("path")]
        self.usual(f"{path} is None")
        names[0] = operand.code
        self.env.present[f"url {operand.code}"] = operand.code
        for target, name in zip(statement.targets, names, strict=True):
            number = target.type == LONG
            self.put(
                target,
                name,
                sure=name in (operand.code, path),
                plain=True,
                form=WHOLE if number else "" if target.path == "url.username" else operand.form,
            )

    def _target(self, statement: Spread, operand: Operand) -> None:
        """A request's target: a path, perhaps with a query."""
        w, code = self.w, operand.code
        path, mark, query, extension = (w.name("t") for _ in range(4))
        self.usual(f"{code}[0] != '/' or '#' in {code}")
        w.line(f"{path}, {mark}, {query} = {code}.partition('?')")
        w.line(f"if not {query}: {query} = None")
        w.line(f"{extension} = extension_of({path}) if '.' in {path} else None")
        self.env.present[f"url {code}"] = code
        known = {"original": code, "path": path, "query": query, "extension": extension}
        for target in statement.targets:
            name = known.get(target.path.removeprefix("url."))
            if name is not None:
                self.put(target, name, sure=name in (code, path), plain=True, form=operand.form)

    def _spread(self, statement: Spread, operand: Operand) -> None:
        w = self.w
        names = [w.name("t") for _ in statement.targets]
        value, whole = self.local(operand), w.name("v")
        w.line(f"{' = '.join(names)} = None")
        with w.block(f"if not ({self.is_absent(Operand(value, operand.kind))}):"):
            w.line(f"{whole} = {w.bind(statement.function, 'F')}({value})")
            w.line(f"if {whole} is not None: {', '.join(names)}, = {whole}")
        for target, name in zip(statement.targets, names, strict=True):
            plain = target.type in (KEYWORD, IP, LONG) and not target.many
            cut = operand.form if statement.function in _CUTTING else ""
            form = {IP: SAFE, LONG: WHOLE}.get(target.type, cut) if plain else ""
            self.put(target, name, sure=False, plain=plain, form=form)

    # Patterns

    def match(self, statement: Match, *, top: bool) -> None:
        """Write the trying of shapes, the first that fits counts."""
        w = self.w
        if self.flat and names_text(statement.source):
            operand = Operand("text", TEXT, PART)
        else:
            operand = self.value(statement.source)
        if operand.nothing:
            return
        text = operand.code
        if operand.kind != CLEAN and not (self.flat and text == "text"):
            text = w.name()
            self.clean(operand, text)
        text = self.local(Operand(text, operand.kind))
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
                    if condition == "False":
                        continue
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
        self._joined(whole, branches, before)

    def _joined(self, whole: list[str], branches: list[tuple[list[str], Env]], before: Env) -> None:
        """Write branches, or only what was looked up for them if none can be taken."""
        if len(branches) > 1:
            self.env = before
            self.merge(whole, branches)
            return
        self.w.lines.extend(line.removeprefix("    ") for line in whole)
        self.env = branches[0][1]

    def try_shape(self, shape: Shape, text: str, found: str) -> str:
        """Write the trying of one shape; the condition under which it fits."""
        w = self.w
        condition = self.conditions.code(shape.when) if shape.when is not None else "True"
        if condition == "False":
            return condition
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
        piece = PART if found == "f" else ""
        for number, (capture, name) in enumerate(zip(shape.captures, names, strict=True), 1):
            self.env.captures[capture] = Operand(name, TEXT, piece)
            self.known(name, shape.regex, number)
        self.block(shape.block)

    def branch(self, statement: Branch) -> None:
        """Write cases: the first that holds, or every one that holds."""
        if statement.every:
            for condition, block in statement.cases:
                self._remembered(((condition, block),))
        else:
            self._remembered(statement.cases)

    def _remembered(self, cases: Cases) -> None:
        """Write cases; what they set is remembered by the few texts that alone decide it."""
        looked = _deciding(cases)
        known = None if looked is None else self._keys(looked)
        paths = _assigned(cases)
        worth = self.facts.encoded and not self._remembering and len(cases) >= MIN_REMEMBERED
        if not known or not paths or not worth:
            self.cases(cases)
            return
        for path in paths:
            before = self.env.targets.get(path)
            if before is not None and before.name:
                self.cases(cases)
                return
        w = self.w
        key, found, table = w.name("k"), w.name("y"), w.bind({}, "Y")
        w.line(f"{key} = {known[0] if len(known) == 1 else '(' + ', '.join(known) + ')'}")
        w.line(f"{found} = {table}.get({key})")
        before_env = self.env.copy()
        with w.block(f"if {found} is None:"):
            self._remembering = True
            self.cases(cases)
            self._remembering = False
            after = [self.env.targets.get(path) for path in paths]
            codes = [one.code if one is not None else "None" for one in after]
            w.line(f"if len({table}) >= {MAX_REMEMBERED}: {table}.clear()")
            w.line(f"{found} = {table}[{key}] = ({', '.join(codes)},)")
        self.env = before_env
        names = [w.name("t") for _ in paths]
        w.line(f"{', '.join(names)}, = {found}")
        for path, name, one in zip(paths, names, after, strict=True):
            if one is not None:
                form = one.form if one.name or one.form != "" else ""
                self.env.targets[path] = Known(name, sure=one.sure, plain=one.plain, form=form)

    def _keys(self, looked: list[Path]) -> list[str] | None:
        """The variables of texts that are never None; None if a value may be anything else."""
        names = []
        for path in looked:
            operand = self.look(path)
            if operand.nothing:
                continue
            if not self.present(operand):
                return None
            names.append(operand.code)
        return list(dict.fromkeys(names))

    def cases(self, cases: tuple[tuple[Condition, Block], ...]) -> None:
        """Write an exclusive chain of cases."""
        w = self.w
        before = self.env.copy()
        branches: list[tuple[list[str], Env]] = []
        always: Block | None = None
        with w.aside() as whole:
            for condition, block in cases:
                code = self.conditions.code(condition)
                if code == "False":
                    continue
                if code == "True" and not branches:
                    always = block
                    break
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
        if always is not None:
            # What was looked up for it stays known: nothing of it was conditional.
            w.lines.extend(line.removeprefix("    ") for line in whole)
            self.block(always)
            return
        self._joined(whole, branches, before)

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
        merged.present = _common([env.present for env in envs])
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
        if (
            self.facts.encoded
            and path not in _STILL_LISTS
            and all(one is None or is_ready(one) for one in known)
        ):
            known = [one if one is None or one.name else ready(one) for one in known]
        elif any(one is not None and one.form == READY for one in known):
            raise Unsupported(f"{path} is in two forms")
        name = self.w.name("t")
        for one, move in zip(known, moves, strict=True):
            move.append(f"{name} = {one.code if one is not None else 'None'}")
        return Known(
            name,
            sure=all(one is not None and one.sure for one in known),
            plain=all(one is None or one.plain for one in known),
            form=_common_form(known),
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
                given = f"f.get({name!r})"
                if self.facts.groups is not None:
                    given = self._field((name,))
                move.append(f"{variable} = {given}")
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
            if self.present(operand):
                return "False"
            return f"{name} is None or {name} in NOTHING or {name}.isspace()"
        return f"{name} is None or absent({name})"

    def clean(self, operand: Operand, out: str) -> None:
        """Write an operand to a variable, None if it is nothing."""
        known = self.present(operand)
        self.w.line(f"{out} = {operand.code}")
        if known:
            return
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
            if path.steps == ("message",):
                return Operand("text", TEXT, PART)
            return Operand("None", CLEAN)
        name = self._field(path.steps)
        if name in self.certain:
            return Operand(name, TEXT, PART)
        if name in self.texts:
            return Operand(name, TEXT, PART)
        # Numbers and booleans as texts need no escapes either.
        return Operand(name, CLEAN if name == "None" else RAW, PART)

    def there(self, path: Path) -> str:
        """The condition that a key is there, whatever its value."""
        last = path.steps[-1] if path.steps else None
        if path.header or self.flat or not all(isinstance(step, str) for step in path.steps):
            operand = self.look(path)
            return "False" if operand.nothing else f"({operand.code} is not None)"
        if len(path.steps) == 1 and self.facts.keys is not None:
            return str(last in self.facts.keys)
        return f"({last!r} in {self._node(path.steps[:-1])})"

    def _header(self, path: Path) -> Operand:
        name = path.header
        if name == "text":
            # In other formats it is the line as it is written, quotation marks and all.
            operand = Operand("text", TEXT, PART if self.is_text else "")
        elif name in ("source", "received"):
            operand = Operand(f"o.{name}", TEXT if name == "source" else CLEAN)
        elif self.headless:
            return Operand("None", CLEAN)
        elif name == "time":
            code = "at[1]" if self.common else "(h.time[1] if h.time is not None else None)"
            operand = Operand(code, CLEAN)
        elif self.common:
            operand = Operand(self.of_header(name), TEXT, PART)
        elif name == "sd":
            operand = Operand("h.sd", RAW)
        elif self.headed and name in ("host", "program"):
            operand = Operand(self.header(name), TEXT, PART)
        else:
            operand = Operand(f"h.{name}", TEXT, PART)
        if not path.steps:
            return operand
        return Operand(f"look({operand.code}, {self.w.bind(path.steps, 'S')})", RAW)

    def header(self, name: str) -> str:
        """The variable of a header's host or program, which the line is taken to have."""
        if self.common:
            return name
        known = self._header_names.get(name)
        if known is None:
            known = self._header_names[name] = self.w.name("h")
            self.w.head.append(f"    {known} = h.{name}")
            self.w.head.append(f"    if {known} is None: return {self.unusual}")
            self.certain.add(known)
        return known

    def _field(self, steps: tuple[Step, ...]) -> str:
        """The variable of a field's value."""
        known = self.env.looked.get(steps)
        if known is not None:
            return known
        keys = self.facts.keys
        if keys is not None and steps[0] not in keys:
            return "None"
        if self.facts.groups is not None:
            if steps == ("labels",):
                raise Unsupported("all labels at once")
            return "None"  # a text holds nothing below it, and other labels there are not
        cut = next((n for n, step in enumerate(steps) if not isinstance(step, str)), len(steps))
        name = self.w.name("v")
        if keys is not None and len(steps) == 1 and keys[str(steps[0])] is str:
            self.w.line(f"{name} = f[{steps[0]!r}]")
            self.usual(f"{name}.__class__ is not str")
            self.certain.add(name)
            self.env.looked[steps] = name
            return name
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
            if self.facts.groups is not None:
                raise Unsupported("the fields are no object")
            return "f"
        known = self.env.nodes.get(steps)
        if known is not None:
            return known
        field = self._field(steps)
        if field == "None":
            return "EMPTY"
        name = self.w.name("d")
        self.w.line(f"{name} = {field}")
        self.w.line(f"if {name}.__class__ is not dict: {name} = EMPTY")
        self.env.nodes[steps] = name
        return name

    def value(self, source: Expression) -> Operand:
        """The value of a source; writes what has to be worked out."""
        known, value = fold(source, self.facts)
        if known:
            return Operand(repr(value), CLEAN)
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
        return self._alternatives(source.sources, self.w.name(), at_start=True)

    def _alternatives(
        self, sources: tuple[Expression, ...], out: str, *, at_start: bool
    ) -> Operand:
        operand = self.value(sources[0])
        rest = sources[1:]
        while operand.nothing and rest:
            operand, rest = self.value(rest[0]), rest[1:]
        if self.present(operand):
            if at_start:
                return operand
            self.w.line(f"{out} = {operand.code}")
            return Operand(out, TEXT, operand.form)
        if not rest:
            if at_start:
                return operand
            self.w.line(f"{out} = {operand.code}")
            return Operand(out, operand.kind, operand.form)
        self.w.line(f"{out} = {operand.code}")
        before = self.env.copy()
        with self.w.block(f"if {self.is_absent(Operand(out, operand.kind))}:"):
            last = self._alternatives(rest, out, at_start=False)
        self.env = before
        form = operand.form if operand.form == last.form else ""
        return Operand(out, last.kind if operand.kind == last.kind else RAW, form)

    def _pipe(self, source: Pipe) -> Operand:
        w, out, form = self.w, self.w.name(), ""
        condition = "True"
        if source.when is not None:
            condition = self.conditions.code(source.when)
            if condition == "False":
                return Operand("None", CLEAN)
        if self._never(source.source):
            if source.default is None or condition == "True":
                return Operand(repr(source.default), CLEAN)
        elif self._memorable(source):
            operand = self.value(source.source)
            if self.present(operand):
                return self._memorized(source, operand, out)
        if condition != "True":
            w.line(f"{out} = None")
            before = self.env.copy()
            with w.block(f"if {condition}:"):
                form = self._steps(source, out)
            self.env = before
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
            return self.headless and path.header not in _OF_ALL
        if path.steps[0] in self.env.captures or path.steps in self.env.looked:
            return False
        return self.facts.keys is not None and path.steps[0] not in self.facts.keys

    def _memorable(self, source: Pipe) -> bool:
        """Whether what a pipe makes follows from a text alone."""
        return (
            self.facts.encoded
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
        known = self.env.looked.get(steps)
        if known is not None:
            return known in self.certain
        keys = self.facts.keys or {}
        return len(steps) == 1 and keys.get(str(steps[0])) is str

    def _memorized(self, source: Pipe, operand: Operand, out: str) -> Operand:
        """Write a pipe that remembers what it made of the first texts."""
        w, table = self.w, self.w.bind({}, "X")
        w.line(f"{out} = {table}.get({operand.code}, EMPTY)")
        pipe = w.bind(source, "P")
        form = ""
        self.memos[out] = operand.code
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
        self.clean(operand, out)
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
        return bool(header) and facts.headless and header not in _OF_ALL, None
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


#: What cuts pieces out of its value and changes nothing in them.
_CUTTING = frozenset({parts.endpoint, parts.ip_or_host, parts.nat, parts.user})

#: Headers that every line has.
_OF_ALL = frozenset({"text", "source", "received"})


def compile_condition(program: Program, format: str, condition: Condition) -> Callable[..., bool]:
    """A condition on a framed line as a function of (f, text, h, o)."""
    unit = Unit(program, format)
    code = unit.conditions.code(condition)
    source = "\n".join(("def holds(f, text, h, o):", *unit.w.lines, f"    return {code}", ""))
    exec(compile(source, f"<condition of {program.id}>", "exec"), unit.w.names)  # noqa: S102
    made: Callable[..., bool] = unit.w.names["holds"]
    return made


#: Lists that more is added to at the end, so that they are no JSON before.
_STILL_LISTS = frozenset({"tags", *RELATED})


def is_ready(known: Known) -> bool:
    """Whether a value is JSON already, or a list that can be written as such beforehand."""
    return known.form == READY if known.name else isinstance(known.constant, list)


def ready(known: Known) -> Known:
    """A constant as JSON."""
    text = orjson.dumps(known.constant).decode()
    return Known(constant=text, sure=True, form=READY)


#: Where the lines of a branch go.
_PLACE = "\0place"


def _common_form(known: list[Known | None]) -> str:
    forms = {one.form for one in known if one is not None}
    if forms == {SAFE, PART}:
        return PART
    return forms.pop() if len(forms) == 1 else ""


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


def reads_message(program: Program) -> bool:
    """Whether a program decodes the message, which may be an object then."""
    return any(path.steps[:1] == ("message",) for path, _ in program.decode)


def first_match(program: Program) -> int | None:
    """Which statement tries patterns on the whole text first, None if none does."""
    for number, statement in enumerate(program.block):
        if isinstance(statement, Match):
            return number if names_text(statement.source) else None
    return None


Cases = tuple[tuple["Condition", "Block"], ...]

#: Fewest cases whose outcome is worth remembering, and most outcomes that are.
MIN_REMEMBERED = 2
MAX_REMEMBERED = 4_096


def _deciding(cases: Cases) -> list[Path] | None:
    """The places whose values decide what cases set, None if they do more than set constants."""
    found: list[Path] = []
    for condition, block in cases:
        found += _looked(condition)
        for statement in block:
            if isinstance(statement, Branch):
                inner = _deciding(statement.cases)
                if inner is None:
                    return None
                found += inner
            elif not isinstance(statement, Set):
                return None
    return list(dict.fromkeys(found))


def _looked(condition: Condition) -> list[Path]:
    if isinstance(condition, Check):
        return [condition.path]
    if isinstance(condition, Not):
        return _looked(condition.condition)
    return [path for one in condition.conditions for path in _looked(one)]


def _assigned(cases: Cases) -> list[str]:
    """The targets that cases of constants set."""
    found: list[str] = []
    for _, block in cases:
        for statement in block:
            if isinstance(statement, Set):
                found.append(statement.target.path)
            elif isinstance(statement, Branch):
                found += _assigned(statement.cases)
    return list(dict.fromkeys(found))


#: A shape's number, a text that every text has which fits it, its match, its longest text.
Plan = tuple[tuple[int, str, Any, int], ...]


def dispatch(shapes: tuple[Shape, ...]) -> tuple[dict[str, Plan], Plan]:
    """The shapes that a text may fit by its first word, and those that any text may."""
    words = {shape.word for shape in shapes if shape.word}
    always = _plan(shapes, lambda shape: not shape.word)
    return {word: _plan(shapes, _of_word(word)) for word in words}, always


def plan_of(shapes: tuple[Shape, ...], head: str) -> Plan:
    """The shapes that a text may fit which begins with `head`."""
    return _plan(
        shapes, lambda s: not s.word or f"{s.word} "[: len(head)] == head[: len(s.word) + 1]
    )


def _of_word(word: str) -> Callable[[Shape], bool]:
    return lambda shape: shape.word in ("", word)


def _plan(shapes: tuple[Shape, ...], wanted: Callable[[Shape], bool]) -> Plan:
    """The wanted shapes, each with the literal that tells it best from the others."""
    chosen = [(number, shape) for number, shape in enumerate(shapes) if wanted(shape)]
    found = [shape.regex.literals for _, shape in chosen]
    counts = Counter(literal for each in found for literal in each)
    plan = []
    for (number, shape), mine in zip(chosen, found, strict=True):
        needle = min(mine, key=lambda text: (counts[text], -len(text), text), default="")
        if counts[needle] == len(chosen) > 1:
            needle = ""
        plan.append((number, needle, shape.regex.pattern.match, shape.regex.longest))
    return tuple(plan)
