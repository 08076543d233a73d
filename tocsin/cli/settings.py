"""`tocsin config`: the configuration itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from tocsin.cli.options import config_option
from tocsin.config import Settings, load

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def config() -> None:
    """The configuration."""


@config.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of tocsin.yaml, for editors."""
    click.echo(json.dumps(schema(), indent=2))


@config.command()
@config_option
def check(config: Path | None) -> None:
    """Read the configuration and say every mistake in it; `tocsin doctor` looks at the rest."""
    load(config)
    click.echo(f"{config or 'the environment'}: valid")


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of tocsin.yaml; durations may be text or milliseconds."""
    made = Settings.model_json_schema(mode="validation")
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "tocsin.yaml"
    return made
