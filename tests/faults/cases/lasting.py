"""Cases 12 to 15: what is kept outlives a lost snapshot, an upgrade, an outage, another secret."""

from __future__ import annotations

import hmac
import logging
import random
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from dev.process import free_port
from playbooks.decide import DecideStage
from playbooks.loading import PlaybookSet
from playbooks.run_store import RUN, load_run
from responders.webhook import Webhook, WebhookConfig
from tests.faults.cases.crashes import contain
from tests.faults.cases.people import ASKING, answer
from tests.faults.cases.tally import Row, tally
from tests.faults.cases.world import HOUR, MINUTE
from tocsin.config import StoreSettings
from tocsin.contracts import Mode, Topics
from tocsin.index import IndexSink, build_store
from tocsin.log.base import Outgoing, TopicPartition
from tocsin.runtime import SinkRunner, process_safely
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.cases.world import World
    from tocsin.log.base import Log, Record

IP = "203.0.113.9"
SEVERAL = """\
  - {id: pause, wait: 1m}
  - {id: told, action: tell.keyed, with: {channel: soc, message: !cel alert.message}}
"""


async def rebuilt(world: World) -> list[Row]:
    """Case 12: whatever prefix of the log a snapshot is of, the rest leads to the same state."""
    world.use(contain("keyed") + SEVERAL, ASKING.replace('"true"', 'alert.rule.id == "asks"'))
    world.target.plans["/keyed/apply"] = ["500", "act_and_drop"]
    await world.begin()
    await world.feed(world.alert(IP), world.alert(IP), world.alert("203.0.113.8", rule="asks"))
    await world.until("both to start", lambda: len(set(world.started())) == 3)
    while len(world.kinds("waiting")) < 2:
        world.later(5_000)  # past the pauses before new attempts
        await world.still("time passes", lambda: True, 0.1)
    asked = world.kinds("approval_requested")[0].run_id
    await world.command(answer(world, asked, "ana"))
    await world.until("the approved one to end", lambda: len(world.finished()) == 1)
    world.later(MINUTE)
    await world.until("all to end", lambda: len(world.finished()) == 3)
    await world.crash()
    effects, commands = dict(world.target.effects), 0
    await world.open()
    for partition, kept in (await _kept(world.log)).items():
        records = await _all(world.log, TopicPartition(Topics.COMMANDS, partition))
        commands += len(records)
        _same_from_every_prefix(world, records, kept)
    wanted = {("keyed", IP): 1, ("keyed", "203.0.113.8"): 1}
    said = f"{commands} commands, the same state from every prefix"
    return [tally("snapshot lost", effects, wanted, said)]


async def _all(log: Log, at: TopicPartition) -> list[Record]:
    found: list[Record] = []
    end = (await log.end_offsets(at.topic))[at]
    while part := await log.read(at, found[-1].offset + 1 if found else 0, 1000):
        found += part
        if found[-1].offset + 1 >= end:
            break
    return found


async def _kept(log: Log) -> dict[int, dict[str, Any]]:
    """What the log kept of the decide stage's state, by partition."""
    subscription = await log.subscribe("decide", Topics.COMMANDS, stateful=True)
    try:
        while len(subscription.assignment) < await log.partitions(Topics.COMMANDS):
            await subscription.poll(1, 0.5)
        return {at.partition: dict(subscription.state(at.partition))
                for at in subscription.assignment}  # fmt: skip
    finally:
        await subscription.close()


def _same_from_every_prefix(world: World, records: list[Record], kept: dict[str, Any]) -> None:
    """A snapshot after any prefix (through its JSON) and the rest, or no snapshot: one state."""
    stage = DecideStage(PlaybookSet(world.playbooks), Mode.ENFORCE, actions=world.actions)
    whole, told = KeyedState(), list[Outgoing]()
    snapshots: list[dict[str, bytes]] = [{}]
    for record in records:
        told += process_safely(stage, [record], whole, record.timestamp).outputs
        snapshots.append({key: orjson.dumps(value) for key, value in whole.items()})
    assert dict(whole) == kept, "the state that was kept is another than the log's"
    for cut, snapshot in enumerate(snapshots):
        state, said = KeyedState(snapshot), list[Outgoing]()
        for record in records[cut:]:
            said += process_safely(stage, [record], state, record.timestamp).outputs
        assert dict(state) == kept, f"from the snapshot after {cut} commands"
        assert said == told[len(told) - len(said) :]
        runs = [key.removeprefix(RUN) for key in state if key.startswith(RUN)]
        assert all(load_run(state, run) is not None for run in runs)


UPGRADED = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: upgraded, version: %d}
trigger: {when: "true"}
limits: {deadline: 6h}
steps:
  - {id: pause, wait: 10m}
  - id: block
    action: block.%s
    with: {ip: !cel alert.source.ip}
    hold: {ttl: 1h}
"""


async def upgraded(world: World) -> list[Row]:
    """Case 13: an open run goes on with the playbook it began with, a new one takes the new."""
    world.use(UPGRADED % (1, "natural"))
    await world.begin()
    await world.feed(world.alert("203.0.113.1"))
    await world.until("it to wait", lambda: len(world.kinds("waiting")) == 1)
    await world.stop()
    world.use(UPGRADED % (2, "keyed"))
    await world.begin()
    await world.feed(world.alert("203.0.113.2"))
    await world.until("both to wait", lambda: len(world.kinds("waiting")) == 2)
    world.later(10 * MINUTE)
    await world.until("both to end", lambda: world.finished() == ["completed"] * 2)
    assert {e.data["version"] for e in world.kinds("started")} == {1, 2}
    world.audit_holds()
    wanted = {("natural", "203.0.113.1"): 1, ("keyed", "203.0.113.2"): 1}
    return [tally("upgrade", world.target.effects, wanted, "1 run on version 1, 1 on version 2")]


async def outage(world: World) -> list[Row]:
    """Case 14: the log away for five minutes and the store for the whole day, in mid-run."""
    world.use(contain("keyed") + SEVERAL)
    world.target.plans["/keyed/apply"] = ["late"]
    await world.begin()
    url = f"http://127.0.0.1:{free_port()}"
    store = build_store(
        StoreSettings(backend="elasticsearch", url=url), world.directory, world.clock
    )
    await store.start()
    sink = SinkRunner(
        IndexSink(Topics.RUNS, store, world.clock), world.log, clock=world.clock,
        metrics=world.engine.metrics,
    )  # fmt: skip
    world.engine.join(sink)
    try:
        await world.feed(world.alert(IP))
        await world.until("a call under way", lambda: world.target.requests["/keyed/apply"] == 1)
        async with world.backend.away():
            world.target.release()
            world.later(5 * MINUTE)
            await world.until("somebody to say so", lambda: bool(world.down()))
        await world.until("the store's absence on record", lambda: url in sink.down)
        await world.until("the pause", lambda: len(world.kinds("waiting")) == 1)
        world.later(MINUTE)
        await world.until("the run to end", lambda: world.finished() == ["completed"])
        world.later(24 * HOUR)
        await world.until("the lease to end", lambda: not world.target.in_force)
    finally:
        await store.close()
    assert world.target.requests["/keyed/apply"] == 1, "the call under way was made again"
    assert world.target.told == {"soc": 1}
    world.audit_holds()
    said = "ok, the call under way was recorded after the outage"
    return [tally("log and store away", world.target.effects, {("keyed", IP): 1}, said)]


HOOKED = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: hooked}
trigger: {when: "true"}
limits: {deadline: 6h}
steps:
  - {id: before, action: notify.webhook, with: {message: !cel alert.message}}
  - {id: pause, wait: 10m}
  - {id: after, action: notify.webhook, with: {message: !cel alert.message}}
  - {id: refused, action: notify.webhook, with: {message: again},
     retry: {max: 1, on: [timeout]}, on_error: continue}
"""


async def secret_rotated(world: World) -> list[Row]:
    """Case 15: a secret is another from one step to the next; neither stands anywhere."""
    canaries = [f"canary{random.Random(n).getrandbits(120):030x}" for n in range(2)]  # noqa: S311
    path = world.directory / "secret"
    path.write_text(canaries[0], "utf-8")
    hook = Webhook(
        WebhookConfig(
            channels={"default": f"{world.target.url}/hook/tell"},
            secret=f"file:{path}",
            allow_http=True,
        )
    )
    world.extra["hook"] = hook
    world.actions |= {each.verb: each for each in hook.manifest.actions}
    world.bindings |= {each.verb: "hook" for each in hook.manifest.actions}
    world.use(HOOKED)
    with overheard() as said:
        await world.begin()
        await world.feed(world.alert(IP))
        await world.until("the pause", lambda: len(world.kinds("waiting")) == 1)
        path.write_text(canaries[1], "utf-8")
        world.target.plans["/hook/tell"] = ["ok", "500"]
        world.later(10 * MINUTE)
        await world.until("the end", lambda: len(world.finished()) == 1)
        told = [orjson.dumps([e.data for e in world.seen.runs])]
        told += [r.value for records in world.seen.records.values() for r in records]
        await world.crash()
    before, after, *_ = zip(world.target.signatures, world.target.bodies, strict=True)
    assert _signed(*before, canaries[0])
    assert _signed(*after, canaries[1])
    assert not _signed(*after, canaries[0])
    files = [p.read_bytes() for p in world.directory.rglob("*") if p.is_file() and p != path]
    everything = b"".join([*told, *files, "\n".join(said).encode()])
    assert len(everything) > 10_000
    assert all(canary.encode() not in everything for canary in canaries)
    row = tally("rotation", {("hook", "default"): world.target.told[""]}, {("hook", "default"): 2},
                "the new one from the next call on; neither in topics, files, log")  # fmt: skip
    return [row]


@contextmanager
def overheard() -> Iterator[list[str]]:
    """What is logged meanwhile, with everything that libraries say."""
    said: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(self.format(record))

    root, listening = logging.getLogger(), Listening()
    level = root.level
    root.addHandler(listening)
    root.setLevel(logging.DEBUG)
    try:
        yield said
    finally:
        root.removeHandler(listening)
        root.setLevel(level)


def _signed(signature: str, body: bytes, key: str) -> bool:
    at, _, mac = signature.removeprefix("t=").partition(",v1=")
    return hmac.compare_digest(
        mac, hmac.new(key.encode(), f"{at}.".encode() + body, sha256).hexdigest()
    )
