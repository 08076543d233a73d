"""The whole path with what is known beside the rules: enrichment, indicators, late indicators."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import yaml

from tests.flow.world import records
from tests.responders.mmdb import database
from tocsin.cli.pipeline import Pipeline
from tocsin.clock import SystemClock, iso
from tocsin.config import load
from tocsin.contracts import Topics, raw_record

if TYPE_CHECKING:
    from pathlib import Path

BAD, LATE, GOOD = "203.0.113.66", "203.0.113.67", "203.0.113.68"


def site(directory: Path, *bad: str) -> Path:
    """A configuration with every kind of enrichment and one feed, of these addresses."""
    (directory / "asn.mmdb").write_bytes(database({"autonomous_system_number": 64_500}))
    (directory / "assets.csv").write_text("name,criticality\nweb-01,critical\n", "utf-8")
    (directory / "people.csv").write_text("name,full_name\neve,Eve Example\n", "utf-8")
    (directory / "list.csv").write_text("\n".join(bad) + "\n", "utf-8")
    feed = {"name": "list", "type": "csv", "path": "list.csv", "level": "critical"}
    settings = {
        "data_dir": "data",
        "console": {"enabled": False},
        "playbooks": {"builtin": []},
        "rules": {"builtin": False},
        "enrichment": {
            "geoip": ["asn.mmdb"],
            "inventory": "assets.csv",
            "identities": "people.csv",
        },
        "indicators": {"feeds": [feed]},
    }
    path = directory / "tocsin.yaml"
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return path


async def run(config: Path, *addresses: str) -> tuple[list[dict[str, Any]], Pipeline]:
    """Logins from these addresses, until nothing is left to do; every event and alert."""
    pipeline = Pipeline(load(config))
    now = SystemClock().now()
    lines = [
        f"{iso(now)} web-01 sshd[{n}]: Accepted password for eve from {ip} port 40000 ssh2"
        for n, ip in enumerate(addresses)
    ]
    async with pipeline:
        await pipeline.log.append(
            [raw_record(line.encode(), source="web-01", received=now, key=b"k") for line in lines]
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(pipeline.run())
            assert await pipeline.settle(45), pipeline.down()
            pipeline.stop()
        found = [
            orjson.loads(record.value)
            for topic in (Topics.EVENTS, Topics.ALERTS)
            for record in await records(pipeline.log, topic)
        ]
    return found, pipeline


def alerted(documents: list[dict[str, Any]]) -> set[str]:
    """The addresses that there are alerts about."""
    return {each["source"]["ip"] for each in documents if each["event"]["kind"] == "alert"}


async def test_events_say_what_is_known_and_indicators_alert_also_late_ones(
    tmp_path: Path,
) -> None:
    config = site(tmp_path, BAD)
    documents, pipeline = await run(config, BAD, LATE, GOOD)
    events = [each for each in documents if each["event"]["kind"] == "event"]
    assert len(events) == 3
    for event in events:
        assert event["source"]["as"] == {"number": 64_500}
        assert event["user"]["full_name"] == "Eve Example"
        assert event["tocsin"]["asset"]["host"]["criticality"] == "critical"
    assert alerted(documents) == {BAD}
    (alert,) = (each for each in documents if each["event"]["kind"] == "alert")
    assert alert["rule"]["name"] == "Known Malicious Address"
    assert alert["rule"]["ruleset"] == "tocsin-indicators"
    assert alert["event"]["severity"] == 99
    assert alert["tocsin"]["alert"]["count"] == 1
    for stage, account in pipeline.metrics.accounts.items():
        assert account.balanced, (stage, account)

    # A day later the feed names another one: the event that was there before is found.
    site(tmp_path, BAD, LATE)
    documents, _ = await run(config)
    assert alerted(documents) == {BAD, LATE}
    counts = {
        each["source"]["ip"]: each["tocsin"]["alert"]["count"]
        for each in documents
        if each["event"]["kind"] == "alert"
    }
    assert counts == {BAD: 1, LATE: 1}

    # And never again.
    again, _ = await run(config)
    assert len(again) == len(documents)


async def test_a_feed_that_changes_while_it_runs_is_used(tmp_path: Path) -> None:
    config = site(tmp_path, BAD)
    pipeline = Pipeline(load(config))
    now = SystemClock().now()
    line = f"{iso(now)} web-01 sshd[1]: Accepted password for eve from {LATE} port 4 ssh2"
    async with pipeline, asyncio.TaskGroup() as group, asyncio.timeout(45):
        group.create_task(pipeline.run())
        site(tmp_path, BAD, LATE)
        feeds = pipeline.knowledge.feeds
        assert feeds is not None
        while True:
            if len(feeds.table) == 2:
                break
            await asyncio.sleep(0.05)
        await pipeline.log.append([raw_record(line.encode(), source="web-01", received=now)])
        while True:
            if await records(pipeline.log, Topics.ALERTS):
                break
            await asyncio.sleep(0.05)
        pipeline.stop()
