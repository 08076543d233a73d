"""The whole path with behaviour on: a stolen account becomes an alert, and gets a verdict."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import yaml
from click.testing import CliRunner

from tests.detect.behavior.events import ABROAD, DAY, HOUR, MONDAY, logon, records, working_days
from tests.flow.world import records as read
from tocsin.cli.main import cli
from tocsin.cli.pipeline import Pipeline
from tocsin.clock import ManualClock
from tocsin.config import load
from tocsin.contracts import Topics
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tocsin.contracts import Document

END = MONDAY + 12 * DAY


def story() -> Iterator[Document]:
    """Two working weeks of three people; then one of them is at two places at once."""
    for morning in working_days(12):
        for number, user in enumerate(("ada", "bob", "eve")):
            yield logon(morning + number * 60_000, user)
    yield logon(MONDAY + 11 * DAY + 9 * HOUR, "ada", ABROAD, device="phone")


def configured(directory: Path, **behavior: Any) -> Path:
    path = directory / "tocsin.yaml"
    content = {
        "data_dir": str(directory / "data"),
        "log": {"partitions": 2},
        "behavior": {"enabled": True, **behavior},
        "rules": {"builtin": False},
        "playbooks": {"builtin": []},
        "console": {"enabled": False},
    }
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


async def ran(path: Path, clock: ManualClock) -> dict[str, dict[str, Any]]:
    """Feed the story, let the time come after it, and give the alerts by rule."""
    stages = ("observe", "behavior", "alert", "index")
    async with Pipeline(load(path), stages=stages, clock=clock) as pipeline:
        task = asyncio.create_task(pipeline.run())
        await pipeline.log.append(
            [Outgoing(Topics.EVENTS, r.value, b"one", timestamp=END) for r in records(story())]
        )
        assert await pipeline.settle(20), pipeline.down()
        clock.advance(DAY)
        async with asyncio.timeout(20):
            while True:
                found = await read(pipeline.log, Topics.ALERTS)
                if found and await pipeline.settle(20):
                    break
                await asyncio.sleep(0.05)
        pipeline.stop()
        await task
        assert all(account.balanced for account in pipeline.metrics.accounts.values())
        documents = [orjson.loads(each.value) for each in await read(pipeline.log, Topics.ALERTS)]
    return {each["rule"]["id"]: each for each in documents}


def test_a_stolen_account_becomes_an_alert_that_is_judged(tmp_path: Path) -> None:
    path = configured(tmp_path)
    alerts = asyncio.run(ran(path, ManualClock(END)))
    alert = alerts["behavior.impossible_travel"]
    assert alert["user"]["name"] == "ada"
    assert "60 minutes after 192.0.2.10" in alert["message"]
    assert alert["event"]["severity"] == 73
    id = alert["tocsin"]["alert"]["id"]
    runner = CliRunner()
    status = runner.invoke(cli, ["behavior", "status", "-c", str(path), "--json"])
    assert status.exit_code == 0, status.output
    rows = [orjson.loads(line) for line in status.stdout.splitlines()]
    (travel,) = [row for row in rows if row.get("detector") == "impossible_travel"]
    assert travel["alerts"] == 1
    assert rows[-1]["profiles"]["user"] == 3
    said = runner.invoke(cli, ["alerts", "verdict", "-c", str(path), id[:8], "false_positive"])
    assert said.exit_code == 0, said.output
    assert said.stdout == "impossible_travel about ada: false_positive\n"
    wrong = runner.invoke(cli, ["alerts", "verdict", "-c", str(path), "zzzzzzzz", "benign"])
    assert "there is no alert" in str(wrong.exception)
    listed = runner.invoke(cli, ["behavior", "detectors", "--json"])
    assert listed.exit_code == 0
    assert len(listed.stdout.splitlines()) > 25
