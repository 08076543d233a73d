"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from tocsin.index.store import MAX_LIMIT

config_option = click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    envvar="TOCSIN_CONFIG",
    help="The configuration file; without it, defaults and TOCSIN_… variables.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")

rules_option = click.option(
    "--rules",
    "rules",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Rules (file, directory, archive) in place of the configured ones; may be repeated.",
)

limit_option = click.option(
    "--limit",
    type=click.IntRange(1, MAX_LIMIT),
    default=50,
    show_default=True,
    help="At most this many.",
)
