"""`tocsin scan PATH…`: the command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from detect.sigma import load_rules
from tocsin.cli.loading import looking_cache, rule_set
from tocsin.cli.options import config_option
from tocsin.cli.scan import inputs
from tocsin.cli.scan.formats import FORMATS, LEVELS
from tocsin.cli.scan.matching import Scanned, scan
from tocsin.clock import SystemClock
from tocsin.config import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.sigma.ruleset import RuleSet

#: Problems with records that are shown one by one.
SHOWN_PROBLEMS = 20


@click.command("scan")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@config_option
@click.option(
    "--rules",
    "rules",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Rules (file, directory, archive) in place of the configured ones; may be repeated.",
)
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), default="table", show_default=True
)
@click.option("--output", type=click.Path(path_type=Path), help="Write there, not to the screen.")
@click.option("--input-field", help="Each line is a JSON object; the event is in this field of it.")
@click.option("--level", type=click.Choice(LEVELS), help="Show rules of this level and above only.")
@click.option("--fail-on", type=click.Choice(LEVELS), help="Exit with 1 if this level is hit.")
@click.option("--jobs", type=click.IntRange(1), help="Processes; by default one for each core.")
@click.option("--allow-errors", is_flag=True, help="Go on without the rules that are wrong.")
def command(
    paths: tuple[Path, ...],
    config: Path | None,
    rules: tuple[Path, ...],
    form: str,
    output: Path | None,
    input_field: str | None,
    level: str | None,
    fail_on: str | None,
    jobs: int | None,
    allow_errors: bool,
) -> None:
    """Hunt in files: logs, JSON lines, Windows event logs, directories of them, gzip too.

    Records are normalized as in the pipeline and matched with every rule.
    """
    ruleset = _rules(config, rules, allow_errors)
    files = inputs.files(paths)
    progress = inputs.Progress()
    chunks = inputs.chunks(files, progress, input_field)
    cores = jobs or os.cpu_count() or 1
    scanned = scan(chunks, ruleset, SystemClock().now(), cores)
    hits, records, problems = [], 0, list[str]()
    for part in _shown(scanned, progress):
        records += part.records
        problems += part.problems
        hits += [hit for hit in part.hits if level is None or _at_least(hit.level, level)]
    with click.open_file(str(output or "-"), "w", encoding="utf-8") as stream:
        FORMATS[form](hits, stream)
    _say(records, len(files), len(hits), [*progress.problems, *problems], ruleset)
    if fail_on is not None and any(_at_least(hit.level, fail_on) for hit in hits):
        sys.exit(1)


def _rules(config: Path | None, paths: tuple[Path, ...], allow_errors: bool) -> RuleSet:
    settings = load(config)
    if not paths:
        return rule_set(settings)
    ruleset = load_rules(
        list(paths), builtin=False, allow_errors=allow_errors, cache=looking_cache(settings)
    )
    for error in ruleset.errors:
        click.echo(f"tocsin: a rule is left out: {error}", err=True)
    return ruleset


def _at_least(level: str, wanted: str) -> bool:
    return LEVELS.index(level) >= LEVELS.index(wanted)


def _shown(scanned: Iterator[Scanned], progress: inputs.Progress) -> Iterator[Scanned]:
    """The results, with a bar on a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from scanned
        return
    columns = (
        TextColumn("scanning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("bytes"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("scan", total=None)
        for part in scanned:
            bar.update(task, completed=progress.read, total=progress.total)
            yield part


def _say(records: int, files: int, hits: int, problems: list[str], ruleset: RuleSet) -> None:
    for problem in problems[:SHOWN_PROBLEMS]:
        click.echo(f"tocsin: {problem}", err=True)
    if len(problems) > SHOWN_PROBLEMS:
        click.echo(f"tocsin: {len(problems) - SHOWN_PROBLEMS} more like these", err=True)
    left_out = len(ruleset.unsupported)
    click.echo(
        f"tocsin: {records} records of {files} files, {len(ruleset.rules)} rules"
        f"{f' ({left_out} cannot be evaluated: tocsin rules check)' if left_out else ''}, "
        f"{hits} hits, {len(problems)} records or files could not be read",
        err=True,
    )
