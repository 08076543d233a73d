"""Rules that change while the pipeline runs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

from tests.flow.world import END, records
from tocsin.cli.pipeline import Pipeline
from tocsin.config import Settings, load
from tocsin.contracts import Topics, raw_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from tocsin.cli.reloading import RuleReloader


def rule(number: int, command: str, **changes: Any) -> dict[str, Any]:
    return {
        "title": f"Rule {number}",
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "name": f"rule_{number}",
        "logsource": {"product": "linux", "service": "sudo"},
        "detection": {"s": {"COMMAND|contains": command}, "condition": "s"},
        "level": "high",
        **changes,
    }


SEVERAL = {
    "title": "Several",
    "id": "00000000-0000-4000-8000-00000000c001",
    "level": "critical",
    "correlation": {
        "type": "event_count",
        "rules": ["rule_1"],
        "group-by": ["host.name"],
        "timespan": "10m",
        "condition": {"gte": 3},
    },
}


def write(directory: Path, *contents: dict[str, Any], name: str = "rules.yml") -> None:
    (directory / "rules").mkdir(parents=True, exist_ok=True)
    draft = directory / "draft"
    draft.write_text(yaml.safe_dump_all(contents), "utf-8")
    draft.replace(directory / "rules" / name)


def configured(directory: Path, **rules: Any) -> Path:
    content = {
        "data_dir": "data",
        "rules": {"builtin": False, "paths": ["rules"], "reload": "20ms", **rules},
        "playbooks": {"builtin": []},
        "console": {"enabled": False},
    }
    path = directory / "tocsin.yaml"
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


class Running:
    """A pipeline at work, to be fed."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._second = 0

    @property
    def reloader(self) -> RuleReloader:
        assert self.pipeline.reloader is not None
        return self.pipeline.reloader

    @property
    def registry(self) -> CollectorRegistry:
        return self.pipeline.metrics.registry

    async def feed(self, *commands: str) -> None:
        """Lines of sudo, each a second later, to their end."""
        lines = []
        for command in commands:
            self._second += 1
            lines.append(
                raw_record(
                    f"Nov 18 10:00:{self._second:02} web-1 sudo:   alice : TTY=pts/0 ; PWD=/ ; "
                    f"USER=root ; COMMAND={command}".encode(),
                    source="web-1",
                    received=END,
                )
            )
        await self.pipeline.log.append(lines)
        assert await self.pipeline.settle(45), self.pipeline.down()

    async def alerts(self) -> dict[str, int]:
        """The rules of all alerts so far, with the number of events in the newest revision."""
        found: dict[str, int] = {}
        for record in await records(self.pipeline.log, Topics.ALERTS):
            document = orjson.loads(record.value)
            found[document["rule"]["name"]] = document["tocsin"]["alert"]["count"]
        return found

    def count(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@asynccontextmanager
async def running(settings: Settings, **options: Any) -> AsyncIterator[Running]:
    stages = ("normalize", "match", "correlate", "alert")
    pipeline = Pipeline(settings, stages=stages, **options)
    async with pipeline, asyncio.TaskGroup() as group:
        group.create_task(pipeline.run())
        yield Running(pipeline)
        pipeline.stop()


@pytest.mark.parametrize("members", [1, 3])
async def test_changed_rules_are_taken_between_batches(tmp_path: Path, members: int) -> None:
    write(tmp_path, rule(1, "/bin/sh"))
    settings = load(configured(tmp_path, reload="1h"))
    async with running(settings, members=members) as world:
        await world.feed("/bin/sh", "/bin/zsh")
        assert await world.alerts() == {"Rule 1": 1}
        write(tmp_path, rule(1, "/bin/sh"), rule(2, "/bin/zsh"))
        await world.reloader.load()
        await world.feed("/bin/zsh", "/bin/sh")
        assert await world.alerts() == {"Rule 1": 2, "Rule 2": 1}
        assert world.count("tocsin_rules", state="evaluated") == 2
        assert world.count("tocsin_rule_reloads_total", outcome="loaded") == 1
        first = rule(1, "")["id"]
        assert world.count("tocsin_rule_matches_total", rule=first) == 2
        assert world.count("tocsin_rule_candidates_total", rule=first) == 2
        assert (world.count("tocsin_rule_seconds_total", rule=first) or 0) >= 0


async def test_a_broken_set_is_refused_and_the_old_one_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, rule(1, "/bin/sh"))
    async with running(load(configured(tmp_path, reload="1h"))) as world:
        await world.feed("/bin/sh")
        write(tmp_path, rule(1, "/bin/ls"), rule(2, "/bin/zsh", level="huge"))
        (tmp_path / "rules" / "more.yml").write_text("title: [", "utf-8")
        await world.reloader.load()
        assert "the changed rules are refused, those in use go on" in caplog.text
        assert "rules.yml:" in caplog.text
        assert "more.yml:" in caplog.text
        await world.feed("/bin/sh", "/bin/ls")
        assert await world.alerts() == {"Rule 1": 2}
        assert world.count("tocsin_rule_reloads_total", outcome="refused") == 1
        assert world.count("tocsin_rules", state="evaluated") == 1


async def test_windows_of_unchanged_correlations_go_on(tmp_path: Path) -> None:
    write(tmp_path, rule(1, "/bin/sh"), SEVERAL)
    async with running(load(configured(tmp_path, reload="1h"))) as world:
        await world.feed("/bin/sh", "/bin/sh")
        assert await world.alerts() == {}
        write(tmp_path, rule(1, "/bin/sh"), SEVERAL, rule(2, "/bin/zsh"))
        await world.reloader.load()
        await world.feed("/bin/sh")
        assert await world.alerts() == {"Several": 3}


async def test_new_correlations_are_counted_from_then_on(tmp_path: Path) -> None:
    write(tmp_path, rule(1, "/bin/sh"))
    async with running(load(configured(tmp_path, reload="1h"))) as world:
        await world.feed("/bin/sh", "/bin/sh")
        write(tmp_path, rule(1, "/bin/sh"), SEVERAL)
        await world.reloader.load()
        await world.feed("/bin/sh", "/bin/sh")
        assert "Several" not in await world.alerts()
        await world.feed("/bin/sh")
        assert (await world.alerts())["Several"] == 3


async def test_the_configuration_of_rules_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, rule(1, "/bin/sh"))
    path = configured(tmp_path, reload="1h")
    async with running(load(path), reread=lambda: load(path)) as world:
        configured(tmp_path, reload="1h", disable=["rule_1"])
        await world.reloader.load()
        await world.feed("/bin/sh")
        assert await world.alerts() == {}
        path.write_text("rules: {disable: [nobody]}", "utf-8")
        await world.reloader.load()
        path.write_text("nonsense: 1", "utf-8")
        await world.reloader.load()
        assert world.count("tocsin_rule_reloads_total", outcome="refused") == 2


async def test_nothing_is_taken_where_nothing_changed(tmp_path: Path) -> None:
    write(tmp_path, rule(1, "/bin/sh"))
    async with running(load(configured(tmp_path, reload="1h"))) as world:
        before = world.pipeline.content.rules
        write(tmp_path, rule(1, "/bin/sh"), name="rules.yml")
        await world.reloader.load()
        assert world.pipeline.content.rules is before
        assert world.count("tocsin_rule_reloads_total", outcome="unchanged") == 1


async def test_files_are_looked_at(tmp_path: Path) -> None:
    """A copy that takes its time is not read half way; what is broken meanwhile is no matter."""
    write(tmp_path, rule(1, "/bin/sh"))
    async with running(load(configured(tmp_path))) as world:
        taken = asyncio.Event()
        use = world.pipeline._use

        def used(loaded: Any) -> None:
            use(loaded)
            taken.set()

        world.reloader._use = used
        (tmp_path / "rules" / "half.yml").write_text("title: [", "utf-8")
        write(tmp_path, rule(2, "/bin/zsh"), name="half.yml")
        async with asyncio.timeout(30):
            await taken.wait()
        assert {r.rule.name for r in world.pipeline.content.rules.rules} == {"Rule 1", "Rule 2"}
        taken.clear()
        (tmp_path / "rules" / "half.yml").unlink()
        async with asyncio.timeout(30):
            await taken.wait()
        assert {r.rule.name for r in world.pipeline.content.rules.rules} == {"Rule 1"}
        assert world.count("tocsin_rule_reloads_total", outcome="refused") is None


def test_sighup_loads_at_once(tmp_path: Path) -> None:
    write(tmp_path, rule(1, "/bin/sh"))
    path = configured(tmp_path, reload=0)
    process = subprocess.Popen(
        [sys.executable, "-m", "tocsin.cli", "run", "-c", path],
        env={**os.environ, "PYTHONWARNINGS": "error"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("dry run" in line for line in lines)
        write(tmp_path, rule(1, "/bin/sh"), rule(2, "/bin/zsh"))
        process.send_signal(signal.SIGHUP)
        told = next(line for line in lines if "rules loaded anew" in line)
        assert "1 rules before, 2 after: 1 added" in told
        write(tmp_path, rule(1, "/bin/sh", level="huge"))
        process.send_signal(signal.SIGHUP)
        assert any("are refused" in line for line in lines)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
