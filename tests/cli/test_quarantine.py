"""Playbooks that meet over the embedded log's partitions, and one that poisons itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.cli.asking import alert, asking
from tests.flow.world import records
from tocsin.contracts import Effect, RunEvent, Topics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran
    from tests.playbooks.counting_target import CountingTarget

HEAD = "apiVersion: tocsin/v1\nkind: Playbook\n"
CALLER = """\
metadata: {id: caller}
trigger: {when: true, concurrency: {key: alert.rule.id, max: 8}}
steps:
  - {id: sub, run: part, with: {ip: !cel alert.source.ip}}
  - {id: after, let: {how: steps.sub.output.how}}
"""
PART = """\
metadata: {id: part}
trigger: {when: false}
inputs: {ip: {required: true}}
outputs: {how: steps.shut.status}
steps:
  - {id: shut, action: containment.webhook, with: {entity: !cel inputs.ip}, hold: {ttl: 1d}}
"""
POISON = """\
metadata: {id: poison}
trigger: {when: true}
steps: [{id: a, let: {x: '1 / (1 - 1)'}}]
"""
ALERTS = 24


def test_case_06_a_poison_playbook_is_shown_released_and_harms_no_other(
    asking_site: Path, product: CountingTarget, tocsin: Callable[..., Ran]
) -> None:
    config = asking_site
    playbooks = config.parent / "playbooks"
    (playbooks / "ask.yml").unlink()
    for name, text in (("caller", CALLER), ("part", PART), ("poison", POISON)):
        (playbooks / f"{name}.yml").write_text(HEAD + text, "utf-8")

    async def work() -> tuple[list[RunEvent], list[Effect]]:
        alerts = [alert(n, ip=f"203.0.113.{n}") for n in range(1, ALERTS + 1)]
        async with asking(config, *alerts) as world:
            await world.settle()
            log = world.pipeline.log
            runs = [RunEvent.decode(r.value) for r in await records(log, Topics.RUNS)]
            return runs, [Effect.decode(r.value) for r in await records(log, Topics.EFFECTS)]

    runs, effects = asyncio.run(work())
    # Every alert went through its caller, its part and back, over four partitions.
    lets = [event.data["values"] for event in runs if event.kind == "let"]
    assert lets == [{"how": "ok"}] * ALERTS
    assert len({effect.id for effect in effects}) == ALERTS
    assert sum(event.kind == "queued" for event in runs) == ALERTS

    failed = {e.run_id for e in runs if e.kind == "failed" and e.step == "a"}
    assert 5 <= len(failed) <= 4 * 5  # each of four partitions counts for itself
    [listed] = tocsin("playbook", "quarantine", "-c", config, "--json").rows()
    assert listed["playbook"] == "poison"
    assert "divi" in listed["reason"]
    letters = tocsin("dead-letters", "list", "-c", config, "--json").out
    assert letters.count("quarantined") >= ALERTS - len(failed)
    assert tocsin("playbook", "release", "caller", "-c", config).code == 2
    assert tocsin("playbook", "release", "poison", "--by", "ana", "-c", config).code == 0

    async def again() -> None:
        async with asking(config) as world:
            await world.settle()

    asyncio.run(again())
    assert tocsin("playbook", "quarantine", "-c", config, "--json").rows() == []
