"""`tocsin guards`: what containment may not touch, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from playbooks.ranges import fold, parse_interval
from playbooks.targets import canonical_target
from responders.base import EntityKind
from responders.catalog import build_connectors, configured
from tocsin.cli.loading import guard_lists
from tocsin.cli.options import config_option, json_option
from tocsin.cli.output import json_lines, table
from tocsin.cli.places import located
from tocsin.config import load
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playbooks.guards import SiteGuards
    from playbooks.ranges import NamedList
    from tocsin.config import Settings

_FILE = "file:"


@click.group()
def guards() -> None:
    """What containment may never touch."""


@guards.command()
@config_option
@json_option
@click.argument("target")
@click.option("--host", is_flag=True, help="It is a host's name: its DNS suffix does not count.")
def check(config: Path | None, target: str, host: bool, as_json: bool) -> None:
    """Which lists protect TARGET (an address, a range, a name), by which entry of which file.

    Exit code 1 if a containment of it is refused whatever a playbook says; 0 if only playbooks
    that name a list are, or none.
    """
    settings = load(config)
    connectors = build_connectors(located(configured(settings), settings.directory))
    site = guard_lists(settings, connectors).site
    found = list(_touching(settings, site, target, host, config))
    if as_json:
        json_lines(found)
    elif found:
        columns = ("list", "entry", "applies", "written in")
        table(
            f"{target} is protected",
            columns,
            ((f["list"], f["entry"], f["applies"], f["place"]) for f in found),
        )
    else:
        click.echo("no list has it: containment is not refused by a list")
    sys.exit(1 if any(f["applies"] == "always" for f in found) else 0)


def _touching(
    settings: Settings, site: SiteGuards, target: str, host: bool, config: Path | None
) -> Iterator[dict[str, Any]]:
    for listed in site.always():
        if (entry := _entry(listed, target, host)) is not None:
            place = "(this machine's own)" if listed.name == "own_addresses" else "(built in)"
            yield {"list": listed.name, "entry": entry, "applies": "always", "place": place}
    for name, listed in site.lists.items():
        if (entry := _entry(listed, target, host)) is not None:
            applies = "always" if name in site.never else "where a playbook names it"
            place = _place(settings, name, entry, config)
            yield {"list": name, "entry": entry, "applies": applies, "place": place}


def _entry(listed: NamedList, target: str, host: bool) -> str | None:
    """The entry that `target` touches; raises ConfigError for what is no target at all."""
    try:
        interval = parse_interval(target)
    except ValueError as wrong:
        try:
            name = canonical_target(EntityKind.HOST if host else EntityKind.USER, target)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if not host and _like_an_address(target):
            raise ConfigError(f"{target} is refused as a target: {wrong}") from None
        return listed.naming(name, host=host)
    return listed.overlapping(interval) or listed.naming(target, host=host)


def _like_an_address(text: str) -> bool:
    return set(text) <= set("0123456789abcdefABCDEFx.:/%-") and any(c in text for c in ".:/")


def _place(settings: Settings, name: str, entry: str, config: Path | None) -> str:
    """The file and line that an entry stands in, as far as a line can be told."""
    for written in settings.response.guards.lists.get(name, ()):
        if written.startswith(_FILE):
            path = Path(written.removeprefix(_FILE))
            if (line := _line(path, entry)) is not None:
                return f"{path}:{line}"
        elif fold(written) == fold(entry) and config is not None:
            line = _line(config, written, within=True)
            return f"{config}:{line}" if line else str(config)
    return "inventory"


def _line(path: Path, entry: str, *, within: bool = False) -> int | None:
    """The number of the first line that is `entry`, or with `within` has it."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if fold(text) == fold(entry) or (within and entry in text):
            return number
    return None
