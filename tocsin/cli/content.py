"""`tocsin playbook`: looking at playbooks before they run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from playbooks import testing
from playbooks.editor import schema
from playbooks.loading import LIBRARY, TESTS, load_playbook, neighbours
from playbooks.picture import to_mermaid, to_svg
from playbooks.skeleton import SCHEMA_FILE, header, skeleton
from responders.catalog import known_actions
from tocsin.cli.cacao import export_command, file_of, import_command
from tocsin.cli.loading import load_content
from tocsin.cli.options import config_option
from tocsin.cli.planning import explain_command, impact_command, plan_command
from tocsin.cli.quarantine import quarantine_command, release_command
from tocsin.cli.verbs import verbs_command
from tocsin.config import load
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.group()
def playbook() -> None:
    """Playbooks."""


playbook.add_command(import_command)
playbook.add_command(export_command)
playbook.add_command(plan_command)
playbook.add_command(explain_command)
playbook.add_command(impact_command)
playbook.add_command(quarantine_command)
playbook.add_command(release_command)
playbook.add_command(verbs_command)


@playbook.command("schema")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False))
def print_schema(output: Path | None) -> None:
    """Print the JSON Schema of playbook files, for editors.

    With -o it goes to a file, and the line is shown that makes an editor use it.
    """
    text = json.dumps(schema(), indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, "utf-8")
    click.echo(f"first line of a playbook beside it: {header(output.name)}", err=True)


@playbook.command("new")
@click.argument("name")
@click.option(
    "-d",
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("playbooks"),
    show_default=True,
)
def new(name: str, directory: Path) -> None:
    """Write a first playbook NAME with its tests, and the schema for the editor."""
    made = skeleton(name)
    directory.mkdir(parents=True, exist_ok=True)
    files = {directory / file: text for file, text in made.items()}
    if there := [str(path) for path in files if path.exists() and path.name != SCHEMA_FILE]:
        raise ConfigError(f"not overwritten: {', '.join(there)}")
    for path, text in files.items():
        path.write_text(text, "utf-8")
        click.echo(str(path))
    click.echo(f"try: tocsin playbook test {directory}", err=True)


@playbook.command("show")
@config_option
@click.argument("name")
@click.option(
    "--format",
    "form",
    type=click.Choice(["mermaid", "svg", "json"]),
    default="mermaid",
    show_default=True,
    help="json is the canonical form, which a run pins.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False))
def show(config: Path | None, name: str, form: str, output: Path | None) -> None:
    """Draw the flow of a playbook (its id, or a file)."""
    path = file_of(config, name)
    actions = known_actions()
    loaded = load_playbook(str(path), path.read_bytes(), actions)
    match form:
        case "svg":
            text = to_svg(loaded.document, actions)
        case "json":
            text = json.dumps({"hash": loaded.hash, **loaded.source}, indent=2) + "\n"
        case _:
            text = to_mermaid(loaded.document, actions)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, "utf-8")


@playbook.command("validate")
@config_option
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
def validate(config: Path | None, paths: tuple[Path, ...]) -> None:
    """Check playbooks: those of the configuration, and further files or directories."""
    settings = load(config)
    both = settings.playbooks.model_copy(update={"paths": (*settings.playbooks.paths, *paths)})
    content = load_content(settings.model_copy(update={"playbooks": both}))
    for one in content.playbooks:
        click.echo(f"{one.id} version {one.version}: valid ({one.origin})")


@playbook.command("test")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
def test_playbooks(paths: tuple[Path, ...]) -> None:
    """Run the `.test.yml` files beside playbooks; without PATHS, those of the library.

    All verbs count as served: a test scripts their answers, no product is called.
    """
    served = known_actions()
    failed = total = 0
    for file in _test_files(paths or (LIBRARY,)):
        subject = _subject(file)
        data = subject.read_bytes()
        around = neighbours(subject, served, served) if b"run:" in data else {}
        loaded = load_playbook(str(subject), data, served, served, around)
        for case in testing.load_cases(str(file), file.read_bytes()):
            total += 1
            played: Any = testing.run_test(loaded, case)
            failed += bool(played.problems)
            for problem in played.problems:
                click.echo(f"{file}: {case.name}: {problem}", err=True)
    if not total:
        raise ConfigError(f"no tests found: they stand in NAME{TESTS[0]} beside NAME.yml")
    click.echo(f"{total - failed} of {total} tests passed", err=True)
    sys.exit(1 if failed else 0)


def _test_files(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(f for f in path.rglob("*") if f.name.endswith(TESTS))
        else:
            yield path


def _subject(test: Path) -> Path:
    """The playbook that a test is beside; raises ConfigError if there is none."""
    stem, found, _ = test.name.partition(".test.")
    if not found:
        raise ConfigError(f"{test} is no test; tests of NAME.yml stand in NAME.test.yml beside it")
    for suffix in (".yml", ".yaml"):
        if (subject := test.with_name(stem + suffix)).exists():
            return subject
    raise ConfigError(f"{test} tests {stem}.yml, which is not beside it")
