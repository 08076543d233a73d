"""A set of mappings, ready to run: recognition, and functions that are made on first use."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ingest.mapping import plain
from ingest.mapping.assembling import Unsupported
from ingest.mapping.compiler import Unit, dispatch, first_match
from ingest.mapping.line import Line
from ingest.mapping.loading import load_programs
from ingest.mapping.program import Match
from ingest.mapping.recognition import Recognizer
from tocsin.route import route_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ingest.mapping.line import Header
    from ingest.mapping.origin import Origin
    from ingest.mapping.plain import Ran
    from ingest.mapping.program import Program
    from tocsin.contracts import Document

    #: A document, its time (ms) and its header `route`.
    Made = tuple[Document, int, bytes]
    #: (fields or match, text, header, origin, offset, id, original, must) → Made; None only if
    #: the text must fit a pattern of the mapping and fits none.
    Function = Callable[..., Made | None]
    Watch = Callable[[Line, Program, Ran], None]

#: Most mappings that are run on one line.
MAX_TRIED = 4


class Runner:
    """One mapping: its functions, made when they are first called."""

    def __init__(self, program: Program, watch: Watch | None = None) -> None:
        """With `watch` the program is interpreted, and every run is told."""
        self.program = program
        self._watch = watch
        self._functions: dict[str, Function] = {}

    def function(self, format: str) -> Function:
        """The function for lines of a format."""
        kind = format if format in ("text", "windows") else "fields"
        found = self._functions.get(kind)
        if found is None:
            found = self._functions[kind] = self._make(format)
        return found

    def _make(self, format: str) -> Function:
        if self._watch is not None:
            return self._interpreted(format)
        try:
            if format == "text":
                return self._text()
            compiled = Unit(self.program, format).compile()
        except (Unsupported, SyntaxError, RecursionError, MemoryError):
            return self._interpreted(format)
        if format != "windows":
            return compiled
        interpreted = self._interpreted(format)

        def windows(f: dict[str, Any], *rest: Any) -> Made | None:
            # What a shipper says in ECS itself has fields that nobody knows beforehand.
            return interpreted(f, *rest) if f.get("ecs") else compiled(f, *rest)

        return windows

    def _interpreted(self, format: str) -> Function:
        program, watch = self.program, self._watch

        def interpreted(
            f: dict[str, Any],
            text: str,
            h: Header,
            o: Origin,
            offset: int,
            id: str,
            original: str,
            must: bool = False,
        ) -> Made | None:
            line = Line(format, f, text, h, o.source, o.received, o.zone)
            ran = plain.run(program, line)
            if must and not ran.fits:
                return None
            document, at = plain.finish(program, ran, line, o, offset, id, original)
            if watch is not None:
                watch(line, program, ran)
            return document, at, route_of(document)

        return interpreted

    # Texts: one function per pattern of the first group

    def _text(self) -> Function:
        program = self.program
        index = first_match(program)
        if index is None or program.decode:
            return Unit(program, "text").compile()
        match = program.block[index]
        if not isinstance(match, Match) or any(s.when is not None for s in match.shapes):
            return Unit(program, "text").compile()
        cells: list[list[Function]] = [self._cell(number) for number in range(len(match.shapes))]
        table, always = dispatch(match.shapes)
        plans: dict[str, tuple[tuple[Callable[[str], Any], int, list[Function]], ...]] = {
            word: tuple((fits, longest, cells[number]) for number, fits, longest in plan)
            for word, plan in table.items()
        }
        rest = tuple((fits, longest, cells[number]) for number, fits, longest in always)
        others = any(isinstance(s, Match) for n, s in enumerate(program.block) if n != index)
        unfitting = self._cell(-1)

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
            for fits, longest, cell in plans.get(text.partition(" ")[0], rest):
                if len(text) <= longest:
                    found = fits(text)
                    if found is not None:
                        return cell[0](found, text, h, o, offset, id, original, must)
            if must and not others:
                return None
            return unfitting[0](f, text, h, o, offset, id, original, must)

        return dispatched

    def _cell(self, shape: int) -> list[Function]:
        """A place for the function of a shape, which makes it when it is first called."""
        cell: list[Function] = []
        program = self.program

        def usual(*arguments: Any) -> Made | None:
            """For lines that are not of the usual kind."""
            full.append(Unit(program, "text", shape=shape).compile()) if not full else None
            return full[0](*arguments)

        full: list[Function] = []

        def first(*arguments: Any) -> Made | None:
            try:
                assume = usual if shape >= 0 else None
                cell[0] = Unit(program, "text", shape=shape, assume=assume).compile()
            except (Unsupported, SyntaxError, RecursionError, MemoryError):
                cell[0] = self._again
            return cell[0](*arguments)

        cell.append(first)
        return cell

    def _again(self, found: Any, text: str, *rest: Any) -> Made | None:
        return self._interpreted("text")({"message": text}, text, *rest)


class Library:
    """Mappings that were loaded together."""

    def __init__(self, programs: Iterable[Program], watch: Watch | None = None) -> None:
        self.programs = {program.id: program for program in programs}
        self.runners = {id: Runner(program, watch) for id, program in self.programs.items()}
        self.recognizer = Recognizer(self.programs.values())


@lru_cache(1)
def builtin() -> Library:
    """The mappings that come with Tocsin; raises ContentErrors."""
    return Library(load_programs().values())
