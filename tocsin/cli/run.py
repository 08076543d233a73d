"""`tocsin run`: the pipeline for real."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

import click

from tocsin.cli.console_pages import operations, pages
from tocsin.cli.control import announced, new_token
from tocsin.cli.options import config_option
from tocsin.cli.pipeline import STAGES, Pipeline
from tocsin.cli.web import serve
from tocsin.config import load
from tocsin.console.control import Control
from tocsin.contracts import Mode
from tocsin.garbage import keep_what_is_loaded

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

#: Mistakes in rules that are shown one by one at the start.
SHOWN_ERRORS = 20


@click.command()
@config_option
@click.option(
    "--stages",
    default=",".join(STAGES),
    help=f"Which stages this process runs, comma-separated, of {', '.join(STAGES)}.",
    show_default="all",
)
@click.option(
    "--until-idle",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="End when everything has been processed, or after that long.",
)
def run(config: Path | None, stages: str, until_idle: float | None) -> None:
    """Run the pipeline until SIGTERM or Ctrl-C; work under way is finished first.

    Changed rules are loaded while it runs; SIGHUP loads them at once, with `rules` of the
    configuration as it is then.
    """
    wanted = tuple(name.strip() for name in stages.split(",") if name.strip())
    pipeline = Pipeline(load(config), stages=wanted, reread=lambda: load(config))
    keep_what_is_loaded()
    asyncio.run(operate(pipeline, until_idle))


async def operate(pipeline: Pipeline, until_idle: float | None = None) -> None:
    """Run the pipeline and its status page until a signal, or until it is idle."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with pipeline:
        if pipeline.reloader is not None:
            loop.add_signal_handler(signal.SIGHUP, pipeline.reloader.ask)
        _announce(pipeline)
        async with asyncio.TaskGroup() as group:
            work = group.create_task(pipeline.run())
            page = None
            if pipeline.settings.console.enabled:
                page = group.create_task(_page(pipeline))
            reasons = [work, group.create_task(_signalled(stop))]
            if until_idle is not None:
                reasons.append(group.create_task(_idle(pipeline, until_idle)))
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
            pipeline.stop()
            await work
            for task in (*reasons, page):
                if task is not None:
                    task.cancel()


async def _page(pipeline: Pipeline) -> None:
    """The status page; where this process alone holds the log, it also takes what people ask."""
    settings = pipeline.settings
    if settings.log.backend == "kafka":
        await serve(settings.console, pipeline.status_app(None, pages(pipeline)))
        return
    token = new_token()
    control = Control(token, operations(pipeline).table())
    app = pipeline.status_app(control, pages(pipeline))
    await serve(settings.console, app, lambda url: announced(settings.data_dir, url, token))


async def _signalled(stop: asyncio.Event) -> None:
    await stop.wait()


async def _idle(pipeline: Pipeline, seconds: float) -> None:
    if not await pipeline.settle(seconds):
        logger.warning("not everything was processed within %.0f s; the rest waits", seconds)


def _announce(pipeline: Pipeline) -> None:
    settings = pipeline.settings
    rules = pipeline.content.rules
    click.echo(
        f"tocsin: {', '.join(pipeline.stages)} on {settings.log.backend}; "
        f"{len(rules.rules)} rules, {len(rules.correlations)} correlations, "
        f"{len(rules.unsupported)} rules that cannot be evaluated (tocsin rules check lists them); "
        f"{len(pipeline.content.playbooks)} playbooks",
        err=True,
    )
    for error in rules.errors[:SHOWN_ERRORS]:
        click.echo(f"tocsin: a rule is left out (rules.allow_errors): {error}", err=True)
    if (more := len(rules.errors) - SHOWN_ERRORS) > 0:
        click.echo(f"tocsin: {more} more mistakes in rules: tocsin rules check", err=True)
    if settings.response.mode is Mode.ENFORCE:
        click.echo("tocsin: ENFORCING: containment is real", err=True)
    else:
        click.echo("tocsin: dry run: nothing is contained; response.mode says so", err=True)
