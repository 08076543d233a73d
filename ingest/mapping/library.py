"""A set of mappings, ready to run: recognition, and the functions of each mapping."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ingest.mapping.loading import load_programs
from ingest.mapping.recognition import Recognizer
from ingest.mapping.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.mapping.program import Program
    from ingest.mapping.runner import Watch


class Library:
    """Mappings that were loaded together."""

    def __init__(self, programs: Iterable[Program], watch: Watch | None = None) -> None:
        """`watch` is told of every run; mappings are interpreted then."""
        self.programs = {program.id: program for program in programs}
        self.recognizer = Recognizer(self.programs.values())
        self._watch = watch
        self._runners: dict[bool, dict[str, Runner]] = {}

    def of(self, programs: Iterable[Program]) -> Library:
        """A library of some of the mappings, watched as this one is."""
        return Library(programs, self._watch)

    def runners(self, *, encoded: bool = False) -> dict[str, Runner]:
        """The runner of each mapping; `encoded` ones may make JSON instead of documents."""
        encoded = encoded and self._watch is None
        if encoded not in self._runners:
            self._runners[encoded] = {
                id: Runner(program, encoded=encoded, watch=self._watch)
                for id, program in self.programs.items()
            }
        return self._runners[encoded]


@lru_cache(1)
def builtin() -> Library:
    """The mappings that come with Tocsin; raises ContentErrors."""
    return Library(load_programs().values())
