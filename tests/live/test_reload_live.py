"""Rules that change while the pipeline runs on Kafka: taken between batches, windows go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dev.servers import kafka
from tests.flow.test_reload import SEVERAL, configured, rule, running, write
from tocsin.config import LogSettings, load

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


async def test_changed_rules_are_taken_on_kafka_and_windows_go_on(tmp_path: Path) -> None:
    write(tmp_path, rule(1, "/bin/sh"), SEVERAL)
    settings = load(configured(tmp_path, reload="1h"))
    with kafka(tmp_path / "kafka") as server:
        log = LogSettings(backend="kafka", bootstrap_servers=server.bootstrap)
        async with running(settings.model_copy(update={"log": log})) as world:
            await world.feed("/bin/sh", "/bin/sh", "/bin/zsh")
            assert await world.alerts() == {}

            write(tmp_path, rule(1, "/bin/sh"), SEVERAL, rule(2, "/bin/zsh"))
            await world.reloader.load()
            await world.feed("/bin/zsh", "/bin/sh")
            # The window was there before the change; what came before it meets no new rule.
            assert await world.alerts() == {"Several": 3, "Rule 2": 1}

            (tmp_path / "rules" / "more.yml").write_text("title: [", "utf-8")
            await world.reloader.load()
            await world.feed("/bin/zsh", "/bin/sh")
            assert await world.alerts() == {"Several": 4, "Rule 2": 2}
            assert world.count("tocsin_rule_reloads_total", outcome="loaded") == 1
            assert world.count("tocsin_rule_reloads_total", outcome="refused") == 1
