"""Cases 1, 2, 3 and 5: a process is killed, frozen or robbed of its partitions in mid-step."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.faults.cases.tally import Row, tally
from tests.faults.cases.world import HOUR, ended
from tests.faults.running import until
from tocsin.errors import LogInUse

if TYPE_CHECKING:
    from tests.faults.cases.world import World

IP = "203.0.113.9"
NATURES = ("natural", "keyed", "probe", "none")

CONTAIN = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {{id: contain-{product}}}
trigger: {{when: '{when}', dedup: {{key: alert.source.ip, window: 1d}}}}
limits: {{deadline: 12h}}
steps:
  - id: block
    action: block.{product}
    with: {{ip: !cel alert.source.ip}}
    hold: {{ttl: 1h, max: 4h}}
    timeout: 30s
"""
#: Where it is safe to repeat; the engine refuses it for a product of no idempotence.
RETRY = """\
    retry: {max: 5, initial: 1s, cap: 10s, on: [timeout, unavailable, rate_limited, http_5xx]}
"""


def contain(product: str, when: str = "alert.event.severity >= 47") -> str:
    """A playbook that blocks an alert's address at a product."""
    return CONTAIN.format(product=product, when=when) + (RETRY if product != "none" else "")


async def after_the_effect(world: World) -> list[Row]:
    """Case 1: the product has acted, nobody has written it down: once for each idempotence."""
    return await _killed_in_the_call(world, "after_effect", twice={"natural", "keyed"})


async def after_started(world: World) -> list[Row]:
    """Case 2: it was written down that the call starts, and it was never made."""
    return await _killed_in_the_call(world, "after_started", twice=set())


async def _killed_in_the_call(world: World, point: str, twice: set[str]) -> list[Row]:
    happened = point == "after_effect"
    # An address each: what concerns one target is done one after the other.
    addresses = {nature: f"203.0.113.{n}" for n, nature in enumerate(NATURES, 1)}
    world.use(*(contain(each, f'alert.rule.id == "{each}"') for each in NATURES))
    await world.feed(*(world.alert(ip, rule=each) for each, ip in addresses.items()))
    await world.doomed(point, len(NATURES))
    await world.begin()
    await world.until("all runs to end", lambda: len(world.finished()) == len(NATURES))
    rows = []
    for nature in NATURES:
        [outcome] = world.finished(f"contain-{nature}")
        unknown = nature == "none"
        assert outcome == ("failed" if unknown else "completed"), nature
        asked = world.target.requests[f"/{nature}/apply"]
        assert asked == (2 if nature in twice else 0 if unknown and not happened else 1), nature
        wanted = {(nature, addresses[nature]): int(happened or not unknown)}
        effects = {at: n for at, n in world.target.effects.items() if at[0] == nature}
        status = world.kinds("finished", f"contain-{nature}")[0].data["steps"]["block"]
        assert status == ("unknown" if unknown else "ok")
        words = "unknown: a person is asked" if unknown else "ok"
        rows.append(tally(nature, effects, wanted, words))
    # Whatever may be in force has a lease that ends it.
    assert {verb for verb, _ in world.leases()} == {f"block.{nature}" for nature in NATURES}
    world.later(2 * HOUR)
    await world.until(
        "everything to be undone",
        lambda: {lease["state"] for lease in world.leases().values()} == {"released"},
    )
    assert not world.target.in_force
    world.audit_holds()
    return rows


async def between_output_and_commit(world: World) -> list[Row]:
    """Case 3: each stage in turn has written its outputs and dies before it commits."""
    world.use(contain("keyed"), contain("probe"))
    await world.feed(world.alert(IP))
    for stage in ("trigger", "decide", "act"):
        await world.doomed(f"output:{stage}")
    await world.begin()
    await world.until("both runs to end", lambda: len(world.finished()) == 2)
    assert world.finished() == ["completed"] * 2
    assert len(set(world.started())) == len(world.started()) == 2, "a run started twice"
    world.audit_holds()
    wanted = {("keyed", IP): 1, ("probe", IP): 1}
    return [tally("trigger, decide, act", world.target.effects, wanted, "ok")]


async def rebalanced(world: World) -> list[Row]:
    """Case 5, first half: partitions move while a call is under way; it is resumed, not repeated.

    Three members join; the one that takes the partition of the call asks the product again.
    """
    world.use(contain("keyed"))
    world.target.plans["/keyed/apply"] = ["late"] * 3
    await world.begin()
    await world.feed(world.alert(IP))
    await world.until("a call under way", lambda: world.target.requests["/keyed/apply"] == 1)
    for _ in range(3):
        world.engine.join()
    await world.until(
        "another member to take the call over", lambda: world.target.requests["/keyed/apply"] > 1
    )
    world.target.plans.clear()
    world.target.release()
    await world.until("the run to end", lambda: world.finished() == ["completed"])
    assert len(world.target.keys["/keyed/apply"]) == 1
    world.audit_holds()
    asked = world.target.requests["/keyed/apply"]
    row = tally("rebalance", world.target.effects, {("keyed", IP): 1}, f"ok, asked {asked} x")
    return [row]


async def frozen(world: World) -> list[Row]:
    """Case 5, second half: a worker freezes in a call, another goes on, the frozen one wakes up.

    The embedded log has one process: nobody else gets in, and the frozen one goes on.
    """
    world.use(contain("keyed"))
    world.target.plans["/keyed/apply"] = ["late"]
    await world.feed(world.alert(IP))
    process = await world.worker()
    pid = process.pid or 0
    try:
        await _called(world)
        os.kill(pid, signal.SIGSTOP)
        if world.backend.bootstrap:
            await world.begin()
            await world.until("another to finish it", lambda: world.finished() == ["completed"])
            world.target.release()
            os.kill(pid, signal.SIGCONT)
            # Whatever it still wants to write is refused: everything stays as it is.
            await world.still("nothing changes", lambda: len(world.finished()) == 1, 8)
            assert process.is_alive(), world.said()
            said = "fenced; the other finished"
        else:
            await _locked_out(world)
            os.kill(pid, signal.SIGCONT)
            world.target.release()
            await _done(world)
            said = "locked out; it went on itself"
    finally:
        await ended(process)
    if not world.backend.bootstrap:
        await world.begin()
        await world.until("the run to end", lambda: world.finished() == ["completed"])
    world.audit_holds()
    return [tally("frozen", world.target.effects, {("keyed", IP): 1}, said)]


async def _called(world: World) -> None:
    async def called() -> bool:
        return bool(world.target.requests["/keyed/apply"])

    await until("a call under way", called, world.backend.patience)


async def _done(world: World) -> None:
    async def done() -> bool:
        return bool(world.target.effects)

    await until("the effect", done, world.backend.patience)


async def _locked_out(world: World) -> None:
    try:
        await world.open()
    except LogInUse:
        await world.close()
        return
    raise AssertionError("two processes had the embedded log")
