"""The functions of one mapping: made when they are called, and made again for what is frequent.

A line goes to the function for what is known of it: the pattern that fits, the keys it has, whether
it has a header. Functions for one set of keys are made once such lines have been seen a few times.
Which function runs changes how fast a line is mapped and nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ingest.mapping import plain, shipped
from ingest.mapping.compiler import Unit
from ingest.mapping.dispatching import dispatch, first_match, plan_of, reads_message
from ingest.mapping.emitting import Facts, Unsupported
from ingest.mapping.json_lines import compiled
from ingest.mapping.line import NO_HEADER, Line
from ingest.mapping.program import Match
from ingest.mapping.values import absent
from ingest.mapping.whole import behind_header
from tocsin.route import route_of

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from ingest.mapping.emitting import Groups
    from ingest.mapping.json_lines import Sample
    from ingest.mapping.line import Header
    from ingest.mapping.origin import Origin
    from ingest.mapping.plain import Ran
    from ingest.mapping.program import Program
    from tocsin.contracts import Document

    #: A document or its JSON, its time (ms), its header `route`, its host's name.
    Made = tuple[Document | bytes, int, bytes, object]
    #: (fields or match, text, header, origin, offset, id, original, must) → Made; None only if
    #: the text must fit a pattern of the mapping and fits none.
    Function = Callable[..., Made | None]
    #: What a text must hold, a pattern, the longest text it may be given, its function, its number.
    Attempt = tuple[str, Callable[[str], Any], int, list[Function], int]
    #: An expression, the longest line it may be given, and its function.
    Whole = tuple[re.Pattern[str], int, list[Function]]
    Watch = Callable[[Line, Program, Ran], None]

#: How often lines with the same keys are seen before a function is made for them.
FREQUENT = 16

#: Most sets of keys that are counted, and most functions made for one, of each mapping.
MAX_COUNTED = 512
MAX_SPECIAL = 128

#: Most programs that functions of one mapping are made for.
MAX_PROGRAMS = 16

_FAILURES = (Unsupported, SyntaxError, RecursionError, MemoryError)


class Runner:
    """One mapping: its functions, made when they are first called."""

    def __init__(self, program: Program, *, encoded: bool = False, watch: Watch | None = None):
        """`encoded`: functions may return JSON. `watch`: interpret, and tell of every run."""
        self.program = program
        self._encoded = encoded
        self._watch = watch
        self._functions: dict[str, Function] = {}
        self._specials = 0
        self._common: dict[str, list[list[Function]]] = {}
        self._whole: dict[tuple[str, int, bool], Whole | None] = {}
        self._known: dict[Any, Function] = {}

    def function(self, format: str) -> Function:
        """The function for lines of a format."""
        kind = format if format in _KINDS else "fields"
        found = self._functions.get(kind)
        if found is None:
            found = self._functions[kind] = self._make(format)
        return found

    def _make(self, format: str) -> Function:
        if self._watch is not None:
            return self.interpreted(format)
        if format == "text":
            return self._text()
        return self._fields(format)

    def interpreted(self, format: str) -> Function:
        """The plain interpreter as a function."""
        program, watch = self.program, self._watch

        def interpret(
            f: dict[str, Any],
            text: str,
            h: Header,
            o: Origin,
            offset: int,
            id: str,
            original: str,
            must: bool = False,
            shared: object = None,
        ) -> Made | None:
            fields = {"message": text} if format == "text" else f
            line = Line(format, fields, text, h, o.source, o.received, o.zone)
            ran = plain.run(program, line)
            if must and not ran.fits:
                return None
            document, at = plain.finish(program, ran, line, o, offset, id, original)
            if watch is not None:
                watch(line, program, ran)
            return document, at, route_of(document), ran.out.get("host.name")

        return interpret

    def _general(self, format: str) -> Function:
        """The function that takes nothing for granted."""
        try:
            return Unit(self.program, format).compile()
        except _FAILURES:
            return self.interpreted(format)

    # Fields: a function for each frequent set of keys

    def _fields(self, format: str) -> Function:
        general = self._general(format)
        if format == "windows":
            interpret, compiled = self.interpreted(format), general

            def general(f: dict[str, Any], *rest: Any) -> Made | None:
                # What a shipper says in ECS itself has fields that nobody knows beforehand.
                return interpret(f, *rest) if f.get("ecs") else compiled(f, *rest)

        counted: dict[Any, Function | int] = {}
        by_source, windows = self.by_source, format == "windows"

        def fields(
            f: dict[str, Any],
            text: str,
            h: Header,
            o: Origin,
            offset: int,
            id: str,
            original: str,
            must: bool = False,
            shared: dict[Any, Function | int] | None = None,
        ) -> Made | None:
            lines: Any = self if shared is not None else tuple(f)
            if windows and (said := f.get("ecs")).__class__ is dict:
                said = f["said"] = shipped.flattened(said)
                lines = lines, tuple(said)
            key = (h is NO_HEADER, o.source if by_source else None, lines)
            known = counted if shared is None else shared
            function = known.get(key)
            if function is None or isinstance(function, int):
                function = self._count(format, f, known, key, general)
            return function(f, text, h, o, offset, id, original, must)

        return fields

    def _count(
        self,
        format: str,
        f: dict[str, Any],
        counted: dict[Any, Function | int],
        key: tuple[Any, ...],
        general: Function,
    ) -> Function:
        """Count a line; the function for it, which is made when such lines have become frequent."""
        count = counted.get(key, 0)
        if not isinstance(count, int):
            return count
        if count + 1 < FREQUENT or self._specials >= MAX_SPECIAL:
            if len(counted) >= MAX_COUNTED:
                counted.clear()
            counted[key] = count + 1
            return general
        self._specials += 1
        counted[key] = special = self._special(format, f, key, general)
        return special

    def _special(
        self, format: str, f: dict[str, Any], key: tuple[Any, ...], general: Function
    ) -> Function:
        """The function for lines like this one."""
        keys = {name: class_of(value) for name, value in f.items()}
        for path, _ in self.program.decode:
            keys[str(path.steps[0])] = object
        said: tuple[str, ...] = ()
        if f.get("ecs") and format == "windows":
            said = tuple(f.get("said", ()))
            if not said:
                return general
        return self._assuming(format, Facts(key[0], keys, key[1], said=said), general)

    def _assuming(
        self, format: str, facts: Facts, general: Function, shape: int | None = None
    ) -> Function:
        """The function that takes `facts` for granted, the one in JSON where that is wanted."""
        program = self.program
        try:
            made = Unit(program, format, shape=shape, facts=facts, usual=general).compile()
            if self._encoded:
                told = replace(facts, encoded=True)
                made = Unit(program, format, shape=shape, facts=told, usual=made).compile()
        except _FAILURES:
            return general
        return made

    # Texts: a function for each pattern of the first group

    def _text(self) -> Function:
        program = self.program
        index = first_match(program)
        match = None if index is None else program.block[index]
        if reads_message(program) or not isinstance(match, Match):
            return self._general("text")
        if any(shape.when is not None for shape in match.shapes):
            return self._general("text")
        cells = [self._cell(number) for number in range(len(match.shapes))]
        table, always = dispatch(match.shapes)
        plans = {
            word: tuple((needle, fits, longest, cells[n]) for n, needle, fits, longest in plan)
            for word, plan in table.items()
        }
        rest = tuple((needle, fits, longest, cells[n]) for n, needle, fits, longest in always)
        others = any(isinstance(s, Match) for n, s in enumerate(program.block) if n != index)
        unfitting = _Lazy(lambda: self._shaped(-1))

        def dispatched(
            f: dict[str, Any],
            text: str,
            h: Header,
            o: Origin,
            offset: int,
            id: str,
            original: str,
            must: bool = False,
        ) -> Made | None:
            for needle, fits, longest, cell in plans.get(text.partition(" ")[0], rest):
                if len(text) <= longest and needle in text:
                    found = fits(text)
                    if found is not None:
                        return cell[h is NO_HEADER](found, text, h, o, offset, id, original, must)
            if must and not others:
                return None
            return unfitting(f, text, h, o, offset, id, original, must)

        return dispatched

    def _cell(self, shape: int) -> list[Function]:
        """The functions of a shape for lines with and without a header."""
        general = _Lazy(lambda: self._shaped(shape))
        cell: list[Function] = []

        def first(headless: bool) -> Function:
            def make(*arguments: Any) -> Made | None:
                cell[headless] = self._assuming("text", Facts(headless), general, shape)
                return cell[headless](*arguments)

            return make

        cell += [first(False), first(True)]
        return cell

    # Texts behind a common header: a function for each pattern and program

    def attempts(self, program: str, head: str) -> tuple[Attempt, ...] | None:
        """What to try on texts of a program that begin with `head`, behind a common header.

        A text that fits none of the patterns is for `function`; None if all are.
        """
        index = first_match(self.program)
        match = None if index is None else self.program.block[index]
        if not self._encoded or self._watch is not None or reads_message(self.program):
            return None
        if not isinstance(match, Match) or any(shape.when is not None for shape in match.shapes):
            return None
        if program not in self._common:
            if len(self._common) >= MAX_PROGRAMS:
                return None
            numbers = range(len(match.shapes))
            self._common[program] = [self._common_cell(number, program) for number in numbers]
        cells = self._common[program]
        return tuple(
            (needle, fits, longest, cells[number], number)
            for number, needle, fits, longest in plan_of(match.shapes, head)
        )

    def whole(self, program: str, shape: int, numbered: bool) -> Whole | None:
        """A shape's pattern behind the common header of a program, for lines from character 15 on.

        `numbered`: the header has a process id.

        With it the longest line it may be given, and the function, which takes its groups. None
        where the pattern means something else if a text stands before it.
        """
        key = (program, shape, numbered)
        if key not in self._whole:
            index = first_match(self.program)
            match = None if index is None else self.program.block[index]
            regex = match.shapes[shape].regex if isinstance(match, Match) else None
            made = None if regex is None else behind_header(program, regex, numbered)
            self._whole[key] = (
                None
                if made is None or regex is None
                else (made, regex.longest, self._common_cell(shape, program, numbered))
            )
        return self._whole[key]

    def _common_cell(
        self, shape: int, program: str, numbered: bool | None = None
    ) -> list[Function]:
        """The function of a shape for lines of a program with a common header."""
        cell: list[Function] = []

        def make(*arguments: Any) -> Made | None:
            facts = Facts(common=program, encoded=True, numbered=numbered)
            cell[0] = self._short("text", facts, shape)
            return cell[0](*arguments)

        cell.append(make)
        return cell

    def grouped(
        self,
        format: str,
        groups: Groups,
        keys: dict[str, type],
        source: str,
        *,
        headless: bool = True,
    ) -> Function:
        """The function for lines of a source whose fields, named by `keys`, are groups of a match.

        It gives None for a line that is for `function`.
        """
        facts = Facts(headless, keys, source, encoded=True, groups=groups)
        read = (groups.regex.pattern, groups.names, tuple(groups.labels.items()))
        return self._once((format, headless, source, tuple(keys.items()), read), format, facts)

    def canonical(
        self, keys: dict[str, type], source: str, nodes: dict[Any, dict[str, type]] | None = None
    ) -> Function:
        """The function for objects with these keys whose line is just their JSON.

        `nodes` are the keys of objects within them; of those directly within, the caller makes
        sure. It gives None for a line that is for `function`.
        """
        named = source if self.by_source else None
        facts = Facts(True, keys, named, encoded=True, canonical=True, nodes=nodes or {})
        inside = tuple((path, tuple(kinds.items())) for path, kinds in facts.nodes.items())
        return self._once((named, tuple(keys.items()), inside), "json", facts)

    def sampled(self, sample: Sample) -> tuple[Callable[[str], Any], Function] | None:
        """What fits all lines like a sample, and the function for the groups; None if none can be.

        The function gives None for a line that is for `function`.
        """
        nodes = sample.kinds()
        keys = nodes.pop(())
        facts = Facts(True, keys, None, encoded=True, canonical=True, nodes=nodes, sample=sample)
        made = self._short("json", facts)
        return None if made is long_way else (compiled(sample.expression()[0]), made)

    def _once(self, key: Any, format: str, facts: Facts) -> Function:
        """A function that is made once, however many stages ask for it."""
        found = self._known.get(key)
        if found is None:
            found = self._short(format, facts)
            if found is not long_way:  # so that there are at most MAX_SPECIAL
                self._known[key] = found
        return found

    @cached_property
    def by_source(self) -> bool:
        """Whether what is made of a line depends on the name of its source."""
        return "header='source'" in repr(self.program.block)

    def _short(self, format: str, facts: Facts, shape: int | None = None) -> Function:
        if not self._encoded or self._watch is not None or self._specials >= MAX_SPECIAL:
            return long_way
        self._specials += 1
        try:
            return Unit(self.program, format, shape=shape, facts=facts).compile()
        except _FAILURES:
            return long_way

    def _shaped(self, shape: int) -> Function:
        """The function for a shape that takes nothing else for granted."""
        try:
            return Unit(self.program, "text", shape=shape).compile()
        except _FAILURES:
            return self.interpreted("text")


_KINDS = frozenset({"text", "windows", "json", "access", "csv", "cef", "leef", "kv"})


def long_way(*_: Any) -> None:
    """What is for the function that takes nothing for granted."""


class _Lazy:
    """A function that is made when it is first called."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Function]) -> None:
        self._make = make
        self._made: Function | None = None

    def __call__(self, *arguments: Any) -> Made | None:
        if self._made is None:
            self._made = self._make()
        return self._made(*arguments)


def class_of(value: Any) -> type:
    """What is taken for granted of values like this one: that they are texts, or nothing."""
    return str if isinstance(value, str) and not absent(value) else object
