"""The notary on a real Kafka: what it signed shows what somebody does to the topic afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from dev.servers import kafka
from tests.cli.asking import alert
from tests.cli.conftest import target
from tests.live.audit_site import STAGES, audited, verified
from tocsin.audit import Head, append
from tocsin.audit_anchor import anchored
from tocsin.cli.pipeline import Pipeline
from tocsin.cli.topics import build_log, values
from tocsin.clock import SystemClock
from tocsin.config import load
from tocsin.contracts import AuditEntry, Topics
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.timeout(200)]

EFFECTS = 6


async def signed(config: Path, *numbers: int) -> list[AuditEntry]:
    """Run the pipeline on these alerts until all that they led to is signed; the whole audit."""
    settings = load(config)
    pipeline = Pipeline(settings, stages=STAGES)
    async with pipeline, asyncio.TaskGroup() as group:
        await pipeline.log.append([alert(n, ip=f"203.0.113.{n}") for n in numbers])
        group.create_task(pipeline.run())
        async with asyncio.timeout(90):
            while True:
                found = [AuditEntry.decode(v) async for v in values(pipeline.log, Topics.AUDIT)]
                if all_signed(found, max(numbers)) and not unanchored(settings.audit.file, found):
                    break
                await asyncio.sleep(0.1)
        pipeline.stop()
    return found


def all_signed(entries: list[AuditEntry], effects: int) -> bool:
    """Whether so many effects are in the audit, and every entry is under a root."""
    told = [entry for entry in entries if not entry.chain.startswith("roots-")]
    roots = [entry.body for entry in entries if entry.chain.startswith("roots-")]
    covered = sum(int(body["last"]) - int(body["first"]) + 1 for body in roots)
    done = sum(entry.kind == "effect.ok" for entry in told)
    return done >= effects and covered == len(told)


def unanchored(path: Path | None, entries: list[AuditEntry]) -> set[str]:
    """The roots that are not in the file."""
    assert path is not None
    kept = {root.hash for root in anchored(path)[0]} if path.exists() else set()
    return {entry.hash for entry in entries if entry.chain.startswith("roots-")} - kept


async def forged(config: Path, after: AuditEntry) -> None:
    """Append another entry with the number that follows `after`, its hash as it should be."""
    head = Head(seq=after.seq, hash=after.hash)
    entry, _ = append(head, after.chain, "effect.ok", {"target": "198.51.100.1"}, after.at + 1)
    log = build_log(load(config), SystemClock())
    await log.start()
    try:
        await log.append([Outgoing(Topics.AUDIT, entry.encode(), key=entry.chain.encode())])
    finally:
        await log.close()


def emptied(bootstrap: str, topic: str) -> None:
    """Remove every record of a topic, as a person who may administrate the broker can."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    partitions = admin.list_topics(topic, timeout=20).topics[topic].partitions
    ends = [TopicPartition(topic, number, -1) for number in partitions]
    for removed in admin.delete_records(ends).values():
        removed.result(20)


def test_what_the_notary_signed_on_kafka_shows_forgery_and_removal(tmp_path: Path) -> None:
    with kafka(tmp_path / "kafka") as broker, target() as product:
        log = {"backend": "kafka", "bootstrap_servers": broker.bootstrap, "table_replicas": 0}
        config = audited(tmp_path / "site", product.url, log=log)
        first = asyncio.run(signed(config, *range(1, 4)))
        # Another process goes on with the stretch, the chain of roots and the file.
        entries = asyncio.run(signed(config, *range(4, EFFECTS + 1)))
        assert len(entries) > len(first)
        whole = verified(config, "--log-only")
        assert (whole.code, whole.broken) == (0, [])
        assert whole.total("log", "signed") == whole.total("log", "entries") >= EFFECTS

        act = [entry for entry in entries if entry.chain.startswith("act-")]
        middle = next(entry for entry in act if entry.seq == 0)
        asyncio.run(forged(config, middle))
        seen = verified(config, "--log-only")
        assert seen.code == 1
        assert seen.broken == [("log", middle.chain, 1, "inserted")]

        emptied(broker.bootstrap, "tocsin.audit")
        gone = verified(config, "--log-only")
        assert gone.code == 1
        chains = {entry.chain for entry in entries}
        assert gone.broken == [("log", chain, 0, "missing") for chain in sorted(chains)]
