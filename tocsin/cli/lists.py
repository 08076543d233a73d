"""`tocsin alerts`, and how documents of the store are listed."""

from __future__ import annotations

import asyncio
import getpass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tocsin.cli.options import config_option, json_option, limit_option
from tocsin.cli.output import json_lines, table
from tocsin.clock import SystemClock
from tocsin.config import load
from tocsin.errors import StoreUnavailable
from tocsin.index import FILE_NAME, build_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from tocsin.config import Settings
    from tocsin.index import Store

    Row = Callable[[dict[str, Any]], Sequence[object]]

T = TypeVar("T")


def stored(config: Path | None, kind: str, limit: int) -> list[dict[str, Any]]:
    """The newest documents of a kind from the configured store."""

    async def read(store: Store) -> list[dict[str, Any]]:
        return await store.list(kind, limit=limit)

    return read_store(load(config), read)


def one_stored(config: Path | None, kind: str, id: str) -> list[dict[str, Any]]:
    """The document with exactly this id, if there is one."""

    async def read(store: Store) -> list[dict[str, Any]]:
        found = await store.get(kind, id)
        return [] if found is None else [found]

    return read_store(load(config), read)


def read_store(settings: Settings, read: Callable[[Store], Awaitable[T]]) -> T:
    """What `read` finds in the configured store.

    Raises StoreUnavailable where there is no embedded store yet: looking must not make one.
    """
    if settings.store.backend == "sqlite" and not (settings.data_dir / FILE_NAME).exists():
        raise StoreUnavailable(
            f"there is no store in {settings.data_dir}: the first `tocsin run` makes it. Is this "
            "the right directory, and --config given?"
        )

    async def work() -> T:
        store = build_store(settings.store, settings.data_dir, SystemClock())
        await store.start()
        try:
            return await read(store)
        finally:
            await store.close()

    return asyncio.run(work())


def show(
    rows: list[dict[str, Any]], as_json: bool, title: str, columns: Sequence[str], row: Row
) -> None:
    """Print documents as a table or as JSON lines."""
    if as_json:
        json_lines(rows)
    else:
        table(title, columns, (row(document) for document in rows))


def whoami() -> str:
    """The name of this user, or nothing where the system knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


@click.group()
def alerts() -> None:
    """Alerts and what they say."""


@alerts.command("list")
@config_option
@limit_option
@json_option
def list_alerts(config: Path | None, limit: int, as_json: bool) -> None:
    """The newest alerts."""

    def row(a: dict[str, Any]) -> Sequence[object]:
        about = a["tocsin"]["alert"]
        return (
            about["id"][:12],
            a["event"]["severity"],
            about["first_seen"],
            about["last_seen"],
            about["count"],
            a["message"],
        )

    columns = ("id", "severity", "first seen", "last seen", "count", "what")
    show(stored(config, "alerts", limit), as_json, "Alerts", columns, row)
