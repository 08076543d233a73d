"""`tocsin playbook import-cacao | export-cacao`: CACAO 2.0 in and out, with what is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from playbooks.cacao.exporting import export_cacao
from playbooks.cacao.importing import import_cacao
from playbooks.cacao.problems import Level, Problem, Problems
from playbooks.cacao.reading import read_cacao
from playbooks.cacao.validate import validate
from playbooks.loading import load_playbook, load_playbooks
from playbooks.source import read_source
from playbooks.writing import to_yaml
from responders.catalog import known_actions
from tocsin.cli.options import config_option, json_option
from tocsin.clock import SystemClock, iso
from tocsin.config import load
from tocsin.errors import ConfigError
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

_output = click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file."
)
_report = click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what is lost to this file, as JSON.",
)

_HEADER = """Imported from CACAO by `tocsin playbook import-cacao`.
Write the trigger, and put a verb with hold and guard in the place of each cacao.… action."""


@click.command("import-cacao")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_output
@_report
@json_option
@click.option("--strict", is_flag=True, help="Refuse every deviation from the standard.")
@click.option("--keep-secrets", is_flag=True, help="Take passwords and tokens over as they are.")
def import_command(
    file: Path,
    output: Path | None,
    report: Path | None,
    as_json: bool,
    strict: bool,
    keep_secrets: bool,
) -> None:
    """Turn a CACAO 2.0 playbook into a Tocsin playbook; what is lost goes to standard error.

    A playbook that breaks the standard is refused with all reasons (exit code 2).
    """
    problems = Problems()
    playbook = read_cacao(file.read_bytes(), problems)
    if playbook is not None:
        validate(playbook, problems)
    if as_json and problems.of(Level.ERROR):
        _tell(problems.found, None, as_json=True, aside=output is None)
    problems.refuse(str(file), strict=strict)
    if playbook is None:
        raise ConfigError(f"{file} holds no playbook")
    text = to_yaml(import_cacao(playbook, problems, keep_secrets=keep_secrets), _HEADER)
    load_playbook(str(output or f"{file} as a playbook"), text.encode(), known_actions())
    _put(text, output)
    _tell(problems.found, report, as_json=as_json, aside=output is None)


@click.command("export-cacao")
@config_option
@click.argument("playbook")
@_output
@_report
@json_option
def export_command(
    config: Path | None, playbook: str, output: Path | None, report: Path | None, as_json: bool
) -> None:
    """Turn a playbook (its id, or a file) into CACAO 2.0; what is lost goes to standard error."""
    path = file_of(config, playbook)
    data = path.read_bytes()
    load_playbook(str(path), data, known_actions())
    document: dict[str, Any] = read_source(str(path), data).value
    problems = Problems()
    exported = export_cacao(document, problems, at=iso(SystemClock().now()))
    checked = Problems()
    validate(exported, checked)
    checked.refuse(f"{path} as CACAO")
    _put(json.dumps(exported, indent=2) + "\n", output)
    _tell(problems.found, report, as_json=as_json, aside=output is None)


def file_of(config: Path | None, playbook: str) -> Path:
    """The file of a playbook, given as its path or as the id of a loaded one."""
    if Path(playbook).is_file():
        return Path(playbook)
    settings = load(config)
    loaded = load_playbooks(
        settings.playbooks.paths, settings.playbooks.builtin, actions=known_actions()
    )
    found = loaded.playbooks.get(playbook)
    if found is None:
        raise ConfigError(
            f"{playbook} is no file and no playbook's id; loaded are: "
            f"{', '.join(sorted(loaded.playbooks)) or 'none'}"
        )
    return Path(found.origin)


def _put(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, "utf-8")


def _tell(found: Iterable[Problem], report: Path | None, *, as_json: bool, aside: bool) -> None:
    """Say what deviates and what is lost, on standard error unless standard output is free."""
    rows = [problem.to_json() for problem in found]
    if report is not None:
        report.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")
    for row in rows:
        if as_json:
            click.echo(json.dumps(row), err=aside)
            continue
        hint = f" ({row['suggestion']})" if "suggestion" in row else ""
        line = f"{row['level']}: {row['pointer'] or '/'}: {row['message']}{hint}"
        click.echo(printable(line), err=True)
