"""`tocsin mappings`: looking at mappings before they run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingest.mapping import testing
from ingest.mapping.library import Library
from ingest.mapping.loading import BUILTIN, read_programs
from ingest.mapping.model import schema as mapping_schema

if TYPE_CHECKING:
    from tocsin.errors import MappingError

paths_option = click.option(
    "--path",
    "paths",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="Further mappings: a file or directory.",
)


@click.group()
def mappings() -> None:
    """Mappings of products' logs to ECS."""


@mappings.command("validate")
@paths_option
def validate(paths: tuple[Path, ...]) -> None:
    """Load all mappings and say every mistake with its line."""
    errors: list[MappingError] = []
    programs = read_programs((BUILTIN, *paths), errors)
    for error in errors:
        click.echo(str(error), err=True)
    click.echo(f"{len(programs)} mappings are valid, {len(errors)} mistakes", err=True)
    sys.exit(1 if errors else 0)


@mappings.command("test")
@paths_option
@click.argument("ids", nargs=-1)
def test(paths: tuple[Path, ...], ids: tuple[str, ...]) -> None:
    """Run the tests inside mappings, of these ids or of all."""
    errors: list[MappingError] = []
    programs = read_programs((BUILTIN, *paths), errors)
    for error in errors:
        click.echo(str(error), err=True)
    if unknown := set(ids) - set(programs):
        raise click.UsageError(f"no mapping {', '.join(sorted(unknown))}")
    failures = testing.run(Library(programs.values()), ids)
    for failure in failures:
        click.echo(str(failure), err=True)
    count = sum(
        len(program.model.tests)
        for program in programs.values()
        if program.model is not None and (not ids or program.id in ids)
    )
    click.echo(f"{count} tests, {len(failures)} failures", err=True)
    sys.exit(1 if failures or errors else 0)


@mappings.command("list")
@paths_option
def list_mappings(paths: tuple[Path, ...]) -> None:
    """Say which mappings there are."""
    errors: list[MappingError] = []
    for program in read_programs((BUILTIN, *paths), errors).values():
        title = program.model.title if program.model is not None else ""
        click.echo(f"{program.id:32} {program.version:>3}  {title}")


@mappings.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of mapping files, for editors."""
    click.echo(json.dumps(mapping_schema(), indent=2))
