"""`tocsin rules check | list`: what was loaded, and what cannot be evaluated."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from tocsin.cli.loading import chosen_rules, rule_set
from tocsin.cli.options import config_option, json_option, rules_option
from tocsin.cli.output import json_lines, table
from tocsin.config import load
from tocsin.contracts import SEVERITY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from detect.model import AlertPolicy
    from detect.sigma import RuleSet
    from tocsin.config import RuleSettings
    from tocsin.contracts import Rule


@click.command()
@config_option
@rules_option
@json_option
def check(config: Path | None, rules: tuple[Path, ...], as_json: bool) -> None:
    """Load rules and list every one that cannot be evaluated, with its reason.

    Exit code 1 if rules are wrong and rules.allow_errors leaves them out.
    """
    settings = load(config)
    loaded = chosen_rules(settings, rules, allow_errors=settings.rules.allow_errors)
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
    rows = list(_rows(rule_set(settings), settings.rules))
    if as_json:
        json_lines(rows)
    else:
        columns = ("severity", "state", "title", "id", "logsource", "where")
        table("Rules", columns, ([row[column] for column in columns] for row in rows))


def _rows(loaded: RuleSet, chosen: RuleSettings) -> Iterator[dict[str, Any]]:
    named = {loaded.names[name] for name in chosen.disable if name in loaded.names}
    for rule in loaded.rules:
        state = "alerts" if rule.alerts else "feeds correlations"
        yield _row(loaded, rule.rule, rule.policy, str(rule.logsource), _state(state, rule, named))
    for correlation in loaded.correlations:
        state = "alerts" if correlation.alerts else "feeds correlations"
        yield _row(loaded, correlation.rule, correlation.policy, "correlation", state)
    for refused in loaded.unsupported:
        yield {
            "id": refused.id,
            "title": refused.title,
            "severity": 0,
            "level": "",
            "state": f"cannot be evaluated: {refused.reason}",
            "logsource": "",
            "where": "",
        }


def _state(state: str, rule: Any, disabled: set[str]) -> str:
    return "disabled, feeds correlations" if rule.rule.id in disabled else state


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
