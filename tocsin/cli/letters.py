"""`tocsin dead-letters`: what was not understood, why, and another try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tocsin.cli.control import perform
from tocsin.cli.lists import one_stored, show, stored
from tocsin.cli.operations import FIND, GROUPS, REPLAY, Letters, Replay
from tocsin.cli.options import config_option, json_option, limit_option
from tocsin.cli.output import json_lines, table
from tocsin.cli.privacy import opened
from tocsin.clock import iso
from tocsin.config import load
from tocsin.contracts import DeadLetter
from tocsin.deadletters import SEALED
from tocsin.errors import ConfigError
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Letters among which the beginning of an id is looked for.
RECENT = 1_000

#: Longest id that is asked for, characters; ours have 32.
MAX_ID = 200


@click.group("dead-letters")
def dead_letters() -> None:
    """Records that could not be processed; each keeps its reason and its bytes."""


@dead_letters.command("list")
@config_option
@limit_option
@json_option
@click.option("--groups", "by_group", is_flag=True, help="All in the log, grouped by their cause.")
def list_letters(config: Path | None, limit: int, as_json: bool, by_group: bool) -> None:
    """The newest dead letters.

    Letters of one group differ in numbers, addresses, quoted texts and identifiers only, and most
    often have one cause: `replay --group` gives them another try.
    """
    if by_group:
        _groups(config, limit, as_json)
        return

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


def _groups(config: Path | None, limit: int, as_json: bool) -> None:
    told, _ = perform(load(config), GROUPS, Letters())
    groups = told["groups"][:limit]
    if as_json:
        json_lines(groups)
    else:
        columns = ("group", "count", "cause", "last", "template")
        rows = (
            (
                group["group"],
                group["count"],
                f"{group['stage']}: {group['code']}",
                iso(group["last"])[:19],
                group["template"],
            )
            for group in groups
        )
        table("Dead letters by cause", columns, rows)
    for why, count in told["left"].items():
        click.echo(f"{count} {why}", err=True)


@dead_letters.command("show")
@config_option
@click.option("--open", "unseal", is_flag=True, help="Open bytes that privacy rules have sealed.")
@click.argument("letter_id")
def show_letter(config: Path | None, letter_id: str, unseal: bool) -> None:
    """One dead letter with its bytes; the beginning of its id is enough.

    One that is not in the store is looked for in the log.
    """
    settings = load(config)
    letters = one_stored(config, "dead_letters", letter_id) or stored(
        config, "dead_letters", RECENT
    )
    found = [letter for letter in letters if letter["id"].startswith(letter_id)]
    if not found:
        found = perform(settings, FIND, Letters(id=letter_id[:MAX_ID]))[0]["letters"]
    if not found:
        raise ConfigError(
            f"no dead letter has the id {printable(letter_id)}, or one that begins so"
        )
    for letter in found:
        original = DeadLetter.model_validate(letter).original
        json_lines([letter])
        if original.startswith(SEALED):
            source = letter.get("headers", {}).get("source", "")
            original = opened(settings, original, source) if unseal else b"(sealed: see --open)"
        click.echo(printable(original.decode("utf-8", "replace")))


@dead_letters.command()
@config_option
@json_option
@click.option("--code", default="", help="Only those with this code.")
@click.option("--stage", default="", help="Only those of this stage.")
@click.option("--id", "letter_id", default="", help="Only those whose id begins so.")
@click.option("--group", default="", help="Only those of this group of `list --groups`.")
@click.option("--dry-run", is_flag=True, help="Say what would be replayed.")
def replay(
    config: Path | None,
    as_json: bool,
    code: str,
    stage: str,
    letter_id: str,
    group: str,
    dry_run: bool,
) -> None:
    """Give dead letters to their stage again, after what was wrong has been mended.

    A letter replayed twice leads to one event: it keeps its identity. Of a record that was tried
    before, the newest letter counts. With the embedded log a running `tocsin run` does it for this
    command.
    """
    asked = Replay(code=code, stage=stage, id=letter_id, group=group, dry_run=dry_run)
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
