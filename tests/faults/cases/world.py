"""Trigger, decide and act on a real log, against the counting target, under a clock that we move.

The same cases run on the embedded log and on Kafka; a `Backend` is all that differs.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import orjson

from playbooks.act import ActWorker
from playbooks.decide import DecideStage
from playbooks.guards import SiteGuards
from playbooks.loading import PlaybookSet, load_playbook
from playbooks.trigger import TriggerStage
from tests.faults.cases.products import ACTIONS, BINDINGS, PRODUCTS, Product, Target
from tests.faults.running import until
from tests.playbooks.counting_target import serving
from tocsin import audit
from tocsin.clock import ManualClock, SystemClock, iso
from tocsin.config import LogSettings
from tocsin.contracts import AuditEntry, Effect, Mode, Result, RunEvent, Topics
from tocsin.errors import LogError, LogUnavailable
from tocsin.ids import digest
from tocsin.log.base import Outgoing, Topic
from tocsin.log.sqlite import SqliteLog
from tocsin.metrics import Metrics
from tocsin.runtime import Runner, StageRunner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from multiprocessing.process import BaseProcess

    from dev.servers import KafkaServer
    from playbooks.program import Playbook
    from responders.base import Action, Connector
    from tocsin.clock import Clock
    from tocsin.log.base import Log, Record

PARTITIONS = 4
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
#: Topics that a world watches.
WATCHED = (Topics.RUNS, Topics.EFFECTS, Topics.COMMANDS, Topics.AUDIT, Topics.DEAD_LETTERS)


@dataclass(frozen=True)
class Backend:
    """`bootstrap` is "" for the embedded log; `patience` in seconds.

    `many` alerts meet a slow product, `storm` ones come on one rule.
    """

    name: str
    bootstrap: str = ""
    patience: float = 20.0
    many: int = 40
    storm: int = 300
    server: KafkaServer | None = None

    def log(self, place: str, clock: Clock) -> Log:
        """The log at a place: a file, or topics of that prefix."""
        if not self.bootstrap:
            return SqliteLog(Path(place), clock=clock)
        from tocsin.log.kafka import KafkaLog

        settings = LogSettings(
            backend="kafka", bootstrap_servers=self.bootstrap, prefix=f"{Path(place).stem}."
        )
        return KafkaLog(settings, client_id=f"case-{os.getpid()}")

    @classmethod
    def of(cls, server: KafkaServer) -> Backend:
        """A real broker; whatever is killed there stays a member until its session ends, 6 s."""
        return cls("kafka", server.bootstrap, patience=90.0, many=1000, storm=10_000, server=server)

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Inside, nothing can be written: a full disk, or a broker that answers nothing."""
        if self.server is None:
            full = LogUnavailable("the disk is full")
            with patch("tocsin.log.sqlite_store.Store.write", side_effect=full):
                yield
            return
        self.server.pause()
        try:
            yield
        finally:
            self.server.resume()


SQLITE = Backend("sqlite")


@dataclass
class Seen:
    """Everything that stands in the watched topics, decoded."""

    records: dict[str, list[Record]] = field(default_factory=lambda: {t: [] for t in WATCHED})
    runs: list[RunEvent] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)

    def note(self, topic: str, record: Record) -> None:
        self.records[topic].append(record)
        match topic:
            case Topics.RUNS:
                self.runs.append(RunEvent.decode(record.value))
            case Topics.EFFECTS:
                self.effects.append(Effect.decode(record.value))
            case Topics.COMMANDS:
                command = orjson.loads(record.value)
                self.commands.append(command)
                if command["kind"] == "result":
                    self.results.append(Result.model_validate(command["result"]))


class Engine:
    """The workers of one process: `members` act workers, the two stages of the decide side."""

    def __init__(
        self,
        log: Log,
        playbooks: PlaybookSet,
        connectors: Mapping[str, Connector],
        *,
        clock: Clock,
        actions: Mapping[str, Action] = ACTIONS,
        bindings: Mapping[str, str] = BINDINGS,
        guards: Callable[[], SiteGuards] = SiteGuards,
        members: int = 1,
    ) -> None:
        self.metrics = Metrics()
        self._log, self._clock = log, clock
        self._act: Callable[[], ActWorker] = lambda: ActWorker(
            log, connectors, bindings=bindings, guards=guards, clock=clock,
            metrics=self.metrics, mode=Mode.ENFORCE,
        )  # fmt: skip
        self.trigger = TriggerStage(playbooks)
        self.decide = DecideStage(playbooks, Mode.ENFORCE, actions=actions)
        self.workers: list[Runner | ActWorker] = [
            StageRunner(stage, log, clock=clock, metrics=self.metrics)
            for stage in (self.trigger, self.decide)
        ]
        self.tasks: list[asyncio.Task[None]] = []
        self._members = members

    def start(self) -> None:
        for worker in (*self.workers, *(self._act() for _ in range(self._members))):
            self.join(worker)

    def join(self, worker: Runner | ActWorker | None = None) -> None:
        """One more worker; another act worker by default."""
        worker = worker or self._act()
        if worker not in self.workers:
            self.workers.append(worker)
        self.tasks.append(asyncio.create_task(worker.run(), name=worker.name))

    async def stop(self) -> None:
        for worker in self.workers:
            worker.stop()
        async with asyncio.timeout(40):
            await asyncio.gather(*self.tasks)

    async def crash(self) -> None:
        """Nothing is finished, nothing said: what is durable is durable."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def check(self) -> None:
        """Raise what ended a worker that should be at work."""
        for task in self.tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error


class World:
    """One case's log, target, clock and playbooks; `begin` and `stop` may be repeated."""

    def __init__(self, backend: Backend, directory: Path, target: Target) -> None:
        self.backend = backend
        self.target = target
        self.directory = directory
        self.clock = ManualClock(SystemClock().now())
        self.place = str(directory / f"case{digest(str(directory), self.clock.now())[:8]}.db")
        self.playbooks: dict[str, Playbook] = {}
        self.guards = SiteGuards()
        self.partitions = PARTITIONS
        self.actions: dict[str, Action] = dict(ACTIONS)
        self.bindings: dict[str, str] = dict(BINDINGS)
        self.extra: dict[str, Connector] = {}
        self.connectors: dict[str, Connector] = {}
        self.seen = Seen()
        self._log: Log | None = None
        self._engine: Engine | None = None
        self._watchers: list[asyncio.Task[None]] = []
        self._alerts = 0

    @property
    def log(self) -> Log:
        assert self._log is not None, "the world has not begun"
        return self._log

    @property
    def engine(self) -> Engine:
        assert self._engine is not None, "nothing runs"
        return self._engine

    def use(self, *texts: str) -> None:
        """Playbooks, each in place of an older one of its id."""
        for text in texts:
            made = load_playbook("case.yml", text.encode(), self.actions)
            self.playbooks[made.id] = made

    # the processes

    async def open(self) -> None:
        """The log and its topics, without anybody at work."""
        if self._log is None:
            self._log = self.backend.log(self.place, self.clock)
            await self._log.start()
            await self._log.create([Topic(name, self.partitions) for name in Topics.ALL])

    async def begin(self, members: int = 1) -> None:
        """A process that works, and somebody who watches the topics from their beginning."""
        await self.open()
        self.connectors = {n: Product(n, self.target.url) for n in PRODUCTS} | self.extra
        self._engine = Engine(
            self.log, PlaybookSet(self.playbooks), self.connectors, clock=self.clock,
            actions=self.actions, bindings=self.bindings, guards=lambda: self.guards,
            members=members,
        )  # fmt: skip
        self._engine.start()
        self.seen = Seen()
        self._watchers = [asyncio.create_task(self._watch(topic)) for topic in WATCHED]

    async def stop(self) -> None:
        """The process ends as SIGTERM would have it."""
        if self._engine is not None:
            await self._engine.stop()
        await self.close()

    async def crash(self) -> None:
        """The process is gone in the middle of what it was at."""
        if self._engine is not None:
            await self._engine.crash()
        await self.close()

    async def close(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        self._watchers, self._engine = [], None
        for connector in self.connectors.values():
            await connector.close()
        self.connectors = {}
        if self._log is not None:
            await self._log.close()
            self._log = None

    async def _watch(self, topic: str) -> None:
        """Note each record once, in order; a log that is away is asked again."""
        group, after = f"watch-{topic}-{os.urandom(4).hex()}", dict[int, int]()
        seen = self.seen
        while True:
            with suppress(LogError):
                subscription = await self.log.subscribe(group, topic)
                try:
                    while True:
                        for at, records in (await subscription.poll(5_000, 1.0)).items():
                            for record in records:
                                if record.offset > after.get(at.partition, -1):
                                    seen.note(topic, record)
                                    after[at.partition] = record.offset
                finally:
                    await subscription.close()
            await asyncio.sleep(0.1)  # the pause before the next try, nothing waits for it

    async def doomed(self, point: str, count: int = 1) -> None:
        """Another process works until it kills itself at a point; we are closed meanwhile."""
        process = await self.worker(point, count)
        await asyncio.to_thread(process.join, 60)
        code = process.exitcode
        await ended(process)
        assert code == -signal.SIGKILL, (
            f"the process was to die at {point} and ended with {code}:\n{self.said()}"
        )

    async def worker(self, point: str = "", count: int = 1) -> BaseProcess:
        """A process of this world, on the machine's clock."""
        from tests.faults.cases import doomed

        await self.close()
        spec = {
            "bootstrap": self.backend.bootstrap, "place": self.place, "url": self.target.url,
            "point": point, "count": count, "out": str(self.directory / "worker.log"),
            "playbooks": [p.source for p in self.playbooks.values()],
        }  # fmt: skip
        # Forked from a server that has everything imported: an interpreter costs a second each.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([doomed.__name__])
        process = context.Process(target=doomed.run, args=(spec,), daemon=True)
        process.start()
        return process

    def said(self) -> str:
        """What the other processes wrote."""
        return (self.directory / "worker.log").read_text("utf-8")

    # what happens to it

    def alert(self, ip: str = "203.0.113.9", rule: str = "r-1", **changes: Any) -> dict[str, Any]:
        """An alert document; each call makes another alert unless `id` is given."""
        self._alerts += 1
        own = {
            "id": changes.pop("id", f"a-{self._alerts}"),
            "revision": changes.pop("revision", 1),
            "window_start": iso(changes.pop("window_start", self.clock.now())),
        }
        return {
            "message": "guessing",
            "rule": {"id": rule, "name": "Guessing", "tags": ["attack.t1110"]},
            "event": {"severity": 73},
            "source": {"ip": ip},
            "user": {"name": "mallory"},
            "tocsin": {"alert": own},
            **changes,
        }

    async def feed(self, *alerts: dict[str, Any]) -> None:
        await self.open()
        now = self.clock.now()
        await self.log.append(
            [
                Outgoing(Topics.ALERTS, orjson.dumps(a), key=a["tocsin"]["alert"]["id"].encode(),
                         timestamp=now)
                for a in alerts
            ]
        )  # fmt: skip

    async def command(self, *commands: Any) -> None:
        """Commands of people: answers to approvals, cancellations."""
        await self.log.append(
            [
                Outgoing(Topics.COMMANDS, c.encode(), key=c.run_id.encode(), timestamp=c.at)
                for c in commands
            ]
        )

    async def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait for something to become so; says what everybody was at if it does not."""

        async def so() -> bool:
            self.engine.check()
            return condition()

        try:
            await until(what, so, self.backend.patience)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None

    async def still(self, what: str, condition: Callable[[], bool], seconds: float = 0.4) -> None:
        """It is so, and stays so for a while in which everybody has had several turns."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            assert condition(), f"{what}\n{self.story()}"
            await asyncio.sleep(0.02)

    def later(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)

    # what came of it

    def story(self) -> str:
        """The last of what happened, for a person who reads a failure."""
        lines = [f"{e.run_id[:6]} {e.kind} {e.step} {e.data}"[:300] for e in self.seen.runs[-40:]]
        return "\n".join([*lines, *self.down(), f"effects: {dict(self.target.effects)}"])

    def down(self) -> list[str]:
        """Who cannot work just now, and why."""
        return [f"{w.name}: {w.down}" for w in self.engine.workers if w.down]

    def kinds(self, kind: str, playbook: str = "", step: str = "") -> list[RunEvent]:
        """Events of a kind, of the runs of a playbook, of a step."""
        runs = self.started(playbook)
        return [
            e for e in self.seen.runs
            if e.kind == kind and step in ("", e.step) and (not playbook or e.run_id in runs)
        ]  # fmt: skip

    def started(self, playbook: str = "") -> list[str]:
        """The runs, in the order of their start."""
        return [
            e.run_id for e in self.seen.runs
            if e.kind == "started" and playbook in ("", e.data["playbook"])
        ]  # fmt: skip

    def finished(self, playbook: str = "") -> list[str]:
        """How the runs of a playbook ended."""
        return [str(e.data["outcome"]) for e in self.kinds("finished", playbook)]

    def leases(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The newest state of each lease, by verb and target."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for event in self.kinds("lease"):
            lease = event.data["lease"]
            at = (lease["verb"], lease["target"])
            if lease["changed"] >= found.get(at, lease)["changed"]:
                found[at] = lease
        return found

    def dead(self) -> list[dict[str, Any]]:
        return [orjson.loads(r.value) for r in self.seen.records[Topics.DEAD_LETTERS]]

    def audit_holds(self) -> None:
        """Every chain is whole, and each run's events are numbered without gap or repetition."""
        entries = {
            (e.chain, e.seq, e.hash): e
            for r in self.seen.records[Topics.AUDIT]
            for e in [AuditEntry.decode(r.value)]
        }
        audit.verify(list(entries.values())).check()
        for run in self.started():
            numbers = [e.seq for e in self.seen.runs if e.run_id == run and e.seq >= 0]
            assert sorted(numbers) == list(range(len(numbers))), (run, numbers)


async def ended(process: BaseProcess) -> None:
    """Kill a process of ours, if it has not ended, and wait for its end."""
    process.kill()
    await asyncio.to_thread(process.join)
    process.close()


@contextmanager
def quick_ticks() -> Iterator[None]:
    """Look at the clock often: it is ours, and jumps."""
    with patch("tocsin.runtime.TICK_SECONDS", 0.03), patch("playbooks.act.TICK_SECONDS", 0.03):
        yield


@asynccontextmanager
async def world(backend: Backend, directory: Path) -> AsyncIterator[World]:
    """A world whose target listens; whatever runs at the end is ended."""
    target = Target()
    os.makedirs(directory, exist_ok=True)
    async with serving(target):
        made = World(backend, directory, target)
        with quick_ticks():
            try:
                yield made
            finally:
                await made.crash()
