"""`tocsin rules coverage`: techniques as an ATT&CK Navigator layer, logsources as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from detect.coverage import Coverage, layer
from tocsin.cli.loading import chosen_rules
from tocsin.cli.options import config_option, json_option, rules_option
from tocsin.cli.output import json_lines, table
from tocsin.cli.rules.events import Source, batches, input_options, say_problems
from tocsin.clock import SystemClock
from tocsin.config import load

if TYPE_CHECKING:
    from detect.coverage import Covered


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@config_option
@rules_option
@json_option
@input_options
@click.option(
    "--layer",
    "layer_file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write a layer for ATT&CK Navigator there (- for standard output).",
)
def coverage(
    paths: tuple[Path, ...],
    config: Path | None,
    rules: tuple[Path, ...],
    as_json: bool,
    log: bool,
    since: int | None,
    input_field: str | None,
    layer_file: Path | None,
) -> None:
    """Say what the rules cover: logsources, and techniques of ATT&CK.

    With PATHS (logs, events, directories) or --log the table says from which logsources events
    come at all, and techniques count only where they do: a rule without events sees nothing.
    """
    settings, clock = load(config), SystemClock()
    covered = Coverage(chosen_rules(settings, rules))
    source = Source()
    for records in batches(settings, clock, paths, log, since, input_field, source):
        covered.see(orjson.loads(record.value) for record in records)
    techniques = covered.techniques()
    if layer_file is not None:
        made = layer("Tocsin", techniques, by_events=covered.events > 0)
        with click.open_file(str(layer_file), "wb", atomic=str(layer_file) != "-") as stream:
            stream.write(orjson.dumps(made, option=orjson.OPT_INDENT_2) + b"\n")
    if layer_file is None or str(layer_file) != "-":
        _show(covered, as_json)
    _summary(covered, techniques)
    say_problems(source)


def _show(covered: Coverage, as_json: bool) -> None:
    rows = covered.sources()
    if as_json:
        json_lines(row._asdict() for row in rows)
        return
    looked = covered.events > 0
    columns = ("logsource", "rules", "that alert", *(("events",) if looked else ()))
    cells = (
        (row.logsource, row.rules, row.alerting, *((row.events,) if looked else ())) for row in rows
    )
    table("Logsources", columns, cells)


def _summary(covered: Coverage, techniques: list[Covered]) -> None:
    told = f"{len(techniques)} techniques"
    if covered.events:
        fed = sum(each.fed > 0 for each in techniques)
        blind = sum(row.rules > 0 and not row.events for row in covered.sources())
        told += (
            f", {fed} of them by rules with events; {covered.events} events, {covered.strangers} "
            f"of no logsource; {blind} logsources with rules have no events"
        )
    click.echo(told, err=True)
