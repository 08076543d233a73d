"""`tocsin rules backtest`: what rules would have done on events of the past."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detect.backtest import Backtest, RuleResult
from tocsin.cli.loading import chosen_rules
from tocsin.cli.options import config_option, json_option, rules_option
from tocsin.cli.output import json_lines, table
from tocsin.cli.rules.events import Source, batches, input_options, say_problems
from tocsin.clock import SystemClock
from tocsin.config import load
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.sigma import RuleSet

#: Entities named for each rule.
TOP = 3
#: Fewer events say nothing about what one costs.
MEASURED_FROM = 10_000


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@config_option
@rules_option
@json_option
@input_options
@click.option("--rule", "chosen", multiple=True, metavar="ID", help="Report this one; repeatable.")
def backtest(
    paths: tuple[Path, ...],
    config: Path | None,
    rules: tuple[Path, ...],
    as_json: bool,
    log: bool,
    since: int | None,
    input_field: str | None,
    chosen: tuple[str, ...],
) -> None:
    """Run rules over events of the past: PATHS (logs, events, directories), or the log.

    For each rule: hits, the alerts that would have been (in all and for a day), who and where,
    hits that exceptions took away, and what the rule costs.
    """
    settings, clock = load(config), SystemClock()
    loaded = chosen_rules(settings, rules)
    wanted = {_id(loaded, name) for name in chosen}
    source, test = Source(), Backtest(loaded, lateness=settings.lateness)
    for records in batches(settings, clock, paths, log or not paths, since, input_field, source):
        test.feed(records, clock.now())
    test.finish(clock.now())
    rows = [row for row in _rows(loaded, test) if not wanted or row["id"] in wanted]
    if as_json:
        json_lines(rows)
    else:
        _show(rows)
    _summary(test, rows)
    say_problems(source)


def _id(loaded: RuleSet, name: str) -> str:
    if name not in loaded.names:
        raise ConfigError(f"no rule has the id or name '{name}'; `tocsin rules list` shows them")
    return loaded.names[name]


def _rows(loaded: RuleSet, test: Backtest) -> Iterator[dict[str, Any]]:
    """The rules that did anything, those with most alerts first."""
    every = {r.rule.id: r.rule for r in loaded.rules} | {
        c.rule.id: c.rule for c in loaded.correlations
    }
    titles = {each.id: each.title for each in loaded.filters}
    days = max(len([day for day in test.days if day]), 1)
    results = test.results()
    busy = {i: r for i, r in results.items() if r.hits or r.alerts or r.excepted}
    for rule_id in sorted(busy, key=lambda i: (-busy[i].alerts.total(), -busy[i].hits, i)):
        rule, result = every[rule_id], busy[rule_id]
        yield {
            "id": rule_id,
            "title": rule.name,
            "level": rule.level,
            "hits": result.hits,
            "alerts": result.alerts.total(),
            "alerts_per_day": round(result.alerts.total() / days, 2),
            "alerts_by_day": dict(sorted(result.alerts.items())),
            "entities": dict(result.entities.most_common(TOP)),
            "excepted": {titles.get(i, i): count for i, count in result.excepted.items()},
            "candidates": result.cost.candidates,
            "us_per_event": round(_microseconds(result, test.events), 4),
        }


def _microseconds(result: RuleResult, events: int) -> float:
    return result.cost.seconds * 1e6 / events if events else 0.0


def _cost(test: Backtest) -> str:
    """What an event costs; of a few events it is what the first ones cost, which prepare much."""
    if test.events < MEASURED_FROM:
        return ""
    return f"; {test.nanoseconds / 1000:.1f} µs an event"


def _show(rows: list[dict[str, Any]]) -> None:
    columns = ("level", "rule", "hits", "alerts", "a day", "who and where", "excepted", "µs")
    table(
        "Backtest",
        columns,
        (
            (
                row["level"],
                row["title"],
                row["hits"] or "",
                row["alerts"],
                row["alerts_per_day"],
                ", ".join(f"{name} {count}" for name, count in row["entities"].items()),
                ", ".join(f"{count} by {name}" for name, count in row["excepted"].items()),
                row["us_per_event"],
            )
            for row in rows
        ),
    )


def _summary(test: Backtest, rows: list[dict[str, Any]]) -> None:
    days = sorted(day for day in test.days if day)
    span = f" of {days[0]} to {days[-1]}" if days else ""
    alerts = sum(row["alerts"] for row in rows)
    click.echo(
        f"{test.events} events{span}; {sum(row['hits'] for row in rows)} hits, {alerts} alerts "
        f"({alerts / max(len(days), 1):.1f} for each day that has events)"
        f"{_cost(test)}",
        err=True,
    )
    if test.forgotten:
        click.echo(f"{test.forgotten} alerts may have been counted twice: too many", err=True)
