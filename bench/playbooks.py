"""Playbooks under load: `python -m bench playbooks`, on the embedded log, in one process.

Three questions. A storm: alerts at 10,000 a minute through dedup, decide and act, against a
product that takes 50 ms; how long a decision takes (from the alert being in the log to its effect
being in the log) and whether memory stays flat. A restart: how soon a new process has the timers
of 100,000, with 1,000 runs that wait for people among them. Triggers: `bench.expressions`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from bench import expressions
from playbooks.act import ActWorker
from playbooks.decide import DecideStage
from playbooks.ended import KEPT_WHOLE
from playbooks.guards import SiteGuards
from playbooks.loading import PlaybookSet, load_playbook
from playbooks.trigger import TriggerStage
from responders.base import Action, ActionClass, EntityKind, Idempotence, Inputs, Manifest
from tocsin.clock import SystemClock, iso
from tocsin.contracts import Mode, Topics
from tocsin.garbage import keep_what_is_loaded
from tocsin.log.base import Completion, Outgoing, Topic
from tocsin.log.sqlite import SqliteLog
from tocsin.metrics import Metrics
from tocsin.runtime import StageRunner
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from responders.base import Call
    from tocsin.log.base import Log, Record

PARTITIONS = 4
#: The storm: alerts a second, seconds, and what of them is warm-up.
RATE, SECONDS, WARM_UP = 10_000 / 60, 60, 10
#: For the question of memory: runs are kept whole for so long (ms), and addresses held: what is
#: ten minutes otherwise is ten seconds, so that what grows without end shows within a minute.
KEPT, HELD = 10_000, "15s"
#: Every so manieth alert is about an address never seen; the others repeat the last ones.
DISTINCT = 2
CALL_SECONDS = 0.05
WAITING, TIMERS = 1_000, 100_000
BARS = {"storm": "decision p99 < 200 ms", "restart": "< 10 s"}

BLOCK = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: contain, version: 1}
trigger:
  when: >-
    alert.rule.tags.exists(t, t.startsWith("attack.t1110")) && alert.event.severity >= 60
    && has(alert.source.ip)
  dedup: {key: 'alert.rule.id + "|" + alert.source.ip', window: 1h}
limits: {deadline: 15m}
vars: {ip: alert.source.ip}
steps:
  - id: block
    action: firewall.block_ip
    with: {ip: !cel vars.ip}
    hold: {ttl: %s, max: 24h, extend_on_repeat: 2.0}
    guard: {rate: {max: 500, per: 1s}}
    timeout: 10s
"""
ASK = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: ask, version: 1}
trigger: {when: "true"}
limits: {deadline: 6h}
steps:
  - id: ask
    approval: {message: "Shut {{ alert.source.ip }} out?", approvers: {group: soc}, timeout: 5h}
  - id: block
    if: steps.ask.decision == "approved"
    action: firewall.block_ip
    with: {ip: !cel alert.source.ip}
    hold: {ttl: 1h}
"""
WAIT = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: wait, version: 1}
trigger: {when: "true"}
limits: {deadline: 6h}
steps:
  - {id: pause, wait: 4h}
"""


class Address(Inputs):
    """What the product takes."""

    ip: str


BLOCKING = Action(
    "firewall.block_ip", ActionClass.CONTAIN, Idempotence.NATURAL, Address, "ip",
    EntityKind.ADDRESS, reversible=True,
)  # fmt: skip


class Product:
    """A product that takes its time."""

    manifest = Manifest("firewall", "", (BLOCKING,), max_concurrency=32)

    def __init__(self) -> None:
        self.calls = 0

    async def act(self, call: Call) -> dict[str, Any]:
        await asyncio.sleep(CALL_SECONDS)
        self.calls += 1
        return {"rule": call.target}

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    async def probe(self, call: Call) -> dict[str, Any] | None:
        return None

    async def check(self) -> str:
        return "fine"

    async def close(self) -> None:
        """Nothing is open."""


def alert(number: int, ip: str, at: int) -> dict[str, Any]:
    """An alert with ten pieces of evidence, as the alert stage makes them."""
    evidence = {**expressions.EVIDENCE, "at": at}
    own = {"id": f"a-{number:026d}", "revision": 1, "window_start": iso(at - at % 3_600_000)}
    return {
        **expressions.ALERT,
        "source": {"ip": ip},
        "related": {"ip": [ip], "user": ["root", "admin"]},
        "tocsin": {"alert": own, "evidence": [evidence] * 10},
    }


def playbooks(*texts: str) -> PlaybookSet:
    """Playbooks of their texts."""
    made = [load_playbook("bench.yml", t.encode(), {BLOCKING.verb: BLOCKING}) for t in texts]
    return PlaybookSet({each.id: each for each in made})


def memory() -> float:
    """Resident MiB of this process."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in x)
    return int(line.split()[1]) / 1024


# -- the storm -----------------------------------------------------------------------------------


class Storm:
    """One run of the storm, and when each address was alerted, decided on, and done."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.sent: dict[str, float] = {}
        self.triggered: dict[str, float] = {}
        self.decided: dict[str, float] = {}
        self.done: dict[str, float] = {}
        self.complete = False
        self.all_done = asyncio.Event()

    async def watch(self, topic: str) -> None:
        subscription = await self._log.subscribe(f"bench-{topic}", topic)
        try:
            while True:
                for records in (await subscription.poll(1000, 1.0)).values():
                    for record in records:
                        self._note(topic, record)
        finally:
            await subscription.close()

    def _note(self, topic: str, record: Record) -> None:
        now = time.perf_counter()
        if topic == Topics.EFFECTS:
            self.decided.setdefault((record.key or b"").decode(), now)
        elif b'"kind":"start"' in record.value:
            self.triggered.setdefault(orjson.loads(record.value)["alert"]["source"]["ip"], now)
        elif b'"kind":"result"' in record.value:
            body = orjson.loads(record.value)["result"]
            if body.get("lease"):
                self.done.setdefault(body["lease"]["target"], now)
                if self.complete and len(self.done) == len(self.sent):
                    self.all_done.set()

    async def produce(self) -> None:
        """Alerts at the rate, in steps of 50 ms."""
        clock, started, step, sent = SystemClock(), time.perf_counter(), 0.05, 0
        for turn in range(round(SECONDS / step)):
            due = round((turn + 1) * step * RATE)
            records = []
            self.complete = due == round(RATE * SECONDS)
            for number in range(sent, due):
                distinct = number // DISTINCT
                ip = f"100.{64 + distinct // 62500}.{distinct // 250 % 250}.{distinct % 250 + 1}"
                self.sent.setdefault(ip, time.perf_counter())
                body = orjson.dumps(alert(number, ip, clock.now()))
                records.append(Outgoing(Topics.ALERTS, body, key=ip.encode()))
            sent = due
            await self._log.append(records)
            await asyncio.sleep(max(0.0, started + (turn + 1) * step - time.perf_counter()))

    def latencies(self, ends: Mapping[str, float]) -> list[float]:
        """Ms from alert to end, of addresses after the warm-up."""
        warm = min(self.sent.values()) + WARM_UP
        return sorted((ends[ip] - at) * 1000 for ip, at in self.sent.items() if at > warm)


@asynccontextmanager
async def engine(
    log: Log, made: PlaybookSet, product: Product, kept: int = KEPT_WHOLE
) -> AsyncIterator[None]:
    """Trigger, decide and act at work."""
    clock, metrics = SystemClock(), Metrics()
    actions = {BLOCKING.verb: BLOCKING}
    workers: list[StageRunner | ActWorker] = [
        StageRunner(stage, log, clock=clock, metrics=metrics)
        for stage in (
            TriggerStage(made),
            DecideStage(made, Mode.ENFORCE, actions=actions, kept_whole=kept),
        )
    ]
    workers.append(
        ActWorker(
            log,
            {"firewall": product},
            bindings={BLOCKING.verb: "firewall"},
            guards=SiteGuards,
            clock=clock,
            metrics=metrics,
            mode=Mode.ENFORCE,
            kept_whole=kept,
        )
    )
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for worker in workers:
            worker.stop()
        await asyncio.gather(*tasks)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteLog]:
    """The embedded log with all topics."""
    log = SqliteLog(path, clock=SystemClock())
    await log.start()
    await log.create([Topic(name, PARTITIONS) for name in Topics.ALL])
    try:
        yield log
    finally:
        await log.close()


async def storm(path: Path, *, held: str = "1h", kept: int = KEPT_WHOLE) -> dict[str, Any]:
    """One row; addresses are held so long, and runs kept whole (ms)."""
    product = Product()
    async with opened(path) as log, engine(log, playbooks(BLOCK % held), product, kept):
        seen = Storm(log)
        watchers = [asyncio.create_task(seen.watch(t)) for t in (Topics.EFFECTS, Topics.COMMANDS)]
        used, resident = time.process_time(), []
        producing = asyncio.create_task(seen.produce())
        while not producing.done():
            resident.append(memory())
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(producing), SECONDS / 6)
        behind = time.perf_counter()
        async with asyncio.timeout(120):
            await seen.all_done.wait()
        cpu = time.process_time() - used
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
    triggers = seen.latencies(seen.triggered)
    decisions, whole = seen.latencies(seen.decided), seen.latencies(seen.done)
    count = round(RATE * SECONDS)
    return {
        "bench": "playbooks",
        "what": "storm" if kept == KEPT_WHOLE else "memory",
        "alerts_per_minute": round(RATE * 60),
        "effects": product.calls,
        "wanted": len(seen.sent),
        "trigger_p50_ms": round(statistics.median(triggers)),
        "decision_p50_ms": round(statistics.median(decisions)),
        "decision_p99_ms": round(decisions[int(len(decisions) * 0.99)]),
        "done_p99_ms": round(whole[int(len(whole) * 0.99)]),
        "behind_s": round(time.perf_counter() - behind, 1),
        "cpu_ms_per_alert": round(cpu * 1000 / count, 2),
        "resident_mib": [round(each) for each in resident],
        "bar": BARS["storm"],
    }


# -- the restart ---------------------------------------------------------------------------------


def runs(made: PlaybookSet) -> Iterator[tuple[str, dict[str, Any]]]:
    """The state of runs that wait: of each playbook one is started, the others are its copies."""
    stage = DecideStage(made, Mode.ENFORCE, actions={BLOCKING.verb: BLOCKING})
    now = SystemClock().now()
    for playbook_id, count in (("ask", WAITING), ("wait", TIMERS // 2 - WAITING)):
        one = PlaybookSet({playbook_id: made.playbooks[playbook_id]})
        state = KeyedState()
        document = Outgoing(Topics.ALERTS, orjson.dumps(alert(0, "203.0.113.9", now)))
        [start] = TriggerStage(one).process([_record(document)], KeyedState(), now).outputs
        stage.process([_record(start)], state, now)
        run_id = orjson.loads(start.value)["run_id"]
        for number in range(count):
            other = f"{number:08x}{run_id[8:]}"
            for key, value in state.items():
                if run_id in key:
                    text = orjson.dumps(value).replace(run_id.encode(), other.encode())
                    yield key.replace(run_id, other), orjson.loads(text)
                elif not number:
                    yield key, value


def _record(made: Outgoing) -> Record:
    from tocsin.log.base import Record

    return Record(made.topic, 0, 0, made.key, made.value)


async def prepare(path: Path, made: PlaybookSet) -> None:
    """Have the log keep the runs, spread over the partitions."""
    async with opened(path) as log:
        subscription = await log.subscribe("decide", Topics.COMMANDS, stateful=True)
        await subscription.poll(1, 0.1)
        for number, (key, value) in enumerate(runs(made)):
            subscription.state(hash(key.partition("/")[2]) % PARTITIONS)[key] = value
            if number % 10_000 == 0:
                await _save(subscription)
        await _save(subscription)
        await subscription.close()


async def _save(subscription: Any) -> None:
    await subscription.complete(
        [
            Completion(at, None, [], subscription.state(at.partition))
            for at in subscription.assignment
        ]
    )


async def restart(path: Path) -> dict[str, Any]:
    """One row: from opening the log to the first tick of every partition."""
    made = playbooks(ASK, WAIT)
    await prepare(path, made)
    gc.collect()
    before, began, used = memory(), time.perf_counter(), time.process_time()
    async with opened(path) as log:
        subscription = await log.subscribe("decide", Topics.COMMANDS, stateful=True)
        while len(subscription.assignment) < PARTITIONS:
            await subscription.poll(1, 0.1)
        stage = DecideStage(made, Mode.ENFORCE, actions={BLOCKING.verb: BLOCKING})
        states = [subscription.state(number) for number in range(PARTITIONS)]
        now = SystemClock().now()
        for number, state in enumerate(states):
            stage.tick(number, state, now)
        seconds, cpu = time.perf_counter() - began, time.process_time() - used
        grown = memory() - before
        fired = sum(len(stage.tick(n, s, now + 43_200_000)) for n, s in enumerate(states))
        await subscription.close()
    return {
        "bench": "playbooks",
        "what": "restart",
        "approvals": WAITING,
        "timers": fired,
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu, 2),
        "grown_mib": round(grown),
        "bar": BARS["restart"],
    }


def run() -> list[dict[str, Any]]:
    """A row for each question."""
    keep_what_is_loaded()
    with tempfile.TemporaryDirectory() as name:
        # In this order: the restart leaves a large heap, which garbage collection walks.
        rows = [asyncio.run(storm(Path(name) / "storm.db"))]
        rows.append(asyncio.run(storm(Path(name) / "memory.db", held=HELD, kept=KEPT)))
        rows.append(asyncio.run(restart(Path(name) / "restart.db")))
    return rows


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row))
