"""`tocsin rules check | list`: what was loaded, and what cannot be evaluated."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tocsin.cli.loading import chosen_rules, rule_set
from tocsin.cli.options import config_option, json_option, rules_option
from tocsin.cli.output import json_lines, table
from tocsin.config import load
from tocsin.contracts import SEVERITY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from detect.model import AlertPolicy
    from detect.sigma import RuleSet
    from tocsin.contracts import Rule


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@config_option
@rules_option
@json_option
def check(
    paths: tuple[Path, ...], config: Path | None, rules: tuple[Path, ...], as_json: bool
) -> None:
    """Load rules, PATHS or the configured ones, and list all that cannot be evaluated, and why.

    Exit code 1 if rules are wrong and rules.allow_errors leaves them out.
    """
    settings = load(config)
    loaded = chosen_rules(settings, (*rules, *paths), allow_errors=settings.rules.allow_errors)
    if as_json:
        json_lines(u._asdict() for u in loaded.unsupported)
    elif loaded.unsupported:
        rows = ((u.id, u.title, u.reason) for u in loaded.unsupported)
        table("Rules that cannot be evaluated", ("id", "title", "reason"), rows)
    for error in loaded.errors:
        click.echo(str(error), err=True)
    click.echo(
        f"{len(loaded.rules)} rules and {len(loaded.correlations)} correlations can be evaluated, "
        f"{len(loaded.unsupported)} cannot, {len(loaded.errors)} are wrong",
        err=True,
    )
    sys.exit(1 if loaded.errors else 0)


@click.command("list")
@config_option
@json_option
def list_rules(config: Path | None, as_json: bool) -> None:
    """The configured rules: severity, whether they alert, where they stand."""
    settings = load(config)
    chosen = settings.rules
    all_of_them = settings.model_copy(update={"rules": chosen.model_copy(update={"disable": ()})})
    rows = list(_rows(rule_set(all_of_them), rule_set(settings), chosen.disable))
    if as_json:
        json_lines(rows)
    else:
        columns = ("severity", "state", "title", "id", "logsource", "where")
        table("Rules", columns, ([row[column] for column in columns] for row in rows))


def _rows(every: RuleSet, used: RuleSet, disable: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rules of `every`, with what becomes of them in `used`, where `disable` is heeded."""
    disabled = {every.names[name] for name in disable}

    def state(rule_id: str, alerts: bool) -> str:
        words = ["disabled"] if rule_id in disabled else ["alerts"] if alerts else []
        words += ["feeds correlations"] if used.referring(rule_id) else []
        return ", ".join(words) or "does not alert"

    for rule in every.rules:
        told = state(rule.rule.id, rule.alerts)
        yield _row(every, rule.rule, rule.policy, str(rule.logsource), told)
    for each in every.correlations:
        told = state(each.rule.id, each.alerts)
        yield _row(every, each.rule, each.policy, "correlation", told)
    for refused in every.unsupported:
        yield {
            "id": refused.id,
            "title": refused.title,
            "severity": 0,
            "level": "",
            "state": f"cannot be evaluated: {refused.reason}",
            "logsource": "",
            "where": "",
        }


def _row(
    loaded: RuleSet, rule: Rule, policy: AlertPolicy, logsource: str, state: str
) -> dict[str, Any]:
    return {
        "id": rule.id,
        "title": rule.name,
        "severity": policy.severity or SEVERITY[rule.level],
        "level": rule.level,
        "state": state,
        "logsource": logsource,
        "where": str(loaded.places.get(rule.id, "")),
    }
