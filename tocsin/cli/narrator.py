"""Telling what happens in a pipeline, a line each, by following its topics."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import orjson
from rich.markup import escape

from tocsin.clock import iso
from tocsin.contracts import Topics
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tocsin.log.base import Log, Record, TopicPartition

#: Seconds between two looks at the topics.
LOOK_SECONDS = 0.1
#: Alerts below this severity are counted, not told.
TOLD_SEVERITY = 40

#: Containment verbs and how a person says them.
_BLOCKS = {"firewall.block_ip": "block", "containment.webhook": "contain"}

_FOLLOWED = (Topics.ALERTS, Topics.RUNS, Topics.DEAD_LETTERS)


class Narrator:
    """Follows alerts, runs and dead letters and prints them as sentences (rich markup)."""

    def __init__(self, log: Log, say: Callable[[str], None], started: float) -> None:
        """`started` is time.monotonic() of the beginning, for the figures."""
        self._log = log
        self._say = say
        self._started = started
        self._offsets: dict[TopicPartition, int] = {}
        self._told: set[str] = set()
        self._asked: dict[tuple[str, str], tuple[str, str]] = {}
        self.first_alert = 0.0
        self.first_report = 0.0
        self.would_block: set[str] = set()
        self.blocked: set[str] = set()
        self.refused: set[str] = set()
        self.reports: list[str] = []
        self.quiet_alerts: set[str] = set()

    async def follow(self) -> None:
        """Follow until cancelled."""
        while True:
            await self.caught_up()
            await asyncio.sleep(LOOK_SECONDS)

    async def caught_up(self) -> None:
        """Tell everything that is in the topics by now."""
        for topic in _FOLLOWED:
            for at, end in (await self._log.end_offsets(topic)).items():
                while (offset := self._offsets.get(at, 0)) < end:
                    records = await self._log.read(at, offset, 500)
                    if not records:
                        break
                    self._offsets[at] = records[-1].offset + 1
                    for record in records:
                        self._tell(record)

    def _tell(self, record: Record) -> None:
        body = orjson.loads(record.value)
        for line in _TELLERS[record.topic](self, body):
            self._say(line)

    def alert(self, document: dict[str, Any]) -> Iterator[str]:
        """The first revision of an alert."""
        key = document["tocsin"]["alert"]["id"]
        if key in self._told:
            return
        self._told.add(key)
        severity = document["event"]["severity"]
        self.first_alert = self.first_alert or time.monotonic() - self._started
        if severity < TOLD_SEVERITY:
            self.quiet_alerts.add(key)
            return
        colour = "bold red" if severity >= 90 else "red" if severity >= 70 else "yellow"
        techniques = document.get("threat", {}).get("technique", {}).get("id", [])
        yield (
            f"  [{colour}]ALERT {severity:>3}[/{colour}]  {_safe(document['message'])}"
            f"  [dim]{_safe(' '.join(techniques))}[/dim]"
        )

    def run(self, event: dict[str, Any]) -> Iterator[str]:
        """What a reader wants to know of a run: start, containment, refusals, report, end."""
        run, step, data = event["run_id"], event.get("step", ""), event["data"]
        head = f"  [magenta]RUN {run[:6]}[/magenta]  "
        match event["kind"]:
            case "started":
                yield f"{head}playbook {_safe(data['playbook'])} starts"
            case "requested":
                self._asked[run, step] = (data["verb"], data["target"])
            case "dry_run":
                yield f"{head}{self._imagined(run, step, data.get('output', {}))}"
            case "refused":
                self.refused.add(self._asked.get((run, step), ("", step))[1])
                verdicts = [v for v in data.get("verdicts", []) if not v["allowed"]]
                reasons = [f"{v['guard']}: {v.get('reason', '')}" for v in verdicts]
                yield f"{head}{_safe(step)}: [bold yellow]refused[/bold yellow]: " + _safe(
                    "; ".join(reasons)
                )
            case "failed" | "unknown":
                yield f"{head}{_safe(step)}: [red]{event['kind']}[/red] {_safe(data)}"
            case "succeeded":
                yield from self._succeeded(head, step, data)
            case "finished":
                yield f"{head}{data['outcome']} after {data['duration']} ms"

    def _imagined(self, run: str, step: str, output: dict[str, Any]) -> str:
        """What enforcement would have done."""
        verb, target = self._asked.get((run, step), (step, ""))
        until = f" until {iso(output['expires'])[11:16]} UTC" if "expires" in output else ""
        if verb in _BLOCKS:
            self.would_block.add(target)
        return f"[bold]would {_BLOCKS.get(verb, verb)} {_safe(target)}[/bold]{until} (dry run)"

    def _succeeded(self, head: str, step: str, data: dict[str, Any]) -> Iterator[str]:
        if paths := data.get("output", {}).get("paths"):
            self.first_report = self.first_report or time.monotonic() - self._started
            self.reports.extend(path for path in paths if path.endswith(".html"))
            yield f"{head}report written"
        elif data.get("lease"):
            target = data["lease"]["target"]
            self.blocked.add(target)
            yield f"{head}{_safe(step)}: [bold green]{_safe(target)} is blocked[/bold green]"
        elif "connector" in data:
            yield f"{head}[dim]{_safe(step)}: {_safe(data['connector'])} answered[/dim]"

    def dead_letter(self, letter: dict[str, Any]) -> Iterator[str]:
        """A record that was not understood."""
        yield f"  [yellow]DEAD LETTER[/yellow]  {letter['code']}: {_safe(letter['reason'])}"


_TELLERS: dict[str, Callable[[Narrator, dict[str, Any]], Iterator[str]]] = {
    Topics.ALERTS: Narrator.alert,
    Topics.RUNS: Narrator.run,
    Topics.DEAD_LETTERS: Narrator.dead_letter,
}


def _safe(text: object) -> str:
    return escape(printable(text))[:300]
