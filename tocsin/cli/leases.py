"""`tocsin leases`: containments that are in force, and how products differ from them."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from playbooks.reconcile import TIMEOUT, judged
from playbooks.reconciler import listings
from responders.catalog import build_connectors, configured
from tocsin.cli.control import perform
from tocsin.cli.lists import read_store, show, whoami
from tocsin.cli.operations import RELEASE, Release
from tocsin.cli.options import config_option, json_option, limit_option
from tocsin.cli.output import json_lines, table
from tocsin.cli.places import located
from tocsin.clock import iso
from tocsin.config import load
from tocsin.contracts import Lease
from tocsin.errors import ConfigError, ConnectorError
from tocsin.index.store import AUDIT, LEASES, MAX_LIMIT
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from responders.base import Listing
    from tocsin.config import Settings
    from tocsin.index import Store

    Row = dict[str, Any]

#: Audit entries that say how differences between leases and products stand, newest last.
_FOUND = ("drift.orphan", "drift.missing")
_OVER = ("drift.settled", "drift.orphan_removed", "drift.reapplied")

#: Exit code if products differ from the leases, and if one could not be asked.
DIFFERENT, UNASKED = 1, 3


@click.group()
def leases() -> None:
    """Containments that are in force, and that were."""


@leases.command("list")
@config_option
@limit_option
@json_option
def list_leases(config: Path | None, limit: int, as_json: bool) -> None:
    """Leases, newest first, and after them what the running pipeline found to be different.

    State `orphan`: a product has it in force and no lease holds it; `missing`: a lease holds it
    and the product does not have it.
    """

    async def read(store: Store) -> list[Row]:
        found = await store.list(LEASES, limit=limit)
        told: list[Row] = []
        for kind in (*_FOUND, *_OVER):
            told += await store.list(AUDIT, limit=MAX_LIMIT, where={"kind": kind})
        return found + standing(told)

    def row(lease: Row) -> Sequence[object]:
        until = iso(lease["expires"]) if "expires" in lease else f"since {iso(lease['since'])}"
        holders = ", ".join(h["run_id"][:12] for h in lease["holders"])
        return lease["state"], lease["verb"], lease["target"], holders, until

    columns = ("state", "verb", "target", "held by", "until")
    show(read_store(load(config), read), as_json, "Leases", columns, row)


@leases.command()
@config_option
@json_option
def reconcile(config: Path | None, as_json: bool) -> None:
    """Ask the products now what they have in force, and compare it with the leases.

    Changes nothing. Exit code 1 if something is different, 3 if a product could not be asked.
    """
    settings = load(config)
    kept = read_store(settings, lambda store: store.list(LEASES, limit=MAX_LIMIT))
    rows, silent = asyncio.run(_compared(settings, [Lease.model_validate(each) for each in kept]))
    for problem in silent:
        click.echo(printable(problem), err=True)
    if as_json:
        json_lines(rows)
    elif rows:
        cells = ((r["state"], r["verb"], r["target"], r["connector"]) for r in rows)
        table("Differences", ("state", "verb", "target", "product"), cells)
    elif not silent:
        click.echo("no differences: every product that can list has what the leases say")
    if silent or rows:
        sys.exit(UNASKED if silent else DIFFERENT)


async def _compared(settings: Settings, kept: list[Lease]) -> tuple[list[Row], list[str]]:
    """The differences, and why some products could not be asked."""
    connectors = build_connectors(located(configured(settings), settings.directory))
    rows: list[Row] = []
    silent: list[str] = []
    try:
        for name, verb, product in listings(connectors):
            try:
                rows += await _differences(name, verb, product, kept)
            except ConnectorError as error:
                silent.append(f"{name} could not be asked: {error}")
    finally:
        for connector in connectors.values():
            await connector.close()
    return rows, silent


async def _differences(name: str, verb: str, product: Listing, kept: list[Lease]) -> list[Row]:
    held = set(await product.held(verb, TIMEOUT))
    of_verb = {lease.target: lease for lease in kept if lease.verb == verb}
    found = (
        (target, judged(of_verb.get(target), name, held=target in held))
        for target in sorted(held | of_verb.keys())
    )
    return [
        {"state": kind.value, "verb": verb, "target": target, "connector": name}
        for target, kind in found
        if kind is not None
    ]


def standing(entries: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Differences that stand, from audit entries in any order: the newest of each decides."""
    newest: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for entry in sorted(entries, key=lambda e: (e["at"], e["seq"])):
        body = entry["body"]
        newest[body["connector"], body["verb"], body["target"]] = entry
    return [
        {
            "state": entry["kind"].removeprefix("drift."),
            "verb": verb,
            "target": target,
            "connector": connector,
            "holders": [{"run_id": run} for run in entry["body"].get("runs", ())],
            "since": entry["body"]["since"],
        }
        for (connector, verb, target), entry in newest.items()
        if entry["kind"] in _FOUND
    ]


@leases.command()
@config_option
@click.argument("verb")
@click.argument("target")
@click.option("--by", default=whoami, metavar="NAME", help="Who asks; for the audit.")
@click.option("--unlisted", is_flag=True, help="Ask even if the store lists no such lease.")
def release(config: Path | None, verb: str, target: str, by: str, unlisted: bool) -> None:
    """End a containment now, for every run that holds it.

    With the embedded log a running `tocsin run` does it for this command.
    """
    if not by.strip():
        raise ConfigError("say who asks with --by NAME: the audit keeps it")
    try:
        asked = Release(verb=verb, target=target, by=by.strip(), unlisted=unlisted)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(f"{first['loc'][0]}: {first['msg']}") from None
    told, running = perform(settings := load(config), RELEASE, asked)
    if told["warning"]:
        click.echo(printable(told["warning"]), err=True)
    when = "`tocsin leases list` shows when it is undone"
    if not running and settings.log.backend == "sqlite":
        when = "nothing is running: it is undone when `tocsin run` starts"
    click.echo(printable(f"asked to end {told['verb']} on {told['target']}; {when}"))
