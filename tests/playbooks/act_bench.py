"""A worker on a real embedded log, and ways to give it effects and to wait for what it says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from playbooks.act import ActWorker
from tests.playbooks.effects_on_trial import T0, Firewall, no_guards
from tocsin import audit
from tocsin.clock import ManualClock
from tocsin.contracts import AuditEntry, Effect, Mode, Result, Returned, RunEvent, Topics
from tocsin.log.base import Outgoing, Record, Topic, TopicPartition
from tocsin.log.sqlite import SqliteLog
from tocsin.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from playbooks.act_calls import AnswerLine
    from playbooks.guards import SiteGuards
    from responders.base import Connector
    from tocsin.log.base import Log
    from tocsin.reconcile_config import ReconcileSettings

PARTITIONS = 4
DEADLINE = 20.0


async def open_log(path: Path, clock: ManualClock | None = None) -> SqliteLog:
    log = SqliteLog(path, clock=clock or ManualClock(T0))
    await log.start()
    await log.create([Topic(name, PARTITIONS) for name in Topics.ALL])
    return log


def record(effect: Effect) -> Outgoing:
    return Outgoing(Topics.EFFECTS, effect.encode(), key=effect.target.encode(), timestamp=T0)


async def everything(log: Log, topic: str) -> list[Record]:
    found: list[Record] = []
    for number in range(PARTITIONS):
        at = TopicPartition(topic, number)
        while part := await log.read(at, len([r for r in found if r.partition == number]), 1000):
            found += part
    return found


class Bench:
    """One worker and what the test needs to know of it."""

    def __init__(
        self,
        log: Log,
        connectors: Mapping[str, Connector],
        clock: ManualClock,
        *,
        mode: Mode = Mode.ENFORCE,
        guards: Callable[[], SiteGuards] = no_guards,
        bindings: Mapping[str, str] | None = None,
        notify_in_dry_run: bool = False,
        reconcile: ReconcileSettings | None = None,
        answer_line: AnswerLine | None = None,
    ) -> None:
        self.log = log
        self.clock = clock
        self.metrics = Metrics()
        if bindings is None:
            bindings = {
                action.verb: name
                for name, connector in connectors.items()
                for action in connector.manifest.actions
            }
        self.worker = ActWorker(
            log,
            connectors,
            bindings=bindings,
            guards=guards,
            clock=clock,
            metrics=self.metrics,
            mode=mode,
            notify_in_dry_run=notify_in_dry_run,
            reconcile=reconcile,
            answer_line=answer_line,
        )

    async def ask(self, *effects: Effect) -> None:
        await self.log.append([record(effect) for effect in effects])

    async def everything(self, topic: str) -> list[Record]:
        return await everything(self.log, topic)

    async def results(self, count: int) -> list[Result]:
        """Wait until there are at least `count` results, and give all of them."""
        await self.until(Topics.COMMANDS, lambda found: len(found) >= count)
        found = await everything(self.log, Topics.COMMANDS)
        return [Returned.decode(each.value).result for each in found]

    async def lease_changes(self, *wanted: str) -> list[RunEvent]:
        """Wait until the changes of leases end with those wanted, and give all of them."""

        def complete(found: list[Record]) -> bool:
            told = [RunEvent.decode(each.value).data["change"] for each in found]
            return told[-len(wanted) :] == list(wanted)

        await self.until(Topics.RUNS, complete)
        return [RunEvent.decode(each.value) for each in await everything(self.log, Topics.RUNS)]

    async def until(self, topic: str, enough: Callable[[list[Record]], bool]) -> None:
        """Wait for records of a topic; each wait ends when a record comes."""
        async with asyncio.timeout(DEADLINE):
            subscription = await self.log.subscribe(f"test-{id(enough)}", topic)
            found: list[Record] = []
            try:
                while not enough(found):
                    for part in (await subscription.poll(1000, 1.0)).values():
                        found += part
            finally:
                await subscription.close()

    async def audit_holds(self) -> list[AuditEntry]:
        """All audit entries; their chains must hold."""
        entries = [AuditEntry.decode(e.value) for e in await everything(self.log, Topics.AUDIT)]
        audit.verify(entries).check()
        return entries


@asynccontextmanager
async def working(bench: Bench) -> AsyncIterator[Bench]:
    """The worker runs within; it must end without an error."""
    task = asyncio.create_task(bench.worker.run())
    try:
        yield bench
    finally:
        bench.worker.stop()
        async with asyncio.timeout(DEADLINE):
            await task


@asynccontextmanager
async def acting(
    path: Path,
    firewall: Firewall,
    *,
    clock: ManualClock | None = None,
    mode: Mode = Mode.ENFORCE,
    guards: Callable[[], SiteGuards] = no_guards,
    notify_in_dry_run: bool = False,
) -> AsyncIterator[Bench]:
    """A log, one product, a worker."""
    clock = clock or ManualClock(T0)
    log = await open_log(path / "log.db", clock)
    try:
        bench = Bench(
            log,
            {"firewall": firewall},
            clock,
            mode=mode,
            guards=guards,
            notify_in_dry_run=notify_in_dry_run,
        )
        async with working(bench):
            yield bench
    finally:
        await log.close()
