"""Formats that a source says it has: they are tried before anything is recognised.

A name is a frame (`cef`, `json` …), a dataset (`web.access`) or the first part of datasets
(`web`). Lines are read by the mappings of these names alone; a line that none of them knows goes
the way of all others, and is counted: a wrong name is never fatal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.normalizer import Normalizer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.mapping.library import Library
    from ingest.mapping.origin import Origin
    from ingest.mapping.program import Program
    from ingest.mapping.runner import Made

#: Names of frames, `ecs` for what is ECS already.
FRAMES = frozenset(
    {
        *("json", "windows", "cef", "leef", "kv", "csv", "w3c", "access", "auditd", "xml"),
        *("text", "ecs"),
    }
)

#: Sets of names that are kept ready; sources have few.
MAX_SETS = 64


class Expected:
    """Reads lines as their source says they are."""

    def __init__(self, library: Library, *, encoded: bool) -> None:
        self._library = library
        self._encoded = encoded
        self._normalizers: dict[str, Normalizer | None] = {}

    def made(self, data: bytes, origin: Origin, offset: int, id: str) -> list[Made] | None:
        """The events of a raw record, None if it is not what `origin.formats` says.

        Raises BadInput.
        """
        formats = origin.formats
        normalizer = self._normalizers.get(formats)
        if normalizer is None:
            normalizer = self._normalizer(formats)
            if normalizer is None:
                return None
        made = normalizer.made(data, origin, offset, id)
        frames = formats.split(",")
        return made if all(_is_expected(one, frames) for one in made) else None

    def _normalizer(self, formats: str) -> Normalizer | None:
        if formats not in self._normalizers and len(self._normalizers) < MAX_SETS:
            names = formats.split(",")
            known = [one for one in self._library.programs.values() if _is_named(one, names)]
            usable = known or not FRAMES.isdisjoint(names)
            self._normalizers[formats] = (
                Normalizer(self._library.of(known), encoded=self._encoded) if usable else None
            )
        return self._normalizers.get(formats)


def unknown_names(formats: Iterable[str], library: Library) -> list[str]:
    """Those of the names that are no frame and of no dataset."""
    programs = library.programs.values()
    return [
        name
        for name in formats
        if name not in FRAMES and not any(_is_named(one, [name]) for one in programs)
    ]


def _is_named(program: Program, names: list[str]) -> bool:
    frames = {entry.format for entry in program.entries}
    return any(
        name == program.id or program.id.startswith(f"{name}.") or name in frames for name in names
    )


def _is_expected(made: Made, frames: list[str]) -> bool:
    """Whether a mapping has made an event; of the generic one and of ECS, whether it is named."""
    document = made[0]
    if not isinstance(document, dict):
        return True  # only mappings make JSON
    first, _, frame = document["tocsin"]["parser"]["name"].partition(".")
    if first == "generic":
        return frame in frames
    return first != "ecs" or frame != "" or "ecs" in frames
