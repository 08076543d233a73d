"""`tocsin rules exceptions`: which filters apply to which rules, and what they take away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detect.backtest import Backtest
from tocsin.cli.loading import chosen_rules
from tocsin.cli.options import config_option, json_option, rules_option
from tocsin.cli.output import json_lines, table
from tocsin.cli.rules.events import Source, batches, input_options, say_problems
from tocsin.clock import SystemClock
from tocsin.config import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from detect.backtest import RuleResult
    from detect.sigma import RuleSet


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@config_option
@rules_option
@json_option
@input_options
def exceptions(
    paths: tuple[Path, ...],
    config: Path | None,
    rules: tuple[Path, ...],
    as_json: bool,
    log: bool,
    since: int | None,
    input_field: str | None,
) -> None:
    """List exceptions (Sigma filters) with the rules that they change.

    With PATHS or --log: how many hits each takes away, rule by rule, and how many are left.
    """
    settings, clock = load(config), SystemClock()
    loaded = chosen_rules(settings, rules)
    source, test = Source(), Backtest(loaded, lateness=settings.lateness)
    for records in batches(settings, clock, paths, log, since, input_field, source):
        test.feed(records, clock.now())
    test.finish(clock.now())
    rows = list(_rows(loaded, test.results() if test.events else None))
    if as_json:
        json_lines(rows)
    else:
        columns = ("exception", "where", "rule", *(("taken", "left") if test.events else ()))
        keys = ("title", "where", "rule", *(("taken", "left") if test.events else ()))
        table("Exceptions", columns, ([row[key] for key in keys] for row in rows))
    told = f"{len(loaded.filters)} exceptions, {sum(bool(r.filters) for r in loaded.rules)} rules"
    click.echo(f"{told}{f', {test.events} events' if test.events else ''}", err=True)
    say_problems(source)


def _rows(loaded: RuleSet, results: Mapping[str, RuleResult] | None) -> Iterator[dict[str, Any]]:
    for each in loaded.filters:
        applied = [rule for rule in loaded.rules if each in rule.filters]
        about = {"id": each.id, "title": each.title, "where": str(each.place)}
        if not applied:
            yield {**about, "rule": "(no rule)", "rule_id": "", "taken": 0, "left": 0}
        for rule in applied:
            row: dict[str, Any] = {**about, "rule": rule.rule.name, "rule_id": rule.rule.id}
            if results is not None:
                result = results.get(rule.rule.id)
                row["taken"] = result.excepted[each.id] if result else 0
                row["left"] = result.hits if result else 0
            yield row
