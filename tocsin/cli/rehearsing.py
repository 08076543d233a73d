"""`tocsin runs rehearse`: a test of a playbook from what a real run did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from playbooks.rehearsal import children, rehearsed
from playbooks.testing import load_cases
from playbooks.writing import to_yaml
from tocsin.cli.answering import find_run
from tocsin.cli.lists import read_store
from tocsin.cli.options import config_option
from tocsin.config import load
from tocsin.console.desk import RUN_EVENTS
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from tocsin.index import Store

#: Most runs of sub-playbooks that are followed.
MAX_RUNS = 100


@click.command("rehearse")
@config_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Write the test there, such as playbooks/NAME.test.yml; it must not exist.",
)
@click.argument("id")
def rehearse_command(config: Path | None, output: Path | None, id: str) -> None:
    """Write a test from a run: its alert, what products and people answered, how it ended.

    The beginning of the run's id is enough. What was recorded of an answer may be cut to size, and
    it is real data: look at it before you share it.
    """
    if output is not None and output.exists():
        raise ConfigError(f"not overwritten: {output}")

    async def read(store: Store) -> tuple[str, dict[str, Any], dict[str, list[dict[str, Any]]]]:
        run = await find_run(store, id)
        runs = {"": await _events(store, run)}
        waiting = [("", run)]
        while waiting and len(runs) < MAX_RUNS:
            prefix, _ = waiting.pop(0)
            for step, child in children(runs[prefix]):
                path = f"{prefix}{step}/"
                runs[path] = await _events(store, child)
                waiting.append((path, child))
        began = next((e for e in runs[""] if e["kind"] == "started"), None)
        if began is None or runs[""][-1]["kind"] == "started":
            raise ConfigError(f"the run {run[:12]} has nothing that could be rehearsed yet")
        alert = await store.get("alerts", began["data"]["alert"])
        if alert is None:
            raise ConfigError(f"the alert of run {run[:12]} is not in the store any more")
        return run, alert, runs

    run, alert, runs = read_store(load(config), read)
    if not any(event["kind"] == "finished" for event in runs[""]):
        raise ConfigError(f"the run {run[:12]} has not ended yet")
    text = to_yaml({"cases": [rehearsed(f"as run {run[:12]} went", alert, runs)]})
    load_cases(str(output or "the test"), text.encode())
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, "utf-8")
        click.echo(f"try: tocsin playbook test {output}", err=True)


async def _events(store: Store, run: str) -> list[dict[str, Any]]:
    """The run's own events, in order."""
    found = await store.list("runs", limit=RUN_EVENTS, newest_first=False, where={"run_id": run})
    return sorted((e for e in found if e["seq"] >= 0), key=lambda event: event["seq"])
