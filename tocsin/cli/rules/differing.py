"""`tocsin rules diff OLD NEW`: what changed between two versions of a rule set."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from detect.rule_diff import compare
from detect.sigma import load_rules
from tocsin.cli.loading import looking_cache
from tocsin.cli.options import config_option, json_option
from tocsin.cli.output import json_lines, table
from tocsin.config import load

if TYPE_CHECKING:
    from detect.rule_diff import Change
    from detect.sigma import RuleSet


@click.command()
@click.argument("old", type=click.Path(path_type=Path, exists=True))
@click.argument("new", type=click.Path(path_type=Path, exists=True))
@config_option
@json_option
def diff(old: Path, new: Path, config: Path | None, as_json: bool) -> None:
    """Compare two rule sets: files, directories or archives.

    Rules are the same by their ids. Exit code 0 if nothing changed, 1 if something did.
    """
    settings = load(config)
    before, after = (
        load_rules(
            [path],
            builtin=False,
            allow_errors=True,
            placeholders=settings.rules.placeholders,
            cache=looking_cache(settings),
        )
        for path in (old, new)
    )
    changes = compare(before, after)
    if as_json:
        json_lines(change._asdict() for change in changes)
    elif changes:
        rows = ((c.kind, c.title, ", ".join(c.what), c.id) for c in changes)
        table("Changes", ("what", "rule", "of it", "id"), rows)
    for path, loaded in ((old, before), (new, after)):
        if loaded.errors:
            click.echo(f"{len(loaded.errors)} mistakes in {path} are left out", err=True)
    click.echo(summary(changes, before, after), err=True)
    sys.exit(1 if changes else 0)


def summary(changes: list[Change], before: RuleSet, after: RuleSet) -> str:
    """The numbers of a comparison in one line."""
    kinds = Counter(change.kind for change in changes)
    logic = sum("logic" in change.what for change in changes)
    return (
        f"{_size(before)} rules before, {_size(after)} after: {kinds['added']} added, "
        f"{kinds['removed']} removed, {kinds['changed']} changed ({logic} in their logic)"
    )


def _size(rules: RuleSet) -> int:
    return len(rules.rules) + len(rules.correlations) + len(rules.unsupported)
