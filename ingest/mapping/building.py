"""From the YAML of a mapping to its Program, with every mistake and its line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ingest.mapping import paths
from ingest.mapping.casts import cast
from ingest.mapping.conditions import Conditions
from ingest.mapping.converters import CONVERTERS
from ingest.mapping.model import Mapping, SourceSpec
from ingest.mapping.parts import SPREADS
from ingest.mapping.patterns import compile_match, compile_regex, kind_of
from ingest.mapping.program import (
    Assign,
    Branch,
    Check,
    Constant,
    Entry,
    Every,
    First,
    Join,
    Look,
    Match,
    Member,
    Not,
    Pipe,
    Program,
    Set,
    Shape,
    Spread,
    Step,
)
from ingest.mapping.regexes import bounded
from ingest.mapping.targets import ANY, OBJECTS, RESERVED, ROOTS, Target, target
from ingest.mapping.values import absent, words
from tocsin.errors import ContentErrors

if TYPE_CHECKING:
    from ingest.mapping.model import Block as BlockModel
    from ingest.mapping.model import Case, Pattern, Recognize
    from ingest.mapping.program import Block, Condition, Expression, Statement
    from ingest.mapping.source import KeyPath, Source

#: Deepest nesting of sources.
MAX_SOURCE_DEPTH = 8

_TEMPLATE = re.compile(r"\{([^{}]+)\}")


def build(source: Source, file: str = "", *, lazy: bool = False) -> Program | None:
    """The Program of a parsed file; None if it has mistakes, which are in `source.errors`.

    With `lazy` its statements are worked out, and their mistakes found, when they are used.
    """
    if not isinstance(source.value, dict):
        if not source.errors:
            source.complain((), "a mapping file is a YAML mapping")
        return None
    try:
        model = Mapping.model_validate(source.value)
    except ValidationError as error:
        for one in error.errors(include_url=False):
            source.complain(tuple(one["loc"]), one["msg"])
        return None
    made = _Builder(source, model).program(file or source.path)
    if not lazy and not source.errors:
        try:
            _ = made.block
        except ContentErrors:
            return None
    return None if source.errors else made


class _Builder:
    """Builds one mapping; notes mistakes instead of raising them."""

    def __init__(self, source: Source, model: Mapping) -> None:
        self.source = source
        self.model = model
        self.windows = any(entry.format == "windows" for entry in model.recognize)
        self.root = model.root or ("winlog" if self.windows else model.id)
        self.conditions = Conditions(source, self.path)

    def program(self, file: str) -> Program:
        model = self.model
        first = self.root.split(".", 1)[0]
        if first in ROOTS:
            self.source.complain(
                ("root",) if model.root else ("id",),
                f"'{first}' belongs to ECS and cannot be a source's own root",
                "choose the vendor's name: root: acme.product",
            )
        if not model.recognize:
            self.source.complain(("recognize",), "a mapping needs a way to be recognised")
        decode = tuple(
            (path, how)
            for name, how in model.decode.items()
            if (path := self.path(name, ("decode", name))) is not None
        )
        entries = tuple(
            self._entry(entry, ("recognize", number))
            for number, entry in enumerate(model.recognize)
        )
        identity = None
        if model.identity is not None:
            identity = self.expression(model.identity, ("identity",))
        return Program(
            id=model.id,
            version=str(model.version),
            file=file,
            root=self.root,
            keep=model.keep,
            entries=entries,
            make=self._statements,
            decode=decode,
            identity=identity,
            model=model,
        )

    def _statements(self) -> Block:
        before = len(self.source.errors)
        block = (*self._constants(), *self.block(self.model, ()))
        if mistakes := self.source.errors[before:]:
            raise ContentErrors(mistakes)
        return block

    def _constants(self) -> list[Statement]:
        found: list[Statement] = []
        if self.model.observer is not None:
            for name, value in self.model.observer.model_dump(exclude_none=True).items():
                found.append(Set(Target(f"observer.{name}"), value, self._line(("observer", name))))
        return found

    def _line(self, at: KeyPath) -> int:
        return self.source.place(at).line

    # Blocks

    def block(self, model: BlockModel, at: KeyPath) -> Block:
        """The statements of a block in the order in which they run."""
        made: list[Statement] = []
        for name, value in model.set.items():
            made.extend(self._set(name, value, (*at, "set", name)))
        for name, value in model.fields.items():
            made.extend(self._assign(name, value, (*at, "fields", name)))
        made.extend(self._patterns(model.patterns, (*at, "patterns")))
        for key, cases in (("cases", model.cases), ("all_cases", model.all_cases)):
            if cases:
                made.append(self._branch(cases, (*at, key), every=key == "all_cases"))
        return tuple(made)

    def _branch(self, cases: list[Case], at: KeyPath, *, every: bool) -> Branch:
        made = []
        for number, case in enumerate(cases):
            here = (*at, number)
            condition = self.conditions.read(case.when, (*here, "when"))
            made.append((condition, self.block(case, here)))
        return Branch(tuple(made), every)

    def _set(self, name: str, value: Any, at: KeyPath) -> list[Statement]:
        if name in SPREADS and name not in ("user_agent", "file") and not name.endswith(".ip"):
            self.source.complain(at, f"{name} is a compound target: only `fields` may fill it")
            return []
        field = self._target(name, at)
        if field is None:
            return []
        if absent(value):
            self.source.complain(at, f"{value!r} is nothing, and {name} cannot be set to it")
            return []
        if field.type == ANY:
            return [Set(field, value, self._line(at))]
        items = value if isinstance(value, list) else [value]
        for item in items:
            word = item if isinstance(item, str) else words(item)
            if field.allowed is not None and word not in field.allowed:
                self.source.complain(
                    at,
                    f"'{word}' is no value of {name}",
                    f"one of {', '.join(sorted(field.allowed))}",
                )
                return []
        made = cast(field, value)
        if made is None:
            self.source.complain(
                at, f"{value!r:.60} is no value of {name}, which is a {field.type}"
            )
            return []
        return [Set(field, made, self._line(at))]

    def _assign(self, name: str, value: Any, at: KeyPath) -> list[Statement]:
        source = self.expression(value, at)
        if source is None:
            return []
        if name in SPREADS:
            function, outputs = SPREADS[name]
            targets = tuple(self._certain(path) for path in outputs)
            return [Spread(name, function, targets, source, self._line(at))]
        field = self._target(name, at)
        return [] if field is None else [Assign(field, source, self._line(at))]

    def _certain(self, path: str) -> Target:
        field = target(path, self.root)
        if field is None:
            raise LookupError(f"{path} is missing in ingest.mapping.targets")
        return field

    def _target(self, name: str, at: KeyPath) -> Target | None:
        if name in RESERVED:
            hint = "`identity: PATH` names the provider's own id" if name == "event.id" else ""
            self.source.complain(at, f"{name} is set by Tocsin itself", hint)
            return None
        field = target(name, self.root)
        if field is None:
            hint = f"ECS fields, labels.*, or below {self.root}."
            if name in OBJECTS:
                hint = f"it is an object; name a field below it, as {name}.name"
            self.source.complain(at, f"'{name}' is no target", hint)
        return field

    # Patterns

    def _patterns(self, patterns: list[Pattern], at: KeyPath) -> list[Statement]:
        """Patterns one after the other are one group; a group with its own `from` another."""
        made: list[Statement] = []
        plain: list[tuple[Pattern, KeyPath]] = []
        for number, pattern in enumerate(patterns):
            here = (*at, number)
            if pattern.match is None and pattern.regex is None:
                if not pattern.patterns:
                    self.source.complain(here, "a pattern needs `match` or `regex`")
                    continue
                made.extend(self._groups(plain))
                plain = []
                inner = [(one, (*here, "patterns", n)) for n, one in enumerate(pattern.patterns)]
                if pattern.set or pattern.fields or pattern.cases or pattern.all_cases:
                    self.source.complain(here, "a group of patterns has only `from` and `patterns`")
                made.extend(self._groups(inner, pattern.from_, here))
            else:
                plain.append((pattern, here))
        made.extend(self._groups(plain))
        return made

    def _groups(
        self, patterns: list[tuple[Pattern, KeyPath]], outer: Any = None, at: KeyPath = ()
    ) -> list[Statement]:
        """Patterns with the same `from` are tried together."""
        made: list[Statement] = []
        start = 0
        while start < len(patterns):
            text = patterns[start][0].from_
            end = start
            while end < len(patterns) and patterns[end][0].from_ == text:
                end += 1
            wanted = outer if text is None else text
            here = (*(at if text is None else patterns[start][1]), "from")
            source: Expression | None = _MESSAGE
            if wanted is not None:
                source = self.expression(wanted, here)
            shapes = [s for one, place in patterns[start:end] if (s := self._shape(one, place))]
            if source is not None:
                made.append(Match(source, tuple(shapes)))
            start = end
        return made

    def _shape(self, pattern: Pattern, at: KeyPath) -> Shape | None:
        key = "match" if pattern.match is not None else "regex"
        text = pattern.match if pattern.match is not None else pattern.regex or ""
        if pattern.match is not None and pattern.regex is not None:
            self.source.complain((*at, "regex"), "a pattern has `match` or `regex`, not both")
        try:
            if key == "match":
                made = compile_match(text, self._capture_kinds(text))
            else:
                made = compile_regex(text)
        except ValueError as error:
            self.source.complain((*at, key), str(error))
            return None
        statements: list[Statement] = []
        for name in made.captures:
            if "." in name or name in _WHOLE_CAPTURES:
                captured = '"' + name + '"' if "." in name else name
                statements.extend(self._assign(name, captured, (*at, key)))
        statements.extend(self.block(pattern, at))
        condition = None
        if pattern.when is not None:
            condition = self.conditions.read(pattern.when, (*at, "when"))
        return Shape(
            made.regex,
            made.captures,
            tuple(statements),
            made.word,
            condition,
            self._line(at),
            text[:120],
        )

    def _capture_kinds(self, text: str) -> dict[str, str]:
        kinds = {}
        for name in re.findall(r"<([\w.@-]+)>", text):
            if name in SPREADS and not name.endswith(".ip"):
                continue
            field = target(name, self.root)
            if field is not None and field.type != ANY and "." in name:
                kinds[name] = kind_of(field.type, name)
        return kinds

    # Sources

    def path(self, text: Any, at: KeyPath) -> paths.Path | None:
        """The path that a text writes, None and a mistake if it writes none."""
        if not isinstance(text, str):
            self.source.complain(at, f"{text!r:.60} is no path", "a path is a text: a.b.c")
            return None
        try:
            return paths.parse(text)
        except ValueError as error:
            self.source.complain(at, str(error))
            return None

    def expression(self, value: Any, at: KeyPath, depth: int = 0) -> Expression | None:
        """The source that `value` writes: a path, a list, or an object."""
        if depth > MAX_SOURCE_DEPTH:
            self.source.complain(at, "sources are nested too deeply")
            return None
        if isinstance(value, list):
            found = [self.expression(item, (*at, n), depth + 1) for n, item in enumerate(value)]
            sources = tuple(one for one in found if one is not None)
            if not sources:
                self.source.complain(at, "an empty list of sources")
                return None
            return sources[0] if len(sources) == 1 else First(sources)
        if isinstance(value, dict):
            try:
                spec = SourceSpec.model_validate(value)
            except ValidationError as error:
                for one in error.errors(include_url=False):
                    self.source.complain((*at, *one["loc"]), one["msg"])
                return None
            return self._spec(spec, at, depth)
        path = self.path(value, at)
        return None if path is None else Look(path)

    def _spec(self, spec: SourceSpec, at: KeyPath, depth: int) -> Expression | None:
        base = self._base(spec, at, depth)
        if base is None:
            return None
        steps = self._steps(spec, at)
        when: Condition | None = None
        if spec.when is not None:
            when = self.conditions.read(spec.when, (*at, "when"))
        default = spec.default if spec.map is None else None
        if not steps and when is None and default is None:
            return base
        return Pipe(base, steps, when, default)

    def _base(self, spec: SourceSpec, at: KeyPath, depth: int) -> Expression | None:
        given = [name for name in _BASES if getattr(spec, name) is not None]
        if len(given) != 1:
            self.source.complain(at, "a source has exactly one of from, all, value, template, find")
            return None
        if spec.from_ is not None:
            return self.expression(spec.from_, (*at, "from"), depth + 1)
        if spec.all is not None:
            found = [self.expression(p, (*at, "all", n), depth + 1) for n, p in enumerate(spec.all)]
            return Every(tuple(one for one in found if one is not None))
        if spec.template is not None:
            return self._template(spec.template, (*at, "template"))
        if spec.find is not None:
            list_ = self.path(spec.find.list, (*at, "find", "list"))
            take = self.path(spec.find.take, (*at, "find", "take"))
            where = tuple(
                (path, words(wanted).casefold())
                for name, wanted in spec.find.where.items()
                if (path := self.path(name, (*at, "find", "where", name))) is not None
            )
            return Member(list_, where, take) if list_ and take and where else None
        return Constant(spec.value)

    def _template(self, text: str, at: KeyPath) -> Expression | None:
        parts: list[str | Expression] = []
        end = 0
        for match in _TEMPLATE.finditer(text):
            if match.start() > end:
                parts.append(text[end : match.start()])
            path = self.path(match[1], at)
            if path is not None:
                parts.append(Look(path))
            end = match.end()
        if end < len(text):
            parts.append(text[end:])
        return Join(tuple(parts))

    def _steps(self, spec: SourceSpec, at: KeyPath) -> tuple[Step, ...]:
        steps: list[Step] = []
        if spec.split is not None:
            if spec.split:
                steps.append(Step("split", spec.split))
            else:
                self.source.complain((*at, "split"), "split needs a separator")
        if spec.regex is not None:
            try:
                regex = bounded(spec.regex, anywhere=True)
            except ValueError as error:
                self.source.complain((*at, "regex"), str(error))
            else:
                if regex.pattern.groups < 1:
                    self.source.complain((*at, "regex"), "a group is missing: what is the value?")
                else:
                    steps.append(Step("regex", regex))
        if spec.map is not None:
            table = {key.casefold(): value for key, value in spec.map.items()}
            steps.append(Step("map", table, spec.default, spec.other == "keep"))
        if spec.as_ is not None:
            steps.extend(self._converters(spec.as_, (*at, "as")))
        return tuple(steps)

    def _converters(self, value: Any, at: KeyPath) -> list[Step]:
        if isinstance(value, list):
            return [
                step for n, item in enumerate(value) for step in self._converters(item, (*at, n))
            ]
        name, argument = value, None
        if isinstance(value, dict) and len(value) == 1:
            ((name, argument),) = value.items()
        if not isinstance(name, str) or name not in CONVERTERS:
            self.source.complain(at, f"{name!r:.40} is no converter", ", ".join(CONVERTERS))
            return []
        if argument is not None and (name != "time" or not isinstance(argument, str)):
            self.source.complain(at, f"{name} takes no argument")
            return []
        return [Step("as", (name, argument))]

    # Recognition

    def _entry(self, model: Recognize, at: KeyPath) -> Entry:
        conditions: list[Condition] = []
        for key, names in (("keys", model.keys), ("absent", model.absent)):
            for number, name in enumerate(names):
                path = self.path(name, (*at, key, number))
                if path is not None:
                    check = Check(path, "there", True)
                    conditions.append(check if key == "keys" else Not(check))
        if model.values:
            conditions.extend(self.conditions.parts(model.values, (*at, "values")))
        regex = None
        if model.regex is not None:
            try:
                regex = bounded(model.regex)
            except ValueError as error:
                self.source.complain((*at, "regex"), str(error))
        self._check_entry(model, at)
        asked = sum(
            (
                2 * len(model.keys),
                3 * len(model.values),
                len(model.absent),
                *(4 * bool(part) for part in (model.programs, model.regex, model.contains)),
                max((5 + len(start) for start in model.starts), default=0),
                *(6 * bool(part) for part in (model.vendor, model.product)),
            )
        )
        vendor = [model.vendor] if isinstance(model.vendor, str) else model.vendor
        product = [model.product] if isinstance(model.product, str) else model.product
        return Entry(
            format=model.format,
            condition=self.conditions.all_of(conditions),
            vendors=tuple(name.casefold() for name in vendor),
            products=tuple(name.casefold() for name in product),
            programs=tuple(name.casefold() for name in model.programs),
            starts=tuple(model.starts),
            contains=tuple(model.contains),
            regex=regex,
            columns=tuple(model.columns),
            delimiter=model.delimiter,
            patterns=model.patterns,
            rank=(asked, model.priority or self.model.priority),
            line=self._line(at),
        )

    def _check_entry(self, model: Recognize, at: KeyPath) -> None:
        text = model.programs or model.starts or model.regex or model.patterns or model.contains
        if model.format == "text" and not text:
            self.source.complain(
                at, "say which texts: programs, starts, contains, regex or patterns"
            )
        if model.format == "csv" and not model.columns:
            self.source.complain(at, "csv needs `columns`")
        if model.format in ("json", "kv") and not (model.keys or model.values or text):
            self.source.complain(at, f"say which {model.format}: keys or values")
        if model.format in ("cef", "leef") and not model.vendor:
            self.source.complain(at, f"{model.format} needs `vendor`")


_BASES = ("from_", "all", "value", "template", "find")

#: What patterns look at unless they say otherwise.
_MESSAGE = First((Look(paths.parse("message")), Look(paths.parse("$text"))))

#: Captures without a dot that are targets all the same.
_WHOLE_CAPTURES = frozenset({"message", "@timestamp"})
