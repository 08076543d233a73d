"""`playbook plan|explain|impact` and `runs rehearse`, on what a real pipeline has stored."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from tests.cli.asking import alert, asking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran
    from tests.playbooks.counting_target import CountingTarget

PLAYBOOK = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: shut}
trigger: {when: 'has(alert.source.ip) && alert.event.severity > 50'}
steps:
  - {id: contain, action: containment.webhook, with: {entity: !cel alert.source.ip},
     hold: {ttl: 1d}, guard: {never: [own_ranges]}}
"""


def test_from_a_run_to_a_test_and_from_alerts_to_their_impact(
    asking_site: Path, product: CountingTarget, tocsin: Callable[..., Ran]
) -> None:
    config = asking_site
    playbooks = config.parent / "playbooks"
    (playbooks / "ask.yml").unlink()
    (playbooks / "shut.yml").write_text(PLAYBOOK, "utf-8")
    given = alert(1)

    async def work() -> None:
        async with asking(config, given, alert(2, ip="192.0.2.7")) as world:
            await world.settle()

    asyncio.run(work())
    held = dict(product.held)
    rows = tocsin("runs", "list", "-c", config, "--json").rows()
    finished = [row["run_id"] for row in rows if row["kind"] == "finished"]
    assert len(finished) == 2
    test = playbooks / "shut.test.yml"
    for number, run in enumerate(finished):
        made = test.with_name(f"{number}.test.yml")
        assert tocsin("runs", "rehearse", run, "-o", made, "-c", config).code == 0
        made.rename(test)
        ran = tocsin("playbook", "test", playbooks)
        assert (ran.code, "1 of 1 tests passed" in ran.err) == (0, True), ran.err
    again = tocsin("runs", "rehearse", finished[0], "-o", test, "-c", config)
    assert (again.code, "not overwritten" in again.err) == (2, True)

    (told,) = tocsin(
        "playbook", "impact", "shut", "--since", "3650d", "-c", config, "--json"
    ).rows()
    assert told["triggered"] == told["runs"] == 2
    assert told["targets"] == {"containment.webhook": {"203.0.113.9": 1}}
    assert told["refused"] == {"never:own_ranges": 1}

    file = config.parent / "alert.json"
    file.write_bytes(given.value)
    (plan,) = tocsin("playbook", "plan", "shut", "--alert", file, "-c", config, "--json").rows()
    assert plan["triggered"] is True
    assert plan["steps"][0]["inputs"]["entity"] == "203.0.113.9"
    shown = tocsin("playbook", "plan", "shut", "--alert", file, "-c", config)
    assert (shown.code, "would be done" in shown.out) == (0, True)
    assert dict(product.held) == held

    quiet = orjson.loads(given.value)
    quiet["event"]["severity"] = 10
    file.write_bytes(orjson.dumps(quiet))
    assert tocsin("playbook", "plan", "shut", "--alert", file, "-c", config).code == 1
    ran = tocsin("playbook", "explain", "--alert", file, "-c", config)
    assert "shut: the alert does not start it" in ran.out
    assert "false  alert.event.severity > 50   (alert.event.severity = 10)" in ran.out
