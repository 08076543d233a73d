"""A set of mappings, ready to run: recognition and the programs together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ingest.mapping import plain
from ingest.mapping.loading import load_programs
from ingest.mapping.recognition import Recognizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ingest.mapping.line import Line
    from ingest.mapping.plain import Ran
    from ingest.mapping.program import Entry, Program
    from tocsin.contracts import Document


@dataclass(slots=True)
class Mapped:
    """What a mapping made of a line."""

    document: Document
    #: When it happened, milliseconds.
    at: int
    program: Program
    #: The provider's own id, None where there is none that can be trusted.
    identity: str | None
    ran: Ran


class Library:
    """Mappings that were loaded together."""

    def __init__(self, programs: Iterable[Program]) -> None:
        self.programs = {program.id: program for program in programs}
        self.recognizer = Recognizer(self.programs.values())

    def map_fields(self, line: Line) -> Mapped | None:
        """The event of a framed line, None if no mapping knows it."""
        return self._first(line, self.recognizer.of_fields(line))

    def map_text(self, line: Line) -> Mapped | None:
        """The event of a text, None if no mapping knows it."""
        return self._first(line, self.recognizer.of_text(line))

    def _first(self, line: Line, known: Iterator[tuple[Entry, Program]]) -> Mapped | None:
        """The event of the best mapping, but rather of one that has a pattern for the text."""
        fallback: Mapped | None = None
        tried: set[str] = set()
        for _, program in known:
            if program.id in tried:
                continue
            tried.add(program.id)
            mapped = self._run(program, line)
            if mapped.ran.fits:
                return mapped
            fallback = fallback or mapped
            if len(tried) >= MAX_TRIED:
                break
        return fallback

    def _run(self, program: Program, line: Line) -> Mapped:
        ran = plain.run(program, line)
        at, written = ran.out["@timestamp"]
        ran.out["@timestamp"] = written
        return Mapped(ran.document(program, line), at, program, ran.identity, ran)


#: Most mappings that are run on one line.
MAX_TRIED = 4


@lru_cache(1)
def builtin() -> Library:
    """The mappings that come with Tocsin; raises ContentErrors."""
    return Library(load_programs().values())


def look(document: Any, path: str) -> Any:
    """The value at a dotted path of a document, None if there is none."""
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document
