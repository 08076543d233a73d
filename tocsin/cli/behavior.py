"""`tocsin behavior`: the detectors of unusual behaviour, and how they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tocsin.cli.control import perform
from tocsin.cli.judging import STATUS, StatusAsked, specs
from tocsin.cli.models_live import MODEL_COLUMNS, model_row
from tocsin.cli.options import config_option, json_option
from tocsin.cli.output import json_lines, table
from tocsin.config import load

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def behavior() -> None:
    """Detectors of unusual behaviour, and how they stand."""


@behavior.command()
@config_option
@json_option
def status(config: Path | None, as_json: bool) -> None:
    """Every detector: its threshold, alerts against the budget, what was suppressed, verdicts.

    `paid / due`: alerts of the last weeks (half-life 7 days), and what the budget was for.
    """
    settings = load(config)
    told, _ = perform(settings, STATUS, StatusAsked(budgets=settings.behavior.budgets))
    rows = told["detectors"]
    for row in rows:
        row["enabled"] = row["detector"] not in settings.behavior.disable
    if as_json:
        json_lines([*rows, *told["models"], {"profiles": told["profiles"]}])
        return
    columns = ("detector", "scores", "a day", "knows", "threshold", "today", "budget",
               "paid / due", "alerts", "suppressed", "verdicts")  # fmt: skip
    table("Behaviour", columns, (_row(row) for row in rows if row["enabled"]))
    if told["models"]:
        table("Models", MODEL_COLUMNS, (model_row(row) for row in told["models"]))
    profiles = ", ".join(f"{count:,} {kind}" for kind, count in told["profiles"].items())
    click.echo(f"profiles: {profiles or 'none yet'}")
    if told["unread"]:
        click.echo(
            f"partitions {', '.join(map(str, told['unread']))}: the stage's account was not found "
            "among the last changes; their figures are incomplete",
            err=True,
        )
    if not settings.behavior.enabled:
        click.echo("behavior.enabled is false: nothing is observed")


def _row(row: dict[str, object]) -> tuple[object, ...]:
    verdicts = row["verdicts"]
    said = ", ".join(f"{n} {v}" for v, n in verdicts.items()) if isinstance(verdicts, dict) else ""
    knows = "yes" if row["ready"] else "not yet"
    paid = f"{row['paid']} / {row['due']}"
    if not row["calibrated"]:
        knows, paid = "certain", ""
    return (
        *(row["detector"], row["scores"], row["a_day"], knows, row["threshold"], row["today"]),
        *(row["budget"], paid, row["alerts"], row["suppressed"], said),
    )


@behavior.command()
@json_option
def detectors(as_json: bool) -> None:
    """Every detector: what it reads, of whom, and which techniques it shows."""
    if as_json:
        json_lines(
            {
                "detector": each.name,
                "title": each.title,
                "kinds": sorted(each.kinds),
                "inputs": list(each.inputs),
                "techniques": list(each.techniques),
                "level": each.level,
                "budget": each.budget,
                "parameters": dict(each.parameters),
                "description": each.description,
            }
            for each in specs().values()
        )
        return
    columns = ("detector", "of", "level", "a day", "ATT&CK", "reads")
    rows = (
        (
            *(each.name, ", ".join(sorted(each.kinds)), each.level, f"{each.budget:g}"),
            *(", ".join(each.techniques), ", ".join(each.inputs)),
        )
        for each in specs().values()
    )
    table("Detectors", columns, rows)
