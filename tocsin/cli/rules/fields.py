"""`tocsin rules fields`: what rules ask events for, and what no event can tell them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from detect.sigma.supply import field_uses, seen_in
from tocsin.cli.loading import chosen_rules
from tocsin.cli.options import config_option, json_option, rules_option
from tocsin.cli.output import json_lines, table
from tocsin.cli.rules.events import Source, batches, input_options, say_problems
from tocsin.clock import SystemClock
from tocsin.config import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from detect.sigma import RuleSet
    from detect.sigma.supply import FieldUse
    from tocsin.log.base import Record


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@config_option
@rules_option
@json_option
@input_options
@click.option("--all", "every", is_flag=True, help="Show fields that are supplied as well.")
def fields(
    paths: tuple[Path, ...],
    config: Path | None,
    rules: tuple[Path, ...],
    as_json: bool,
    log: bool,
    since: int | None,
    input_field: str | None,
    every: bool,
) -> None:
    """List the fields that rules use and no event can supply, with the reason.

    With PATHS (logs, events, directories) or --log also those that could be supplied, but stood in
    none of these events, although there were events of their logsource.
    """
    settings, clock, source = load(config), SystemClock(), Source()
    loaded = chosen_rules(settings, rules)
    uses = field_uses(loaded)
    looked = bool(paths or log)
    if looked:
        found = batches(settings, clock, paths, log, since, input_field, source)
        uses = seen_in(loaded, uses, _documents(found))
    missing = [use for use in uses if use.supply == "none" or _unseen(use, uses)]
    _show(uses if every else missing, as_json, looked)
    _summary(loaded, uses, missing)
    say_problems(source)


def _documents(found: Iterator[list[Record]]) -> Iterator[dict[str, Any]]:
    for records in found:
        for record in records:
            yield orjson.loads(record.value)


def _unseen(use: FieldUse, uses: Sequence[FieldUse]) -> bool:
    """Whether the field stood in no event, while others of its logsource did."""
    return use.seen == 0 and any(o.seen for o in uses if o.logsource == use.logsource)


def _show(uses: Sequence[FieldUse], as_json: bool, looked: bool) -> None:
    if as_json:
        json_lines(use._asdict() for use in uses)
        return
    ordered = sorted(uses, key=lambda use: (-use.rules, use.logsource, use.field))
    columns = ("rules", "field", "logsource", *(("events",) if looked else ()), "where or why not")
    cells = (
        (
            use.rules,
            use.field,
            use.logsource,
            *((use.seen,) if looked else ()),
            use.reason or " or ".join(use.places),
        )
        for use in ordered
    )
    table("Fields", columns, cells)


def _summary(loaded: RuleSet, uses: Sequence[FieldUse], missing: Sequence[FieldUse]) -> None:
    by_supply = {kind: sum(use.supply == kind for use in uses) for kind in ("mapped", "root")}
    unseen = sum(use.supply != "none" for use in missing)
    click.echo(
        f"{len(uses)} fields of {len(loaded.rules)} rules (counted by logsource): "
        f"{by_supply['mapped']} are mapped, {by_supply['root']} looked for under the vendor's own "
        f"name, {sum(use.supply == 'none' for use in uses)} supplied by nothing"
        f"{f'; {unseen} more stood in none of the events' if unseen else ''}",
        err=True,
    )
