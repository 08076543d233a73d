"""`tocsin rules test`: the tests inside rule files and beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from detect import rule_tests
from tocsin.cli.loading import chosen_rules
from tocsin.cli.normalize import library, normalizing
from tocsin.cli.options import config_option, json_option, rules_option
from tocsin.cli.output import json_lines
from tocsin.config import load
from tocsin.text import printable


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@config_option
@rules_option
@json_option
@click.option("--required", is_flag=True, help="A rule without tests of both kinds fails too.")
def test(
    paths: tuple[Path, ...],
    config: Path | None,
    rules: tuple[Path, ...],
    as_json: bool,
    required: bool,
) -> None:
    """Run the tests inside rules and beside them (NAME.test.yml for NAME.yml): of PATHS (files,
    directories, archives), or of the configured rules.

    Exit code 1 if one fails.
    """
    loaded = chosen_rules(load(config), (*rules, *paths))
    ran = rule_tests.ran(loaded, required=required, normalize=normalizing(library(())))
    if as_json:
        json_lines(
            {
                "rule": failure.rule,
                "title": failure.title,
                "test": failure.test,
                "problem": failure.problem,
                "file": failure.place.path,
                "line": failure.place.line,
            }
            for failure in ran.failures
        )
    else:
        for failure in ran.failures:
            click.echo(printable(failure), err=True)
    count = len(loaded.rules) + len(loaded.correlations)
    click.echo(
        f"{count} rules and correlations, {ran.tests} tests of {ran.rules}, "
        f"{len(ran.failures)} failures",
        err=True,
    )
    sys.exit(1 if ran.failures else 0)
