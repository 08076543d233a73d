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


def read_programs(
    paths: Iterable[Path], errors: list[MappingError], *, lazy: bool = False
) -> dict[str, Program]:
    """The programs of all mapping files at or below `paths` by id; mistakes go to `errors`.

    A later path's mapping replaces an earlier one's of the same id, so that a site can have its
    own version of a mapping that comes with Tocsin. With `lazy` mistakes in statements are found
    when a mapping is first used: for mappings that are known to be right.
    """
    found: dict[str, Program] = {}
    for path in paths:
        here: dict[str, Program] = {}
        for file in _files(path, errors):
            source = read_source(str(file), file.read_bytes()[: MAX_BYTES + 1])
            program = build(source, lazy=lazy)
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
    """All programs by id; raises ContentErrors with every mistake.

    Those that come with Tocsin are tested with it, so they are only read as far as recognising
    lines needs it: two hundred would otherwise take seconds at every start.
    """
    errors: list[MappingError] = []
    programs = read_programs([BUILTIN] * builtin, errors, lazy=True)
    programs |= read_programs(paths, errors)
    if errors:
        raise ContentErrors(errors)
    return programs
