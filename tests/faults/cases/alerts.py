"""Cases 4, 7, 10 and 11: alerts that repeat, storm, lie about addresses, or come at odd times."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from playbooks.guards import SiteGuards
from playbooks.ranges import NamedList
from tests.faults.cases.crashes import contain
from tests.faults.cases.products import POOL
from tests.faults.cases.tally import Row, tally
from tests.faults.cases.world import HOUR, MINUTE, SECOND

if TYPE_CHECKING:
    from tests.faults.cases.world import World

IP = "203.0.113.9"
DAY = 24 * HOUR


async def repeated(world: World) -> list[Row]:
    """Case 4: the same alert twice, of two detectors, and on both sides of a window's edge."""
    world.use(contain("keyed"))
    await world.begin()
    edge = world.clock.now() // DAY * DAY + DAY
    same = world.alert(IP, id="same", window_start=edge - DAY)
    newer = world.alert(IP, id="same", window_start=edge - DAY, revision=2)
    other = world.alert(IP, rule="another-detector", window_start=edge - DAY)
    await world.feed(same, same, other, newer)
    await world.until("one run", lambda: world.finished() == ["completed"])
    last, first = (world.alert(IP, window_start=edge + at) for at in (-1, 0))
    after = world.alert(IP, window_start=edge + 1)
    await world.feed(last, first, after)
    await world.until("a run of each window", lambda: world.finished() == ["completed"] * 2)
    await world.still("no third run", lambda: len(world.started()) == 2)
    assert world.target.requests["/keyed/apply"] == 1, "the second run joins the lease of the first"
    [lease] = world.leases().values()
    assert len(lease["holders"]) == 2
    world.audit_holds()
    said = "2 windows, 2 runs, 1 lease with 2 holders"
    return [tally("7 alerts", world.target.effects, {("keyed", IP): 1}, said)]


#: Looks the same addresses up that the other playbook blocks meanwhile.
LOOKING = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: looking}
trigger: {when: 'alert.rule.id == "keyed"'}
steps:
  - {id: look, action: look.slow, with: {ip: !cel alert.source.ip}, timeout: 60s}
"""


async def slow_connector(world: World) -> list[Row]:
    """Case 7, first half: a product answers nobody for as long as we like, a storm waits for it."""
    world.use(*(contain(each, f'alert.rule.id == "{each}"') for each in ("slow", "keyed")), LOOKING)
    world.target.plans["/slow/apply"] = ["late"] * 100_000
    world.target.plans["/slow/look"] = ["late"] * 100_000
    await world.begin()
    wanted = {
        (("slow", "keyed")[n % 2], f"203.0.{n // 250}.{n % 250 + 1}"): 1
        for n in range(world.backend.many)
    }
    await world.feed(*(world.alert(ip, rule=product) for product, ip in wanted))
    await world.until(
        "everybody to be contained by the other product",
        lambda: len(world.target.effects) == len(wanted) // 2,
    )
    slow = _slow(world)
    assert 0 < slow <= POOL, "more calls at once than the connector allows"
    assert not [at for at in world.target.effects if at[0] == "slow"]
    if world.backend.bootstrap:
        # Longer than a session: a member that did not poll would have lost its partitions.
        await world.still("quiet", lambda: _slow(world) == slow, 8)
    world.target.plans.clear()
    world.target.release()
    await world.until("all runs to end", lambda: len(world.finished()) == len(wanted) * 3 // 2)
    assert set(world.finished()) == {"completed"}
    keys = [world.target.keys[f"/slow/{what}"].values() for what in ("apply", "look")]
    assert {times for each in keys for times in each} == {1}, (
        "a call was cut off by a rebalance and made again"
    )
    assert not world.engine.metrics.account("act").errors
    world.audit_holds()
    said = f"{len(wanted)} alerts, at most {slow} slow calls at once, the others unaffected"
    return [tally("slow connector", world.target.effects, wanted, said)]


def _slow(world: World) -> int:
    return world.target.requests["/slow/apply"] + world.target.requests["/slow/look"]


async def retry_after(world: World) -> list[Row]:
    """Case 7, second half: a product that asks for a pause of 2 s gets it, then 500, then works."""
    world.use(contain("keyed"))
    world.target.plans["/keyed/apply"] = ["429", "500", "act_and_drop"]
    await world.begin()
    await world.feed(world.alert(IP))
    for attempt, pause in ((1, 2 * SECOND), (2, 2 * SECOND), (3, 4 * SECOND)):
        await _retries(world, attempt)
        event = world.kinds("retry_scheduled")[-1]
        assert event.data["due"] - event.at <= pause
        if attempt == 1:
            assert event.data["due"] - event.at >= 2 * SECOND, "Retry-After was not honoured"
        world.later(event.data["due"] - event.at - 1)
        await world.still("it waits", partial(_asked, world, attempt), 0.15)
        world.later(1)
    await world.until("the run to end", lambda: world.finished() == ["completed"])
    assert _asked(world, 4)
    assert len(world.target.keys["/keyed/apply"]) == 1, "attempts had different keys"
    world.audit_holds()
    said = "ok after 429 (2 s waited), 500, act and drop"
    return [tally("429, 500, drop", world.target.effects, {("keyed", IP): 1}, said)]


async def _retries(world: World, count: int) -> None:
    await world.until("a retry to be set", lambda: len(world.kinds("retry_scheduled")) == count)


def _asked(world: World, times: int) -> bool:
    return world.target.requests["/keyed/apply"] == times


#: All of them mean, or contain, an address that must not be touched, or are refused as unreadable.
ODD = (
    "192.0.2.7", "192.0.2.7/32", "192.0.0.0/16", "192.0.2.0/24", "0.0.0.0/0", "::/0",
    "::ffff:192.0.2.7", "::ffff:c000:207", "0:0:0:0:0:FFFF:C000:0207", "::192.0.2.7",
    "64:ff9b::192.0.2.7", "2002:c000:0207::1", "0300.0000.0002.0007", "192.000.002.007",
    "0xc0.0x0.0x2.0x7", "0xc0000207", "3221225991", "192.519", "192.0.2.7%eth0",
    "192.0.2.1-192.0.2.9", "191.255.255.255-193.0.0.0", " 192.0.2.7", "192.0.2.7\n",
    "\uff11\uff19\uff12.0.2.7", "192\u30020\u30022\u30027", "2001:db8::7", "2001:DB8:0:0::7",
    "2001:db8::/16", "fe80::1%eth0", "fe80::1", "127.0.0.1", "::1", "::ffff:127.0.0.1",
    "169.254.169.254", "224.0.0.1", "255.255.255.255", "0.0.0.0/32", "",
)  # fmt: skip


async def guarded(world: World) -> list[Row]:
    """Case 10: ranges over an allow-listed address and every odd spelling; one good one between."""
    lists = {
        "own_ranges": NamedList.parse("own_ranges", ["192.0.2.0/24", "2001:db8::/32"]),
    }
    world.guards = SiteGuards(lists, never=("own_ranges",))
    world.use(contain("keyed"))
    await world.begin()
    await world.feed(*(world.alert(ip) for ip in ODD), world.alert(IP))
    await world.until("all to end", lambda: len(world.finished()) == len(ODD) + 1)
    ends = {e.run_id: e.data["steps"]["block"] for e in world.kinds("finished")}
    assert sorted(set(ends.values())) == ["failed", "ok", "refused"]
    assert list(ends.values()).count("ok") == 1
    assert world.target.requests["/keyed/apply"] == 1
    refused = len(ODD)
    said = f"{refused} refused, each with its reason"
    reasons = [e.data.get("verdicts") or e.data.get("reason") for e in world.kinds("refused")]
    assert all(reasons)
    world.audit_holds()
    return [tally("spellings", world.target.effects, {("keyed", IP): 1}, said)]


WAITING = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: waiting}
trigger: {when: "true"}
limits: {deadline: 6h}
steps:
  - {id: pause, wait: 10m}
  - id: block
    action: block.keyed
    with: {ip: !cel alert.source.ip}
    hold: {ttl: 2h, max: 4h}
    timeout: 30s
"""


async def clocks_jump(world: World) -> list[Row]:
    """Case 11: the clock goes back and forth by an hour, alerts bear the times of other days."""
    world.use(WAITING)
    await world.begin()
    now = world.clock.now()
    others = [now + 3 * DAY, now - 40 * DAY, now]
    ips = [f"203.0.113.{n}" for n in (1, 2, 3)]
    pairs = zip(ips, others, strict=True)
    await world.feed(*(world.alert(ip, window_start=at) for ip, at in pairs))
    await world.until("all to wait", lambda: len(world.kinds("waiting")) == 3)
    world.later(-HOUR)
    await world.still("nothing is due an hour ago", lambda: not world.finished(), 0.3)
    await world.feed(world.alert("203.0.113.4"))
    await world.until("the fourth to wait", lambda: len(world.kinds("waiting")) == 4)
    world.later(2 * HOUR)
    await world.until("all to end", lambda: len(world.finished()) == 4)
    assert set(world.finished()) == {"completed"}
    late = [e.data["late_by"] for e in world.kinds("succeeded", step="pause")]
    assert all(each >= 50 * MINUTE - SECOND for each in late), "the lateness is on record"
    world.later(-HOUR)
    await world.still("leases hold", lambda: len(world.target.in_force) == 4, 0.3)
    world.later(2 * HOUR)
    await world.still("not due yet", lambda: len(world.target.in_force) == 4, 0.3)
    world.later(HOUR)
    await world.until("all to be undone", lambda: not world.target.in_force)
    world.audit_holds()
    wanted = {("keyed", f"203.0.113.{n}"): 1 for n in range(1, 5)}
    return [tally("jumps of an hour", world.target.effects, wanted, "ok, lateness on record")]
