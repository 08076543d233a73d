"""The reconciler against a real packet filter: what somebody adds or takes away by hand is told.

On the embedded log, and on a Kafka broker.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

from dev import netns
from dev.servers import kafka
from tests.cli.asking import ADDRESS, alert, load_yaml
from tests.flow.world import configure
from tocsin.cli.leases import leases
from tocsin.cli.pipeline import Pipeline
from tocsin.cli.topics import values
from tocsin.config import load
from tocsin.contracts import AuditEntry, Topics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not shutil.which("nft") or not shutil.which("ip"), reason="no nft or ip"),
    pytest.mark.timeout(120),
]

BY_HAND = "198.51.100.99"
STAGES = ("alert", "decide", "act", "index")
PLAYBOOK = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: block, version: 1, owner: tests}
trigger: {when: has(alert.source.ip)}
steps:
  - id: block
    action: firewall.block_ip
    with: {ip: !cel alert.source.ip}
    hold: {ttl: 1h}
"""


@contextmanager
def the_log(backend: str, directory: Path) -> Iterator[dict[str, Any]]:
    """The `log` section of a home of the log."""
    if backend == "sqlite":
        yield {"backend": "sqlite"}
        return
    with kafka(directory / "kafka") as broker:
        yield {"backend": "kafka", "bootstrap_servers": broker.bootstrap, "table_replicas": 0}


def site(directory: Path, log: dict[str, Any], firewall: netns.Host) -> Path:
    path = configure(directory, "http://127.0.0.1:9", log=log)
    (directory / "playbooks" / "contain.yml").write_text(PLAYBOOK, "utf-8")
    content = load_yaml(path)
    content["rules"] = {"builtin": False}
    content["response"]["reconcile"] = {"every": "200ms"}
    content["response"]["connectors"] = {
        "filter": {"type": "nftables", "command": firewall.argv("nft")}
    }
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


async def told(pipeline: Pipeline, kind: str) -> dict[str, Any]:
    """Wait for the first audit entry of that kind."""
    async with asyncio.timeout(40):
        while True:
            async for value in values(pipeline.log, Topics.AUDIT):
                entry = AuditEntry.decode(value)
                if entry.kind == kind:
                    return entry.body
            await asyncio.sleep(0.1)


async def alerted(pipeline: Pipeline, count: int) -> set[str]:
    """Wait for so many alerts of the system itself in the store; the names of their rules."""
    async with asyncio.timeout(60):
        while True:
            found = await pipeline.store.list("alerts", limit=10)
            names = {a["rule"]["name"] for a in found if a["rule"]["category"] == "system"}
            if len(names) >= count:
                return names
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("backend", ["sqlite", "kafka"])
async def test_what_is_changed_by_hand_is_told(backend: str, tmp_path: Path) -> None:
    hosts = {"server": "192.0.2.10"}
    with the_log(backend, tmp_path) as log, netns.network(hosts) as made:
        server = made["server"]
        config = site(tmp_path / "site", log, server)
        pipeline = Pipeline(load(config), stages=STAGES)
        async with pipeline:
            await pipeline.log.append([alert()])
            async with asyncio.TaskGroup() as group:
                group.create_task(pipeline.run())
                await told(pipeline, "lease")
                server.run("nft", "add", "element", "inet", "tocsin", "blocked4", f"{{{BY_HAND}}}")
                orphan = await told(pipeline, "drift.orphan")
                server.run(
                    "nft", "delete", "element", "inet", "tocsin", "blocked4", f"{{{ADDRESS}}}"
                )
                missing = await told(pipeline, "drift.missing")
                names = await alerted(pipeline, 2)
                pipeline.stop()
    assert (orphan["target"], orphan["connector"]) == (BY_HAND, "filter")
    assert (missing["target"], len(missing["runs"])) == (ADDRESS, 1)
    assert names == {
        "Containment That No Lease Holds",
        "Containment Missing in the Product",
    }


def test_the_command_compares_now_and_says_what_differs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: object) -> tuple[int, str]:
        code: Any = 0
        try:
            leases.main([str(each) for each in arguments], standalone_mode=False)
        except SystemExit as stop:
            code = stop.code
        return int(code), capfd.readouterr().out

    with netns.network({"server": "192.0.2.10"}) as made:
        server = made["server"]
        config = site(tmp_path, {"backend": "sqlite"}, server)
        asyncio.run(blocked(config))
        assert command("reconcile", "-c", config) == (
            0, "no differences: every product that can list has what the leases say\n"
        )  # fmt: skip
        server.run("nft", "add", "element", "inet", "tocsin", "blocked4", f"{{{BY_HAND}}}")
        code, out = command("reconcile", "-c", config, "--json")
    assert code == 1
    assert orjson.loads(out) == {
        "state": "orphan", "verb": "firewall.block_ip", "target": BY_HAND, "connector": "filter"
    }  # fmt: skip


async def blocked(config: Path) -> None:
    """Run the pipeline until the address of the alert is blocked."""
    pipeline = Pipeline(load(config), stages=("decide", "act", "index"))
    async with pipeline:
        await pipeline.log.append([alert()])
        async with asyncio.TaskGroup() as group:
            group.create_task(pipeline.run())
            assert await pipeline.settle(30), pipeline.down()
            pipeline.stop()
