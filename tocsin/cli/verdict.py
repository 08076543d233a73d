"""`tocsin alerts verdict`: what an alert of a behaviour detector was."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import click

from detect.behavior.verdicts import Judgement
from tocsin.cli.control import perform
from tocsin.cli.judging import VERDICT, VerdictAsked
from tocsin.cli.lists import whoami
from tocsin.cli.options import config_option
from tocsin.config import load
from tocsin.text import printable

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_option
@click.argument("id")
@click.argument("judgement", type=click.Choice(get_args(Judgement)))
def verdict(config: Path | None, id: str, judgement: Judgement) -> None:
    """Say what an alert of unusual behaviour was; the beginning of its id is enough.

    A false positive or a benign one makes the detector quiet about the entity for a week, and
    lets it learn again. After a true positive nothing is learned of the entity for a week.
    """
    asked = VerdictAsked(id=id, verdict=judgement, by=whoami())
    told, _ = perform(load(config), VERDICT, asked)
    click.echo(printable(f"{told['detector']} about {told['entity']}: {judgement}"))
