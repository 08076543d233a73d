"""`tocsin dead-letters`: what was not understood, why, and another try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tocsin.cli.control import perform
from tocsin.cli.lists import one_stored, show, stored
from tocsin.cli.operations import REPLAY, Replay
from tocsin.cli.options import config_option, json_option, limit_option
from tocsin.cli.output import json_lines
from tocsin.clock import iso
from tocsin.config import load
from tocsin.contracts import DeadLetter
from tocsin.errors import ConfigError
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Letters among which the beginning of an id is looked for.
RECENT = 1_000


@click.group("dead-letters")
def dead_letters() -> None:
    """Records that could not be processed; each keeps its reason and its bytes."""


@dead_letters.command("list")
@config_option
@limit_option
@json_option
def list_letters(config: Path | None, limit: int, as_json: bool) -> None:
    """The newest dead letters."""

    def row(letter: dict[str, Any]) -> Sequence[object]:
        return (
            letter["id"][:12],
            iso(letter["at"]),
            letter["stage"],
            letter["code"],
            letter["attempts"],
            letter["origin"],
            letter["reason"],
        )

    columns = ("id", "at", "stage", "code", "attempts", "origin", "reason")
    show(stored(config, "dead_letters", limit), as_json, "Dead letters", columns, row)


@dead_letters.command("show")
@config_option
@click.argument("letter_id")
def show_letter(config: Path | None, letter_id: str) -> None:
    """One dead letter with its bytes; of a recent one the beginning of its id is enough."""
    letters = one_stored(config, "dead_letters", letter_id) or stored(
        config, "dead_letters", RECENT
    )
    found = [letter for letter in letters if letter["id"].startswith(letter_id)]
    if not found:
        raise ConfigError(
            f"no dead letter has the id {printable(letter_id)}, and none of the newest {RECENT} "
            "one that begins so"
        )
    for letter in found:
        original = DeadLetter.model_validate(letter).original
        json_lines([letter])
        click.echo(printable(original.decode("utf-8", "replace")))


@dead_letters.command()
@config_option
@json_option
@click.option("--code", default="", help="Only those with this code.")
@click.option("--stage", default="", help="Only those of this stage.")
@click.option("--id", "letter_id", default="", help="Only those whose id begins so.")
@click.option("--dry-run", is_flag=True, help="Say what would be replayed.")
def replay(
    config: Path | None, as_json: bool, code: str, stage: str, letter_id: str, dry_run: bool
) -> None:
    """Give dead letters to their stage again, after what was wrong has been mended.

    A letter replayed twice leads to one event: it keeps its identity. With the embedded log a
    running `tocsin run` does it for this command.
    """
    asked = Replay(code=code, stage=stage, id=letter_id, dry_run=dry_run)
    told, _ = perform(load(config), REPLAY, asked)
    if as_json:
        json_lines([told])
        return
    for row in told["replayed"]:
        done = "would replay" if dry_run else "replayed"
        click.echo(printable(f"{done} {row['count']} of {row['stage']} ({row['code']})"))
    for why, count in told["left"].items():
        click.echo(f"{count} {why} and cannot be replayed", err=True)
    if not told["replayed"]:
        click.echo("no dead letter matches")
