"""Case 8: containments end, whatever happens at that moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playbooks.leases import undo_pause
from tests.faults.cases.crashes import contain
from tests.faults.cases.tally import Row, tally
from tests.faults.cases.world import HOUR, MINUTE, SECOND
from tocsin.contracts import Cancel

if TYPE_CHECKING:
    from tests.faults.cases.world import World

IP = "203.0.113.9"
WANTED = {("keyed", IP): 1}
#: Runs of one address that do not share a deduplication key, so that each holds for itself.
EACH = contain("keyed").replace("key: alert.source.ip", "key: alert.rule.id")
#: The same, and the run stays open, so that it can be cancelled.
STAYING = EACH + "  - {id: stay, wait: 6h}\n"


def state(world: World) -> str:
    return str(next((lease["state"] for lease in world.leases().values()), ""))


async def expires_while_down(world: World) -> list[Row]:
    """The time passes while nothing runs: undone at the next start, once, and said how late."""
    world.use(EACH)
    await world.begin()
    await world.feed(world.alert(IP))
    await world.until("the block", lambda: world.finished() == ["completed"])
    await world.crash()
    world.later(3 * HOUR)
    await world.begin()
    await world.until("the undo", lambda: state(world) == "released")
    assert world.target.requests["/keyed/undo"] == 1
    assert not world.target.in_force
    [lease] = world.leases().values()
    assert lease["changed"] - lease["expires"] >= 2 * HOUR - SECOND
    world.audit_holds()
    return [tally("expiry while down", world.target.effects, WANTED, "undone once, late")]


async def at_the_same_instant(world: World) -> list[Row]:
    """A TTL, another run that wants it longer, and the cancelling of the first, at one instant.

    Whichever comes first, the second run holds it for its hour: it is never open in between for
    longer than the product needs, and never held by nobody.
    """
    world.use(STAYING)
    await world.begin()
    await world.feed(world.alert(IP, rule="first"))
    await world.until("the block", lambda: len(world.kinds("waiting")) == 1)
    [first] = world.started()
    [lease] = world.leases().values()
    world.later(lease["expires"] - world.clock.now())
    now = world.clock.now()
    await world.feed(world.alert(IP, rule="second"))
    await world.command(Cancel(run_id=first, by="ana", reason="test", at=now))
    await world.until("the first run to end", lambda: world.finished() == ["cancelled"])
    await world.until("the second to hold it", lambda: len(world.kinds("waiting")) == 2)
    await world.until("what is due", lambda: state(world) == "active")
    second = world.started()[1]
    await world.still(
        "held by the second run",
        lambda: (
            [h["run_id"] for h in next(iter(world.leases().values()))["holders"]] == [second]
            and world.target.in_force == {("keyed", IP)}
        ),
        0.3,
    )
    world.later(HOUR)
    await world.until("the end", lambda: state(world) == "released")
    assert not world.target.in_force
    world.audit_holds()
    times = sum(world.target.effects.values())
    return [tally("ttl = extension = cancel", world.target.effects, {("keyed", IP): times},
                  "held by the second run to its end")]  # fmt: skip


async def one_of_two_leaves(world: World) -> list[Row]:
    """Two runs hold it; the one that leaves takes nothing away from the other."""
    world.use(STAYING)
    await world.begin()
    await world.feed(world.alert(IP, rule="first"))
    await world.until("the block", lambda: bool(world.target.in_force))
    world.later(30 * MINUTE)
    await world.feed(world.alert(IP, rule="second"))
    await world.until("two holders", lambda: len(_holders(world)) == 2)
    [first, second] = world.started()
    now = world.clock.now()
    await world.command(Cancel(run_id=first, by="ana", reason="a mistake", at=now))
    await world.until("one holder", lambda: _holders(world) == [second])
    await world.still("held", lambda: bool(world.target.in_force), 0.2)
    world.later(HOUR)
    await world.until("the end", lambda: state(world) == "released")
    assert world.target.requests["/keyed/apply"] == world.target.requests["/keyed/undo"] == 1
    world.audit_holds()
    return [tally("two holders", world.target.effects, WANTED, "held until the last one left")]


def _holders(world: World) -> list[str]:
    return [h["run_id"] for lease in world.leases().values() for h in lease["holders"]]


async def undo_fails_for_an_hour(world: World) -> list[Row]:
    """Undoing is tried again with growing pauses, a person is called, and then it works."""
    world.use(EACH)
    await world.begin()
    await world.feed(world.alert(IP))
    await world.until("the block", lambda: world.finished() == ["completed"])
    world.target.plans["/keyed/undo"] = ["500"] * 10_000
    world.later(HOUR)
    began = world.clock.now()
    while world.clock.now() - began < HOUR:
        await _failure_on_record(world)
        await _another_try(world)
    await world.until("an alarm", lambda: state(world) == "undo_failed")
    assert world.target.in_force, "it is still there, and nobody says otherwise"
    await _failure_on_record(world)
    world.target.plans.clear()
    world.later(HOUR)
    await world.until("the undo", lambda: state(world) == "released")
    assert not world.target.in_force
    assert 6 <= _tries(world) <= 30, "pauses grow"
    world.audit_holds()
    said = f"alarm, undone at try {_tries(world)}"
    return [tally("undo fails for an hour", world.target.effects, WANTED, said)]


def _tries(world: World) -> int:
    return world.target.requests["/keyed/undo"]


async def _failure_on_record(world: World) -> None:
    await world.until(
        "the failure on record",
        lambda: [x["undo_attempts"] or -1 for x in world.leases().values()] == [_tries(world)],
    )


async def _another_try(world: World) -> None:
    done = _tries(world)
    world.later(undo_pause(done) + SECOND)
    await world.until("another try", lambda: _tries(world) > done)
