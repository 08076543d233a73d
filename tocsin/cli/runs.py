"""`tocsin runs`: what playbooks did, and stopping one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from tocsin.cli.answering import CANCEL, CancelRun, find_run
from tocsin.cli.control import perform
from tocsin.cli.lists import read_store, show, stored, whoami
from tocsin.cli.options import config_option, json_option, limit_option
from tocsin.cli.output import json_lines, table
from tocsin.cli.rehearsing import rehearse_command
from tocsin.clock import iso
from tocsin.config import load
from tocsin.console.desk import RUN_EVENTS
from tocsin.console.view import told
from tocsin.errors import ConfigError
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tocsin.index import Store


@click.group()
def runs() -> None:
    """Runs of playbooks."""


runs.add_command(rehearse_command)


@runs.command("list")
@config_option
@limit_option
@json_option
def list_runs(config: Path | None, limit: int, as_json: bool) -> None:
    """What happened in runs, newest first."""

    def row(e: dict[str, Any]) -> Sequence[object]:
        data = e.get("data", {})
        what = data.get("outcome") or data.get("target") or data.get("playbook") or ""
        return (iso(e["at"]), e["run_id"][:12], e["kind"], e.get("step", ""), what)

    columns = ("at", "run", "what", "step", "detail")
    show(stored(config, "runs", limit), as_json, "Runs", columns, row)


@runs.command("show")
@config_option
@json_option
@click.argument("id")
def show_run(config: Path | None, id: str, as_json: bool) -> None:
    """The timeline of one run; the beginning of its id is enough."""

    async def read(store: Store) -> list[dict[str, Any]]:
        run_id = await find_run(store, id)
        return await store.list(
            "runs", limit=RUN_EVENTS, newest_first=False, where={"run_id": run_id}
        )

    events: list[dict[str, Any]] = read_store(load(config), read)
    if as_json:
        json_lines(events)
        return
    rows = ((iso(e["at"]), e["kind"], e.get("step", ""), told(e)) for e in events)
    table(f"Run {events[0]['run_id']}", ("at", "what", "step", "detail"), rows)


@runs.command()
@config_option
@click.argument("id")
@click.option("--reason", default="", help="Kept in the record.")
@click.option("--by", default=whoami, metavar="NAME", help="Who asks; for the audit.")
def cancel(config: Path | None, id: str, reason: str, by: str) -> None:
    """Stop a run: what it holds is released, steps marked `always` still run."""
    try:
        asked = CancelRun(run=id, by=by.strip(), reason=reason)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(f"{first['loc'][0]}: {first['msg']}") from None
    done, running = perform(settings := load(config), CANCEL, asked)
    when = f"`tocsin runs show {done['run'][:12]}` tells when it has stopped"
    if not running and settings.log.backend == "sqlite":
        when = "nothing is running: it stops when `tocsin run` starts"
    click.echo(printable(f"asked to cancel {done['run'][:12]}; {when}"))
