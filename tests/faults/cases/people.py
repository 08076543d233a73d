"""Cases 9 and 16: answers that come late, twice, from the wrong one; and a storm that asks once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.faults.cases.tally import Row, tally
from tests.faults.cases.world import MINUTE
from tocsin.contracts import Decision

if TYPE_CHECKING:
    from tests.faults.cases.world import World
    from tocsin.contracts import RunEvent

ASKING = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: asking}
trigger: {when: "true", dedup: {key: alert.rule.id, window: 1d}}
limits: {deadline: 6h}
steps:
  - id: ask
    approval:
      message: "Shut {{ alert.source.ip }} out?"
      approvers: {group: soc, quorum: 1, exclude: [alert.user.name]}
      timeout: 30m
      on_timeout: deny
  - id: block
    if: steps.ask.decision == "approved"
    action: block.keyed
    with: {ip: !cel alert.source.ip}
    hold: {ttl: 1h, max: 4h}
"""


def answer(world: World, run: str, by: str, **changes: Any) -> Decision:
    """An answer to the newest question of a run."""
    asked = [e for e in world.kinds("approval_requested") if e.run_id == run][-1]
    given: dict[str, Any] = {
        "id": f"{by}-{run}", "approve": True, "by": by, "groups": ("soc",),
        "plan": asked.data["plan"], "at": world.clock.now(), **changes,
    }  # fmt: skip
    return Decision(run_id=run, step="ask", **given)


def answers(world: World, run: str) -> list[RunEvent]:
    return [e for e in world.kinds("answered") if e.run_id == run]


async def _asked(world: World, ip: str, rule: str) -> str:
    """A run that asks; its id."""
    before = len(world.kinds("approval_requested"))
    await world.feed(world.alert(ip, rule=rule))
    await world.until("a question", lambda: len(world.kinds("approval_requested")) > before)
    return world.kinds("approval_requested")[-1].run_id


async def approvals(world: World) -> list[Row]:
    """Case 9: two at once, by the subject, from a used link, to another plan, after the time."""
    world.use(ASKING)
    await world.begin()
    runs = {
        name: await _asked(world, f"203.0.113.{n}", name)
        for n, name in enumerate(("both", "subject", "replayed", "changed", "late"), 1)
    }
    run = runs["both"]
    await world.command(answer(world, run, "ana"), answer(world, run, "bor"))
    await world.until("both answers", lambda: len(answers(world, run)) == 2)
    assert [e.data["applied"] for e in answers(world, run)] == [True, False]

    run = runs["subject"]
    await world.command(
        answer(world, run, "mallory"), answer(world, run, "CORP\\Mallory", id="again"),
        answer(world, run, "eve", groups=("interns",)),
    )  # fmt: skip
    await world.until("its answers", lambda: len(answers(world, run)) == 3)
    assert not any(e.data["applied"] for e in answers(world, run))
    assert "excluded" in answers(world, run)[0].data["reason"]

    run = runs["replayed"]
    used = answer(world, run, "ana", approve=False, id="the link's id")
    await world.command(used)
    await world.until("the answer", lambda: len(answers(world, run)) == 1)
    await world.command(used, used.model_copy(update={"approve": True}))
    await world.still("not counted again", lambda: len(answers(world, run)) == 1, 0.2)

    run = runs["changed"]
    await world.command(answer(world, run, "ana", plan="0" * 64))
    await world.until("the answer", lambda: len(answers(world, run)) == 1)
    assert "another plan" in answers(world, run)[0].data["reason"]

    run = runs["late"]
    in_time = world.clock.now()
    world.later(31 * MINUTE)
    await world.command(answer(world, run, "ana"))
    await world.until("the answer", lambda: len(answers(world, run)) == 1)
    assert not answers(world, run)[0].data["applied"]
    await world.until("all to end", lambda: len(world.finished()) == len(runs))
    await world.command(answer(world, run, "bor", at=in_time))
    await world.until("the last word", lambda: len(answers(world, run)) == 2)
    assert not answers(world, run)[1].data["applied"], "the question is closed"
    ends = {e.run_id: e.data["steps"]["block"] for e in world.kinds("finished")}
    assert {name: ends[id_] for name, id_ in runs.items()} == {
        "both": "ok", "subject": "skipped", "replayed": "skipped", "changed": "skipped",
        "late": "skipped",
    }  # fmt: skip
    world.audit_holds()
    said = "1 approved once; subject, stranger, used link, other plan, late: recorded, not applied"
    wanted = {("keyed", "203.0.113.1"): 1}
    return [tally("answers", world.target.effects, wanted, said)]


async def storm(world: World) -> list[Row]:
    """Case 16: thousands of alerts on one rule are one question, one answer, one effect."""
    world.use(ASKING)
    await world.begin()
    count = world.backend.storm
    for start in range(0, count, 100):
        await world.feed(
            *(world.alert(f"203.0.{n // 250}.{n % 250 + 1}") for n in range(start, start + 100))
        )
    await world.until("the question", lambda: bool(world.kinds("approval_requested")))

    def starts() -> int:
        return sum(c["kind"] == "start" for c in world.seen.commands)

    await world.until("all alerts to be decided on", lambda: starts() == count)
    [run] = world.started()
    await world.command(answer(world, run, "ana"))
    await world.until("the run to end", lambda: world.finished() == ["completed"])
    assert len(world.kinds("approval_requested")) == 1
    notes = len(world.kinds("attached"))
    assert notes <= 1_000
    [(product, ip)] = world.target.effects
    world.audit_holds()
    said = f"{count} alerts, 1 question, {notes} notes"
    return [tally("storm", world.target.effects, {(product, ip): 1}, said)]


TOGETHER = (
    ASKING.replace("id: asking", "id: together")
    .replace("key: alert.rule.id", "key: alert.source.ip")
    .replace("      timeout: 30m\n", "      timeout: 30m\n      together: alert.rule.id\n")
)


async def common_question(world: World) -> list[Row]:
    """Case 16, where each alert needs its own run: one question at a time, for all who wait."""
    world.use(TOGETHER)
    await world.begin()
    first = await _asked(world, "203.0.113.1", "r-1")
    count = min(world.backend.many, 200)
    ips = [f"198.51.{n // 250}.{n % 250 + 1}" for n in range(count)]
    await world.feed(*(world.alert(ip) for ip in ips))
    await world.until("a run for each", lambda: len(world.started()) == count + 1)
    await world.command(answer(world, first, "ana"))
    await world.until("one more question", lambda: len(world.kinds("approval_requested")) == 2)
    await world.still("and no third", lambda: len(world.kinds("approval_requested")) == 2, 0.2)
    asked = world.kinds("approval_requested")[1]
    await world.command(answer(world, asked.run_id, "ana"))
    await world.until("all to end", lambda: len(world.finished()) == count + 1)
    asked_for = len(world.kinds("approval_requested"))
    wanted = {("keyed", ip): 1 for ip in ["203.0.113.1", *ips]}
    world.audit_holds()
    said = f"{count + 1} runs, {asked_for} questions"
    return [tally("storm, a run each", world.target.effects, wanted, said)]
