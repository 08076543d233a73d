"""`tocsin alerts`: what was found, and what people say it was."""

from __future__ import annotations

import click

from tocsin.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("tocsin.cli.lists", "list_alerts"),
    "verdict": ("tocsin.cli.verdict", "verdict"),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def alerts() -> None:
    """Alerts and what they say."""
