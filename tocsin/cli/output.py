"""How commands print: tables for people, JSON lines for programs."""

from __future__ import annotations

import json
import os
from typing import IO, TYPE_CHECKING, Any

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


#: Columns of a table that goes into a pipe or a file.
PIPED_WIDTH = 200


def json_lines(rows: Iterable[dict[str, Any]]) -> None:
    """One JSON document a line on standard output, invisible characters escaped."""
    for row in rows:
        text = orjson.dumps(row).decode()
        if not text.isprintable():
            text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
        click.echo(text)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output; columns fold, hostile text is made harmless."""
    drawn = Table(title=title, title_justify="left", header_style="bold", box=None)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    wide_console().print(drawn)


def wide_console(stream: IO[str] | None = None) -> Console:
    """A console that folds where the terminal ends, and in a pipe not at 80 columns already."""
    console = Console(file=stream)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    return console
