"""`tocsin rules`: the group. Exit codes: 0 done, 1 done and something is wrong with what was
looked at, 2 the command or the configuration is wrong, 3 a file or server cannot be reached.
"""

from __future__ import annotations

import click

from tocsin.cli.lazy import LazyGroup

COMMANDS = {
    "check": ("tocsin.cli.rules.checking", "check"),
    "list": ("tocsin.cli.rules.checking", "list_rules"),
    "fields": ("tocsin.cli.rules.fields", "fields"),
    "lint": ("tocsin.cli.rules.linting", "lint"),
    "test": ("tocsin.cli.rules.testing", "test"),
    "explain": ("tocsin.cli.rules.explaining", "explain"),
    "coverage": ("tocsin.cli.rules.coverage", "coverage"),
    "backtest": ("tocsin.cli.rules.backtesting", "backtest"),
    "exceptions": ("tocsin.cli.rules.exceptions", "exceptions"),
    "diff": ("tocsin.cli.rules.differing", "diff"),
    "pull": ("tocsin.cli.rules.pulling", "pull"),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def rules() -> None:
    """Sigma rules: look, test, explain, measure, fetch, compare.

    Exit codes: 0 done; 1 done, but something is wrong with what was looked at; 2 the command or
    the configuration is wrong; 3 a file or server cannot be reached.
    """
