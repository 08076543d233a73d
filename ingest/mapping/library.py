"""A set of mappings, ready to run: recognition and the programs together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ingest.mapping import plain, shipped
from ingest.mapping.loading import load_programs
from ingest.mapping.recognition import Recognizer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.mapping.line import Line
    from ingest.mapping.plain import Ran
    from ingest.mapping.program import Program
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
    line: Line


class Library:
    """Mappings that were loaded together."""

    def __init__(self, programs: Iterable[Program]) -> None:
        self.programs = {program.id: program for program in programs}
        self.recognizer = Recognizer(self.programs.values())

    def map_fields(self, line: Line) -> Mapped | None:
        """The event of a framed line, None if no mapping knows it."""
        for _, program in self.recognizer.of_fields(line):
            return self._run(program, line)
        return None

    def map_text(self, line: Line) -> Mapped | None:
        """The event of a text by the best mapping, but rather by one with a pattern for it.

        None if no mapping knows it. `Mapped.ran.fits` is False where no pattern fits.
        """
        fallback: Mapped | None = None
        tried: set[tuple[str, str]] = set()
        for _, program, framed in self.recognizer.of_text(line):
            name = (program.id, framed.format)
            if name in tried:
                continue
            tried.add(name)
            mapped = self._run(program, framed)
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
        if line.format == "windows" and "ecs" in line.fields:
            shipped.add(ran.out, line.fields["ecs"])
        return Mapped(ran.document(program, line), at, program, ran.identity, ran, line)


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
