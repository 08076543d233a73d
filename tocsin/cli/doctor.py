"""`tocsin doctor`: what is wrong with the configuration and the servers, and what to do."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from ingest.expected import unknown_names
from tocsin.cli.knowledge import examined
from tocsin.cli.loading import load_content
from tocsin.cli.options import config_option
from tocsin.cli.sources import build_source
from tocsin.cli.topics import all_topics, build_log, log_file
from tocsin.clock import SystemClock
from tocsin.config import load
from tocsin.contracts import Mode
from tocsin.errors import ConfigError, LogInUse, LogUnavailable, TocsinError
from tocsin.index import FILE_NAME, build_store
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

    from ingest.mapping.library import Library
    from tocsin.cli.loading import Content
    from tocsin.config import Settings

#: Longest wait for one server, seconds.
PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, whether it is well, and what was found."""

    what: str
    well: bool
    found: str


@click.command()
@config_option
def doctor(config: Path | None) -> None:
    """Check the configuration, the content and every server it names; exit code 1 if one is ill."""
    settings = load(config)
    ill = 0
    for check in asyncio.run(_examine(settings)):
        ill += not check.well
        mark = click.style("ok  ", fg="green") if check.well else click.style("ILL ", fg="red")
        found = "\n     ".join(printable(line) for line in check.found.splitlines())
        click.echo(f"{mark} {check.what}: {found}")
    click.echo(f"\n{_intent(settings)}")
    sys.exit(1 if ill else 0)


async def _examine(settings: Settings) -> list[Check]:
    checks: list[Check] = []
    mappings: Library | None = None
    try:
        content = load_content(settings)
        mappings = content.mappings
    except TocsinError as error:
        checks.append(Check("content", False, str(error)))
    else:
        checks.extend([check async for check in _content(settings, content)])
    checks.extend([check async for check in _sources(settings, mappings)])
    checks.extend(_knowledge(settings))
    checks.append(await _checked(f"log ({settings.log.backend})", _log(settings)))
    checks.append(await _checked(f"store ({settings.store.backend})", _store(settings)))
    return checks


async def _content(settings: Settings, content: Content) -> AsyncIterator[Check]:
    rules = content.rules
    found = f"{len(rules.rules)} rules and {len(rules.correlations)} correlations"
    if rules.unsupported:
        found += f"; {len(rules.unsupported)} cannot be evaluated: tocsin rules check lists them"
    yield Check("rules", not rules.errors, found)
    names = ", ".join(p.id for p in content.playbooks) or "none"
    yield Check("playbooks", True, names)
    for name, connector in content.connectors.items():
        yield await _checked(f"connector {name}", connector.check())
        await connector.close()
    unserved = sorted({v for v in settings.response.bindings} - set(content.bindings))
    if unserved:
        yield Check("bindings", False, f"nobody serves {', '.join(unserved)}")


def _knowledge(settings: Settings) -> list[Check]:
    try:
        return [
            Check(what, not problem, problem or found)
            for what, found, problem in examined(settings, SystemClock())
        ]
    except TocsinError as error:
        return [Check("enrichment, indicators and privacy", False, str(error))]


async def _sources(settings: Settings, mappings: Library | None) -> AsyncIterator[Check]:
    clock = SystemClock()
    try:
        log = build_log(settings, clock)
    except ConfigError:
        return  # the check of the log says so
    for number, entry in enumerate(settings.sources):
        try:
            source = build_source(entry, log, clock)
        except ConfigError as error:
            yield Check(f"source {number}", False, str(error))
        else:
            yield await _checked(f"source {source.name}", source.check())
            if mappings is not None and (unknown := unknown_names(entry.formats, mappings)):
                near = [get_close_matches(name, mappings.programs, n=1) for name in unknown]
                meant = [f"did you mean {names[0]}?" for names in near if names]
                told = f"neither a format nor a dataset: {', '.join(unknown)}"
                yield Check(f"source {source.name}", False, "; ".join((told, *meant)))


async def _checked(what: str, work: Awaitable[str]) -> Check:
    try:
        async with asyncio.timeout(PATIENCE):
            return Check(what, True, await work)
    except TimeoutError:
        return Check(what, False, f"no answer within {PATIENCE:.0f} s")
    except TocsinError as error:
        return Check(what, False, str(error))


async def _log(settings: Settings) -> str:
    path = log_file(settings)
    if path is not None and not path.exists():
        return _will_be_made(path)
    log = build_log(settings, SystemClock())
    try:
        await log.start()
    except LogInUse as held:
        return f"a running process has it: {held}"
    try:
        missing = []
        for topic in all_topics(settings):
            try:
                await log.partitions(topic.name)
            except TocsinError:
                missing.append(topic.name)
        if missing:
            return f"reachable; topics {', '.join(missing)} will be created by the first start"
        return "reachable, all topics exist"
    finally:
        await log.close()


def _will_be_made(path: Path) -> str:
    """Looking must not make it: the user who looks is often not the one who will run it."""
    parent = next(each for each in path.absolute().parents if each.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        raise LogUnavailable(f"{path} cannot be made: this user may not write to {parent}")
    return f"{path} will be made by the first start"


async def _store(settings: Settings) -> str:
    path = settings.data_dir / FILE_NAME
    if settings.store.backend == "sqlite" and not path.exists():
        return _will_be_made(path)
    store = build_store(settings.store, settings.data_dir, SystemClock())
    await store.start()
    try:
        return f"reachable, {await store.count('alerts')} alerts"
    finally:
        await store.close()


def _intent(settings: Settings) -> str:
    if settings.response.mode is Mode.ENFORCE:
        return "response.mode is enforce: `tocsin run` will really contain, where guards allow it."
    return "response.mode is dry_run: `tocsin run` will contain nothing and record what it would."
