"""`tocsin demo`: an attack story through the whole embedded pipeline, told as it happens."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from tocsin.cli.narrator import Narrator
from tocsin.cli.pipeline import Pipeline
from tocsin.cli.story import OFFICE, story
from tocsin.cli.web import serve
from tocsin.clock import SystemClock
from tocsin.config import ConnectorSettings, GuardSettings, ResponseSettings, Settings
from tocsin.contracts import raw_record
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from tocsin.cli.story import Chapter, Line

#: Lines appended at once, and the pause between two such batches when a person watches, seconds.
BATCH, PAUSE = 200, 0.25
#: Longest wait for a chapter's consequences, seconds.
SETTLE_SECONDS = 60.0
#: A file that says a directory is the demo's own, to be emptied by the next one.
MARKER = ".tocsin-demo"

INTRO = """\
[bold]Tocsin[/bold] reads logs, matches Sigma rules as they stream by, and answers with playbooks.
You will watch three attacks and a false alarm hidden in a morning's logs of a small company.
This is a [bold]dry run[/bold]: guards are asked, nothing is blocked. No server is needed.
"""

INVENTORY = """\
name,addresses,criticality,owner,tags
web-01,192.0.2.80,high,platform@example.com,shop
"""


@click.command()
@click.option("--exit", "leave", is_flag=True, help="End by itself when the story is told.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help="Where the demo keeps its data and reports; emptied at the start.",
)
@click.option("--port", default=8790, show_default=True, help="Port of the status page, 0: any.")
def demo(leave: bool, directory: Path, port: int) -> None:
    """Watch an attack story go through the embedded pipeline."""
    settings = prepare(directory, port)
    with suppress(KeyboardInterrupt):
        asyncio.run(_Demo(settings, leave).run())


def prepare(directory: Path, port: int = 0) -> Settings:
    """Empty the demo's directory and return its configuration.

    Raises ConfigError rather than empty a directory that is not the demo's.
    """
    if directory.exists() and any(directory.iterdir()) and not (directory / MARKER).exists():
        raise ConfigError(f"{directory} is not empty and not the demo's; name another with --dir")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / MARKER).touch()
    inventory = directory / "inventory.csv"
    inventory.write_text(INVENTORY, "utf-8")
    return Settings(
        data_dir=directory / "data",
        response=ResponseSettings(
            connectors={
                "firewall": ConnectorSettings(type="nftables"),
                "inventory": ConnectorSettings.model_validate(
                    {"type": "inventory", "path": str(inventory)}
                ),
                "reports": ConnectorSettings.model_validate(
                    {"type": "report", "directory": str(directory / "reports")}
                ),
            },
            guards=GuardSettings(lists={"own_ranges": OFFICE}, never=("own_ranges",)),
        ),
        console={"port": port},  # type: ignore[arg-type]  # pydantic builds the section
    )


class _Demo:
    """Feeds the story, tells what the pipeline makes of it, and keeps the page open."""

    def __init__(self, settings: Settings, leave: bool) -> None:
        self._settings = settings
        self._leave = leave
        self._console = Console(highlight=False)
        self._pipeline = Pipeline(settings, clock=SystemClock())
        self._started = time.monotonic()

    async def run(self) -> None:
        self._console.print(INTRO)
        async with self._pipeline as pipeline, asyncio.TaskGroup() as group:
            narrator = Narrator(pipeline.log, self._console.print, self._started)
            work = group.create_task(pipeline.run())
            page = group.create_task(serve(self._settings.console, pipeline.status_app()))
            telling = group.create_task(narrator.follow())
            await self._tell(pipeline)
            await narrator.caught_up()
            telling.cancel()
            self._summary(narrator)
            if not self._leave:
                url = f"http://{self._settings.console.host}:{self._settings.console.port}/"
                self._console.print(
                    f"The status page stays open at [bold]{url}[/bold] (Ctrl-C ends)"
                )
                await asyncio.Event().wait()
            pipeline.stop()
            page.cancel()
            await work

    async def _tell(self, pipeline: Pipeline) -> None:
        end = SystemClock().now()
        with Live(self._status(), console=self._console, refresh_per_second=4) as live:
            for number, chapter in enumerate(story(end), 1):
                self._console.print(
                    f"\n[bold cyan]{number}. {chapter.title}[/bold cyan]  "
                    f"[dim]{chapter.text}; {len(chapter.lines)} lines[/dim]"
                )
                await self._feed(pipeline, chapter, live)
                await self._settle(pipeline, live)

    async def _feed(self, pipeline: Pipeline, chapter: Chapter, live: Live) -> None:
        for start in range(0, len(chapter.lines), BATCH):
            await pipeline.log.append([_raw(line) for line in chapter.lines[start : start + BATCH]])
            live.update(self._status())
            if not self._leave:
                await asyncio.sleep(PAUSE)

    async def _settle(self, pipeline: Pipeline, live: Live) -> None:
        settled = asyncio.create_task(pipeline.settle(SETTLE_SECONDS))
        while not settled.done():
            live.update(self._status())
            await asyncio.wait({settled}, timeout=PAUSE)
        if not await settled:
            self._console.print(
                "  [yellow]not everything is processed yet, the rest follows[/yellow]"
            )

    def _status(self) -> Text:
        accounts = self._pipeline.metrics.accounts
        seconds = max(time.monotonic() - self._started, 0.001)

        def count(stage: str, what: str = "received") -> Any:
            return getattr(accounts[stage], what) if stage in accounts else 0

        events = count("normalize", "sent")
        return Text(
            f"  {events} events ({events / seconds:.0f}/s)  {count('alert')} findings  "
            f"{count('trigger')} alert revisions  {count('act')} effects  "
            f"{sum(account.dead.total() for account in accounts.values())} dead letters",
            style="green",
        )

    def _summary(self, narrator: Narrator) -> None:
        out = self._console.print
        out("\n[bold]What became of it[/bold]")
        for account in ("normalize", "match", "correlate", "alert"):
            a = self._pipeline.metrics.account(account)
            out(
                f"  {account:<10} {a.received:>6} in = {a.sent} passed on + "
                f"{a.filtered.total()} filtered + {a.dead.total()} dead letters"
            )
        out(f"  first alert after {narrator.first_alert:.1f} s, report after "
            f"{narrator.first_report:.1f} s")  # fmt: skip
        out(f"  would have been blocked: {', '.join(sorted(narrator.would_block)) or 'nothing'}")
        out(f"  refused by a guard: {', '.join(sorted(narrator.refused)) or 'nothing'}")
        for path in narrator.reports:
            out(f"  report: [bold]{path}[/bold]")


def _raw(line: Line) -> Any:
    """All lines of one source keep their order: they share a key."""
    return raw_record(line.data, source=line.source, received=line.at, key=line.source.encode())
