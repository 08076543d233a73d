"""A server's real auth.log through rsyslog and Kafka to a blocked attacker and Elasticsearch.

Four partitions, two workers for every stage, nftables in a network namespace of its own.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from collections import Counter
from typing import TYPE_CHECKING

import orjson
import pytest
import yaml

from dev.netns import network
from dev.rsyslog import rsyslog
from dev.servers import elasticsearch, kafka
from tests.faults.crashing import feed, kill, worker
from tests.flow.world import configure, outcome, records
from tocsin.cli.topics import build_log
from tocsin.clock import SystemClock
from tocsin.config import load
from tocsin.contracts import DeadLetter, Effect, Topics
from tocsin.index import build_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from dev.netns import Host
    from tocsin.log.base import Log

pytestmark = pytest.mark.live

#: The address that guessed most names in the log: 130 failures in four minutes.
ATTACKER = "34.204.227.175"
SERVER = "10.77.20.248"
LEASE_SECONDS = 25
SSH = 2222

PLAYBOOK = f"""\
apiVersion: tocsin/v1
kind: Playbook
metadata: {{id: block, version: 1, owner: tests}}
trigger:
  when: alert.rule.name == "SSH Brute Force" && has(alert.source.ip)
  dedup: {{key: alert.source.ip, window: 30d}}
steps:
  - id: block
    action: firewall.block_ip
    with: {{ip: !cel alert.source.ip, comment: !cel run.id}}
    hold: {{ttl: {LEASE_SECONDS}s, max: 10m}}
    retry: {{max: 5, initial: 1s, on: [timeout, unavailable]}}
"""


async def until(what: str, seconds: float, holds: Callable[[], Awaitable[bool]]) -> float:
    """Look again and again until it holds; how long that took, seconds."""
    started = time.monotonic()
    while not await holds():
        waited = time.monotonic() - started
        assert waited < seconds, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.2)
    return time.monotonic() - started


@pytest.fixture
def lines(shared: Path) -> list[bytes]:
    with gzip.open(shared / "data" / "logs" / "elastic-examples-auth.log.gz") as file:
        return [line.rstrip(b"\n") for line in file]


@pytest.fixture
def innocent(lines: list[bytes]) -> str:
    """An address of the log that hardly ever failed, counted without Tocsin's help."""
    failures = Counter(
        found[1].decode()
        for line in lines
        if b"nvalid user" in line and (found := re.search(rb"from (\d+(?:\.\d+){3})", line))
    )
    assert failures.most_common(1)[0][0] == ATTACKER
    return min(address for address, count in failures.items() if count <= 2)


@pytest.fixture
def hosts(innocent: str) -> Iterator[dict[str, Host]]:
    with network({"server": SERVER, "attacker": ATTACKER, "bystander": innocent}) as made:
        yield made


async def test_an_attack_in_a_real_log_ends_at_the_firewall(
    tmp_path: Path, lines: list[bytes], innocent: str, hosts: dict[str, Host]
) -> None:
    with kafka(tmp_path / "kafka") as broker, elasticsearch(tmp_path / "es") as search:
        config = configure(
            tmp_path / "tocsin",
            "http://127.0.0.1:9",
            log={"backend": "kafka", "bootstrap_servers": broker.bootstrap, "partitions": 4},
            store={"backend": "elasticsearch", "url": search.url},
        )
        _enforce_with_nftables(config, hosts["server"])
        await feed(config, [])
        log_file = tmp_path / "auth.log"
        log_file.write_bytes(b"".join(line + b"\n" for line in lines))
        listener = await asyncio.create_subprocess_exec(
            *hosts["server"].argv("python3", "-c", _LISTEN), stdout=asyncio.subprocess.PIPE
        )
        assert listener.stdout is not None
        assert await listener.stdout.readline() == b"listening\n"
        workers = [await worker(config) for _ in range(2)]
        log = build_log(load(config), SystemClock())
        await log.start()
        try:
            assert hosts["attacker"].reach(SERVER, SSH) == "open"
            with rsyslog(
                tmp_path / "rsyslog", bootstrap=broker.bootstrap, topic="tocsin.raw",
                file=log_file, key="%rawmsg:8:15%",
            ):  # fmt: skip
                await _blocked_and_freed(hosts)
                await until("every line is in raw", 120, lambda: _has(log, Topics.RAW, len(lines)))
            await until("every line is accounted for", 120, lambda: _accounted(log, len(lines)))
            await _judge(log, config, lines, innocent)
        finally:
            await log.close()
            for process in (*workers, listener):
                await kill(process)


_LISTEN = f"""
import socket
server = socket.create_server(("{SERVER}", {SSH}))
print("listening", flush=True)
while True:
    server.accept()[0].close()
"""


def _enforce_with_nftables(config: Path, server: Host) -> None:
    settings = yaml.safe_load(config.read_text("utf-8"))
    settings["response"]["connectors"] = {
        "firewall": {"type": "nftables", "command": server.argv("nft")}
    }
    config.write_text(yaml.safe_dump(settings), "utf-8")
    (config.parent / "playbooks" / "contain.yml").write_text(PLAYBOOK, "utf-8")


async def _blocked_and_freed(hosts: dict[str, Host]) -> None:
    async def attacker_is(state: str) -> bool:
        found = await asyncio.to_thread(hosts["attacker"].reach, SERVER, SSH)
        assert hosts["bystander"].reach(SERVER, SSH) == "open"
        return found == state

    waited = await until("the attacker is out", 150, lambda: attacker_is("filtered"))
    freed = await until("the lease ends", 150, lambda: attacker_is("open"))
    print(f"attacker out after {waited:.1f} s, back {freed:.1f} s later")  # noqa: T201


async def _has(log: Log, topic: str, count: int) -> bool:
    ends = await log.end_offsets(topic)
    return sum(ends.values()) >= count


async def _accounted(log: Log, count: int) -> bool:
    found = await outcome(log)
    return len(found.events) + len(found.dead) >= count


async def _judge(log: Log, config: Path, lines: list[bytes], innocent: str) -> None:
    raw = await log.end_offsets(Topics.RAW)
    assert sum(raw.values()) == len(lines)
    assert min(raw.values()) > 0, "one partition got nothing"
    found = await outcome(log)
    dead = [DeadLetter.decode(r.value) for r in await records(log, Topics.DEAD_LETTERS)]
    normalized_dead = [letter for letter in dead if letter.stage == "normalize"]
    assert len(found.events) + len(normalized_dead) == len(lines)
    alerts = [orjson.loads(alert) for alert in found.alerts.values()]
    burst = [a for a in alerts if a.get("source", {}).get("ip") == ATTACKER]
    assert {a["rule"]["name"] for a in burst} >= {"SSH Brute Force"}
    targets = {Effect.decode(r.value).target for r in await records(log, Topics.EFFECTS)}
    assert ATTACKER in targets
    assert innocent not in targets
    settings = load(config)
    store = build_store(settings.store, settings.data_dir, SystemClock())
    await store.start()
    try:

        async def indexed() -> bool:
            return await store.count("events") == len(found.events)

        await until("every event is in Elasticsearch", 120, indexed)

        async def alerted() -> bool:
            # Normalizing is done long before the last correlation is: alerts still come.
            return await store.count("alerts") == len((await outcome(log)).alerts)

        await until("every alert is in Elasticsearch", 120, alerted)
    finally:
        await store.close()
    print(  # noqa: T201
        f"{len(lines)} lines = {len(found.events)} events + {len(normalized_dead)} dead letters; "
        f"{len(alerts)} alerts, {len(targets)} addresses blocked, all events in Elasticsearch"
    )
