"""`tocsin rules lint`: what is wrong, doubtful or dear about rules, by file and line."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from detect.lint import CHECKS, LEVELS, Issue
from detect.lint import lint as look_at
from tocsin.cli.options import config_option, json_option
from tocsin.cli.output import json_lines
from tocsin.config import load
from tocsin.errors import ConfigError
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@config_option
@json_option
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    default="advice",
    show_default=True,
    help="Say this and what is worse.",
)
@click.option(
    "--fail-on",
    type=click.Choice(LEVELS),
    default="error",
    show_default=True,
    help="Exit with 1 if there is this or worse.",
)
@click.option("--ignore", multiple=True, metavar="CHECK", help="Leave a check out; repeatable.")
@click.option("--checks", is_flag=True, help="List the checks and what they recommend.")
def lint(
    paths: tuple[Path, ...],
    config: Path | None,
    as_json: bool,
    level: str,
    fail_on: str,
    ignore: tuple[str, ...],
    checks: bool,
) -> None:
    """Look at rules: PATHS (files, directories, archives), or without any the configured ones.

    Mistakes that loading finds are told too, all at once. Exit code 1 if there is anything of
    --fail-on or worse.
    """
    if checks:
        for check in CHECKS:
            click.echo(f"{check.level:8} {check.name:24} {(check.__doc__ or '').splitlines()[0]}")
        return
    known = {check.name for check in CHECKS} | {"unevaluated"}
    if unknown := set(ignore) - known:
        raise ConfigError(f"there is no check {min(unknown)}; `tocsin rules lint --checks` lists")
    settings = load(config).rules
    issues = look_at(
        paths or settings.paths,
        builtin=settings.builtin and not paths,
        ignore=set(ignore),
        placeholders=settings.placeholders,
    )
    shown = [issue for issue in issues if _worse(issue, level)]
    if as_json:
        json_lines(_document(issue) for issue in shown)
    else:
        for issue in shown:
            click.echo(printable(issue))
    _summary(issues)
    sys.exit(1 if any(_worse(issue, fail_on) for issue in issues) else 0)


def _worse(issue: Issue, level: str) -> bool:
    """Whether the issue is of that level or worse."""
    return LEVELS.index(issue.level) <= [*LEVELS].index(level)  # type: ignore[arg-type]


def _document(issue: Issue) -> dict[str, object]:
    place = issue.place
    return {
        **{key: value for key, value in asdict(issue).items() if key != "place"},
        "file": place.path,
        "line": place.line,
        "column": place.column,
        "key": place.key,
    }


def _summary(issues: Sequence[Issue]) -> None:
    levels = Counter(issue.level for issue in issues)
    told = ", ".join(f"{levels[level]} {_PLURAL[level]}" for level in LEVELS)
    click.echo(told, err=True)


_PLURAL = {"error": "errors", "warning": "warnings", "advice": "pieces of advice"}
