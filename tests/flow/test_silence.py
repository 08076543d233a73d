"""Nothing comes any more, and that is noticed: the clock decides where no event does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.running import until
from tests.flow.test_reload import SEVERAL, configured, rule, running, write
from tests.flow.world import records
from tocsin.config import load
from tocsin.contracts import Topics

if TYPE_CHECKING:
    from pathlib import Path

SILENT = {
    **SEVERAL,
    "title": "Gone silent",
    "correlation": {
        "type": "event_count",
        "rules": ["rule_1"],
        "group-by": ["host.name"],
        "timespan": "1m",
        "condition": {"lt": 1},
    },
}


async def test_a_host_that_goes_silent_is_told_of_once(tmp_path: Path) -> None:
    write(tmp_path, rule(1, "/bin/sh"), SILENT)
    settings = load(configured(tmp_path, reload="1h")).model_copy(update={"lateness": 200})
    async with running(settings) as world:
        await world.feed("/bin/sh", "/bin/sh")

        async def told() -> bool:
            return await world.alerts() == {"Gone silent": 1}

        await until("an alert of the silence", told)
        assert await world.pipeline.settle(45), world.pipeline.down()
        findings = await records(world.pipeline.log, Topics.FINDINGS)
        assert len(findings) == 1
        clocks = [r for r in await records(world.pipeline.log, Topics.CORRELATE) if not r.key]
        assert len(clocks) == 1
        assert all(account.balanced for account in world.pipeline.metrics.accounts.values())
