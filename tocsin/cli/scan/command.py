"""`tocsin scan PATH…`: the command."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from detect.lint.attack import placed
from tocsin.cli.loading import chosen_rules
from tocsin.cli.options import config_option, rules_option
from tocsin.cli.scan import inputs
from tocsin.cli.scan.correlating import Spool, correlated
from tocsin.cli.scan.formats import FOR_PROGRAMS, FORMATS, LEVELS, About, Totals
from tocsin.cli.scan.matching import Hit, Scanned, scan
from tocsin.clock import SystemClock
from tocsin.config import load
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from detect.sigma.ruleset import RuleSet
    from tocsin.cli.scan.formats import Writer

#: Problems with records that are shown one by one.
SHOWN_PROBLEMS = 20
#: Mistakes in rules that are shown one by one.
SHOWN_ERRORS = 20


@click.command("scan")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@config_option
@rules_option
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), default="table", show_default=True
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write there, all or nothing."
)
@click.option("--input-field", help="Each line is a JSON object; the event is in this field of it.")
@click.option("--level", type=click.Choice(LEVELS), help="Show rules of this level and above only.")
@click.option("--all", "everything", is_flag=True, help="Show rules that only feed correlations.")
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
    everything: bool,
    fail_on: str | None,
    jobs: int | None,
    allow_errors: bool,
) -> None:
    """Hunt in files: logs, JSON lines, Windows event logs, directories of them, gzip too.

    Records are normalized as in the pipeline and matched with every rule; correlations look at
    all of them in the order of time.

    Exit codes: 0 done; 1 a rule of --fail-on or above was hit; 2 the command, the configuration or
    a rule is wrong; 3 some files could not be read, so there may be more hits.
    """
    began = SystemClock().now()
    ruleset = chosen_rules(load(config), rules, allow_errors=allow_errors)
    for error in ruleset.errors[:SHOWN_ERRORS]:
        click.echo(f"tocsin: a rule is left out: {printable(error)}", err=True)
    files = inputs.files(paths)
    progress = inputs.Progress()
    chunks = inputs.chunks(files, progress, input_field)
    run = _Run(ruleset, progress, level, everything or form in FOR_PROGRAMS, fail_on)
    with Spool() as spool, _opened(output) as stream:
        about = About(len(files) > 1, bool(ruleset.correlations), _places(ruleset))
        writer = FORMATS[form](stream, about)
        scanned = scan(chunks, ruleset, began, jobs or os.cpu_count() or 1)
        drawn = output is not None or form in ("table", "html") or not sys.stdout.isatty()
        for part in _shown(scanned, progress, run) if drawn else scanned:
            run.take(part, writer, spool)
        run.write(correlated(spool, ruleset, SystemClock().now()), writer)
        writer.close(run.totals(len(files), began, SystemClock().now()))
    run.say(len(files))
    sys.exit(run.exit_code())


def _places(ruleset: RuleSet) -> dict[str, frozenset[str]]:
    """The tactics of techniques, as all loaded rules are tagged."""
    every = [rule.rule for rule in ruleset.rules] + [c.rule for c in ruleset.correlations]
    return placed(rule.tags for rule in every)


class _Run:
    """One scan: what is shown of it, and how it ends."""

    def __init__(
        self,
        ruleset: RuleSet,
        progress: inputs.Progress,
        level: str | None,
        everything: bool,
        fail_on: str | None,
    ) -> None:
        self.hits = 0
        self._ruleset = ruleset
        self._progress = progress
        self._level = LEVELS.index(level) if level is not None else 0
        self._everything = everything
        self._fail_on = LEVELS.index(fail_on) if fail_on is not None else len(LEVELS)
        self._records = self._quiet = 0
        self._failed = False

    def take(self, part: Scanned, writer: Writer, spool: Spool) -> None:
        """Write a part's hits, and keep what correlations wait for."""
        self._records += part.records
        for problem in part.problems:
            self._progress.problems.record(problem)
        spool.add(part.grouped)
        self.write(part.hits, writer)

    def write(self, hits: Iterable[Hit], writer: Writer) -> None:
        """Write the hits that are to be shown."""
        chosen: list[Hit] = []
        for hit in hits:
            level = LEVELS.index(hit.level)
            if level < self._level:
                continue
            if not hit.alerts and not self._everything:
                self._quiet += 1
                continue
            self._failed |= level >= self._fail_on and hit.alerts
            chosen.append(hit)
        self.hits += len(chosen)
        writer.add(chosen)

    def totals(self, files: int, began: int, ended: int) -> Totals:
        """What a report says at its head."""
        return Totals(
            records=self._records,
            files=files,
            rules=len(self._ruleset.rules),
            correlations=len(self._ruleset.correlations),
            left_out=len(self._ruleset.unsupported),
            unreadable=self._progress.problems.count,
            began=began,
            ended=ended,
        )

    def say(self, files: int) -> None:
        """The numbers, and what could not be read, on standard error."""
        problems = self._progress.problems
        for problem in problems.texts[:SHOWN_PROBLEMS]:
            click.echo(f"tocsin: {printable(problem)}", err=True)
        if problems.count > SHOWN_PROBLEMS:
            click.echo(f"tocsin: {problems.count - SHOWN_PROBLEMS} more like these", err=True)
        rules = self._ruleset
        correlations = f" and {len(rules.correlations)} correlations" if rules.correlations else ""
        left_out = len(rules.unsupported)
        quiet = f" ({self._quiet} of rules that only feed correlations: --all)"
        click.echo(
            f"tocsin: {self._records} records of {files} file{'' if files == 1 else 's'}, "
            f"{len(rules.rules)} rules{correlations}"
            f"{f' ({left_out} cannot be evaluated: tocsin rules check)' if left_out else ''}, "
            f"{self.hits} hits{quiet if self._quiet else ''}, "
            f"{problems.count} records or files could not be read",
            err=True,
        )

    def exit_code(self) -> int:
        """1 for what --fail-on asks for, 3 for files that could not be read."""
        return 1 if self._failed else 3 if self._progress.problems.files else 0


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[str]]:
    """Standard output, or a file that takes its place when it is whole."""
    if output is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    draft = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        draft.replace(output)
    finally:
        draft.unlink(missing_ok=True)


def _shown(scanned: Iterator[Scanned], progress: inputs.Progress, run: _Run) -> Iterator[Scanned]:
    """The results, with a bar on a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from scanned
        return
    columns = (
        TextColumn("scanning"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[hits]} hits"),
    )
    # No thread of its own: processes are forked while it is drawn.
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("scan", total=progress.total or None, hits=0)
        for part in scanned:
            yield part
            bar.update(task, completed=progress.read, total=progress.total, hits=run.hits)
            bar.refresh()
