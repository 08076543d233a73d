"""Case 6: playbooks that harm the engine by themselves are put aside, and the others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from playbooks.poison import LIMIT, QUARANTINED
from tests.faults.cases.crashes import contain
from tests.faults.cases.tally import Row, tally
from tocsin.contracts import AuditEntry, Topics
from tocsin.errors import ContentErrors

if TYPE_CHECKING:
    from tests.faults.cases.world import World

HEAD = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: %s}
trigger: {when: "true"}
"""
#: An expression that never has a value, a fan-out of a million, a text of half a gigabyte, a
#: question that cannot be asked: each fails on every alert, and takes no time or memory to do it.
POISON = {
    "failing": "steps:\n  - {id: a, let: {x: '1 / (1 - 1)'}}\n",
    "fan-out": "steps:\n  - id: a\n    for_each:\n"
    "      in: 'alert.many.map(a, alert.many.map(b, b))[0]'\n"
    "      do: {id: b, action: look.keyed, with: {ip: !cel item}}\n",
    "output": "vars: {s: '\"0123456789abcdef\"'}\nsteps:\n"
    + "".join(
        f"  - {{id: s{n}, let: {{x: '{before} + {before}'}}}}\n"
        for n in range(26)
        for before in ("vars.s" if not n else f"steps.s{n - 1}.x",)
    ),
    "question": "steps:\n  - id: a\n    approval:\n      message: may I\n"
    "      approvers: {group: soc, exclude: ['[1][3]']}\n      timeout: 5m\n",
}
#: Refused before it ever runs.
BOMB = "steps:\n  - {id: a, stop: '{% for a in alert.many %}{{ alert.message }}{% endfor %}'}\n"


async def quarantined(world: World) -> list[Row]:
    """Case 6: each is quarantined after some failures, with an alarm; the good one never waits."""
    world.use(contain("keyed"), *(HEAD % name + rest for name, rest in POISON.items()))
    with pytest.raises(ContentErrors, match="'for' is not allowed in a text"):
        world.use(HEAD % "bomb" + BOMB)
    world.partitions = 1  # each counts for itself
    await world.begin()
    ips = [f"203.0.113.{n + 1}" for n in range(2 * LIMIT)]
    await world.feed(*(world.alert(ip, many=list(range(150))) for ip in ips))
    await world.until(
        "the good one to contain all",
        lambda: world.finished("contain-keyed") == ["completed"] * len(ips),
    )
    await world.until("all poison to be put aside", lambda: set(_aside(world)) == set(POISON))
    await world.until("no start to wait", lambda: _left(world, len(ips)) == 0)
    letters = [letter for letter in world.dead() if letter["code"] == "quarantined"]
    assert len(letters) == len(POISON) * LIMIT
    assert all(letter["reason"] for letter in letters)
    assert all("completed" not in world.finished(name) for name in POISON)
    world.audit_holds()
    wanted = {("keyed", ip): 1 for ip in ips}
    said = f"{len(POISON)} kinds put aside with an alarm, {len(letters)} starts held back"
    return [tally("poison playbooks", world.target.effects, wanted, said)]


def _left(world: World, alerts: int) -> int:
    """Starts of poison that have neither ended nor been refused."""
    ended = sum(len(world.finished(name)) for name in POISON)
    return alerts * len(POISON) - ended - len(world.dead())


def _aside(world: World) -> list[str]:
    entries = [AuditEntry.decode(r.value) for r in world.seen.records[Topics.AUDIT]]
    return [str(e.body["playbook"]) for e in entries if e.kind == QUARANTINED]
