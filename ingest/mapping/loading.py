"""Loading mappings: all of them, or all that is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ingest.mapping.building import build
from ingest.mapping.source import MAX_BYTES, read_source
from tocsin.errors import ContentErrors, MappingError, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ingest.mapping.program import Program

#: The mappings that come with Tocsin.
BUILTIN = Path(__file__).parent.parent / "mappings"

_SUFFIXES = (".yml", ".yaml")


def read_programs(paths: Iterable[Path], errors: list[MappingError]) -> dict[str, Program]:
    """The programs of all mapping files at or below `paths` by id; mistakes go to `errors`.

    A later path's mapping replaces an earlier one's of the same id, so that a site can have its
    own version of a mapping that comes with Tocsin.
    """
    found: dict[str, Program] = {}
    for path in paths:
        here: dict[str, Program] = {}
        for file in _files(path, errors):
            source = read_source(str(file), file.read_bytes()[: MAX_BYTES + 1])
            program = build(source)
            errors.extend(source.errors)
            if program is None:
                continue
            if program.id in here:
                errors.append(
                    MappingError(
                        f"the id {program.id} is taken by {here[program.id].file}",
                        source.place(("id",)),
                    )
                )
                continue
            here[program.id] = program
        found |= here
    return found


def _files(path: Path, errors: list[MappingError]) -> Sequence[Path]:
    if path.is_dir():
        return sorted(f for f in path.rglob("*") if f.suffix in _SUFFIXES and f.is_file())
    if path.is_file():
        return [path]
    errors.append(MappingError("there is no such file or directory", Place(str(path))))
    return []


def load_programs(paths: Sequence[Path] = (), *, builtin: bool = True) -> dict[str, Program]:
    """All programs by id; raises ContentErrors with every mistake."""
    errors: list[MappingError] = []
    programs = read_programs([BUILTIN] * builtin + list(paths), errors)
    if errors:
        raise ContentErrors(errors)
    return programs
