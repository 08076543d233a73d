"""`tocsin playbook quarantine` and `release`: playbooks that made their runs fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import click
from pydantic import Field

from playbooks.poison import QUARANTINED, RELEASED
from tocsin.cli.lists import read_store, show, whoami
from tocsin.cli.options import config_option, json_option
from tocsin.clock import iso
from tocsin.config import load
from tocsin.console.control import Asked, Operation
from tocsin.contracts import Pardon, Topics
from tocsin.errors import ConfigError
from tocsin.log.base import Outgoing
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tocsin.clock import Clock
    from tocsin.index import Store
    from tocsin.log.base import Log

PARDON = "playbooks/release"
#: Most entries of the audit that are looked at.
MAX_ENTRIES = 10_000


class ReleasePlaybook(Asked):
    """Let a playbook start runs again; `by` is who asks, for the audit."""

    playbook: Annotated[str, Field(min_length=1, max_length=63)]
    by: Annotated[str, Field(min_length=1, max_length=200)]


class Pardoning:
    """Doing it, on an open log and store."""

    def __init__(self, log: Log, store: Store, clock: Clock) -> None:
        self._log = log
        self._store = store
        self._clock = clock

    def table(self) -> Mapping[str, Operation[Any]]:
        """The operation by its path on the console."""
        return {PARDON: Operation(ReleasePlaybook, self.release)}

    async def release(self, asked: ReleasePlaybook) -> dict[str, Any]:
        """Append the release for each partition: each has counted for itself."""
        now = self._clock.now()
        command = Pardon(run_id=asked.playbook, playbook=asked.playbook, by=asked.by, at=now)
        partitions = await self._log.partitions(Topics.COMMANDS)
        key = asked.playbook.encode()
        await self._log.append(
            [
                Outgoing(Topics.COMMANDS, command.encode(), key, timestamp=now, partition=number)
                for number in range(partitions)
            ]
        )
        return {"playbook": asked.playbook}


async def quarantined(store: Store) -> list[dict[str, Any]]:
    """What is in quarantine, newest first: `at` (ms), playbook, version, hash, reason, run."""
    entries = [
        entry
        for kind in (QUARANTINED, RELEASED)
        for entry in await store.list("audit", limit=MAX_ENTRIES, where={"kind": kind})
    ]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in sorted(entries, key=lambda entry: (entry["chain"], entry["seq"])):
        body, chain = entry["body"], entry["chain"]
        if entry["kind"] == QUARANTINED:
            found[chain, body["hash"]] = {"at": entry["at"], **body}
        else:
            for released in body["hashes"]:
                found.pop((chain, released), None)
    return sorted(
        {each["hash"]: each for each in found.values()}.values(), key=lambda each: -each["at"]
    )


@click.command("quarantine")
@config_option
@json_option
def quarantine_command(config: Path | None, as_json: bool) -> None:
    """List playbooks that made their runs fail and start no more of them."""
    rows = read_store(load(config), quarantined)

    def row(each: dict[str, Any]) -> Sequence[object]:
        return (
            iso(each["at"]),
            each["playbook"],
            each["version"],
            each["hash"][:12],
            each["run"][:12],
            each["reason"],
        )

    columns = ("since", "playbook", "version", "hash", "run", "because")
    show(rows, as_json, "Playbooks in quarantine", columns, row)


@click.command("release")
@config_option
@click.argument("name")
@click.option("--by", default=whoami, metavar="NAME", help="Who asks; for the audit.")
def release_command(config: Path | None, name: str, by: str) -> None:
    """Let the playbook NAME start runs again; a mended version needs no release.

    Alerts that came meanwhile are dead letters: `tocsin dead-letters replay --code quarantined`.
    """
    from tocsin.cli.control import perform  # the table of operations needs this module

    settings = load(config)
    known = read_store(settings, quarantined)
    if name not in {each["playbook"] for each in known}:
        raise ConfigError(f"the playbook {name} is not in quarantine")
    perform(settings, PARDON, ReleasePlaybook(playbook=name, by=by.strip() or "somebody"))
    click.echo(
        printable(
            f"{name} may start runs again; the alerts that came meanwhile: "
            "tocsin dead-letters replay --code quarantined"
        )
    )
