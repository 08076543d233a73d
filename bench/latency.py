"""From a line being produced to its address being blocked, on Kafka under load, stage by stage.

A producer paces ordinary lines at a steady rate into real Kafka; every half second ten failed
logins of an address never seen before are among them. The workers are processes; the firewall is
nftables in a network namespace; the index stage, which nobody waits for, is nice. The bench
process reads every topic along the path and notes when each attack passes: all times are of one
clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import yaml

from dev.netns import network
from dev.servers import kafka
from tocsin.cli.topics import all_topics, build_log
from tocsin.clock import SystemClock
from tocsin.config import load
from tocsin.contracts import Topics, raw_record
from tocsin.log.base import Completion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tocsin.log.base import Log, Outgoing, Record

#: Lines a second, seconds of load, and seconds of it that are not counted (warm-up).
RATE, SECONDS, WARM_UP = 1000, 60, 10
ATTACKS_PER_SECOND = 2
FAILURES = 10

WORKERS = ("normalize,match", "correlate,alert", "decide,act", "index")

PLAYBOOK = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: block, version: 1}
trigger:
  when: alert.rule.name == "SSH Brute Force" && has(alert.source.ip)
  dedup: {key: alert.source.ip, window: 1d}
steps:
  - id: block
    action: firewall.block_ip
    with: {ip: !cel alert.source.ip}
    hold: {ttl: 1h, max: 2h}
"""

#: What is noted, in order: the tenth line is sent; its event, the finding, the alert, the run's
#: command, the effect and the result can be read from their topics.
PATH = ("produced", "normalize", "match+correlate", "alert", "trigger", "decide", "act")


class Passages:
    """When each attacking address passed each point."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, float]] = {}

    def note(self, address: str, point: str, *, last: bool = False) -> None:
        """Note the first passage, or with `last` the latest before the finding."""
        points = self.seen.get(address)
        if points is not None and (last or point not in points):
            points[point] = time.perf_counter()

    def rows(self, warm: float) -> list[dict[str, Any]]:
        """Latency of each stage and of the whole, ms, over the attacks after the warm-up."""
        done = [p for p in self.seen.values() if p["produced"] > warm and len(p) == len(PATH)]
        rows = [
            _row(point, [(p[point] - p[before]) * 1000 for p in done])
            for before, point in pairwise(PATH)
        ]
        whole = _row("line to block", [(p["act"] - p["produced"]) * 1000 for p in done])
        lost = sum(p["produced"] > warm for p in self.seen.values()) - len(done)
        return [*rows, {**whole, "attacks": len(done), "not blocked": lost}]


def _row(stage: str, values: list[float]) -> dict[str, Any]:
    ordered = sorted(values)
    return {
        "bench": "latency",
        "stage": stage,
        "p50_ms": round(statistics.median(ordered)),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]),
        "max_ms": round(ordered[-1]),
    }


def _of_event(passages: Passages, body: dict[str, Any]) -> None:
    passages.note(body.get("source", {}).get("ip", ""), "normalize", last=True)


def _of_finding(passages: Passages, body: dict[str, Any]) -> None:
    if body["rule"]["name"] == "SSH Brute Force":
        passages.note(body["fields"].get("source.ip", ""), "match+correlate")


def _of_alert(passages: Passages, body: dict[str, Any]) -> None:
    if body["rule"]["name"] == "SSH Brute Force":
        passages.note(body["source"]["ip"], "alert")


def _of_command(passages: Passages, body: dict[str, Any]) -> None:
    if body["kind"] == "start":
        passages.note(body["alert"]["source"]["ip"], "trigger")
    elif body["kind"] == "result" and body["result"]["status"] == "ok":
        passages.note(body["result"]["lease"]["target"], "act")


def _of_effect(passages: Passages, body: dict[str, Any]) -> None:
    passages.note(body["target"], "decide")


_NOTED: dict[str, Callable[[Passages, dict[str, Any]], None]] = {
    Topics.EVENTS: _of_event,
    Topics.FINDINGS: _of_finding,
    Topics.ALERTS: _of_alert,
    Topics.COMMANDS: _of_command,
    Topics.EFFECTS: _of_effect,
}


def run() -> list[dict[str, Any]]:
    """Rows of stage, p50, p99 and maximum in ms; needs root (a network namespace) and Kafka."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        with kafka(base / "kafka") as broker, network({"server": "10.77.1.1"}) as hosts:
            config = _configure(base, broker.bootstrap, hosts["server"].argv("nft"))
            return asyncio.run(_measure(config))


def _configure(base: Path, bootstrap: str, nft: list[str]) -> Path:
    (base / "block.yml").write_text(PLAYBOOK, "utf-8")
    settings = {
        "data_dir": "data",
        "log": {"backend": "kafka", "bootstrap_servers": bootstrap, "table_replicas": 0},
        "playbooks": {"builtin": [], "paths": ["block.yml"]},
        "console": {"enabled": False},
        "response": {
            "mode": "enforce",
            "connectors": {"firewall": {"type": "nftables", "command": nft}},
        },
    }
    path = base / "tocsin.yaml"
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return path


async def _measure(config: Path) -> list[dict[str, Any]]:
    log = build_log(load(config), SystemClock())
    await log.start()
    await log.create(all_topics(load(config)))
    passages = Passages()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(log.close)
        for stages in WORKERS:
            process = await asyncio.create_subprocess_exec(
                *(("nice",) if stages == "index" else ()),
                *(sys.executable, "-m", "tocsin.cli", "run", "-c", str(config)),
                *("--stages", stages),
            )
            stack.push_async_callback(process.wait)
            stack.callback(process.terminate)
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(_read(log, topic, passages)) for topic in _NOTED]
            await _until_ready(log, passages)
            warm = await _produce(log, passages)
            await _until_all_passed(passages)
            for reader in readers:
                reader.cancel()
    return passages.rows(warm)


async def _read(log: Log, topic: str, passages: Passages) -> None:
    note = _NOTED[topic]
    subscription = await log.subscribe(f"bench-{topic}", topic)
    try:
        while True:
            polled = await subscription.poll(1000, 1.0)
            for at, records in polled.items():
                for record in records:
                    note(passages, _body(record))
                await subscription.complete([Completion(at, records[-1].offset + 1)])
    finally:
        await subscription.close()


def _body(record: Record) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(record.value)
    return body


async def _until_ready(log: Log, passages: Passages) -> None:
    """One attack goes all the way before the load begins: all workers have joined."""
    address = "100.99.0.1"
    passages.seen[address] = {}
    passages.note(address, "produced")
    await log.append([_record(_failure(address, random.Random(0)), 0) for _ in range(FAILURES)])  # noqa: S311
    await _until_all_passed(passages)


async def _produce(log: Log, passages: Passages) -> float:
    """Send lines at the rate; when the warm-up ended (time.perf_counter)."""
    rng = random.Random(1)  # noqa: S311  (traffic, not a secret)
    attacks = _addresses()
    started = time.perf_counter()
    tick, sent = 0.05, 0
    for turn in range(round(SECONDS / tick)):
        lines = [_ordinary(rng) for _ in range(round(RATE * tick))]
        attacker = ""
        if turn % round(1 / tick / ATTACKS_PER_SECOND) == 0:
            attacker = next(attacks)
            lines[:FAILURES] = [_failure(attacker, rng) for _ in range(FAILURES)]
            passages.seen[attacker] = {}
        records = [_record(line, n) for n, line in enumerate(lines)]
        if attacker:
            passages.note(attacker, "produced")
        await log.append(records)
        sent += len(records)
        await asyncio.sleep(max(0.0, started + (turn + 1) * tick - time.perf_counter()))
    print(f"sent {sent / (time.perf_counter() - started):.0f} lines a second", file=sys.stderr)
    return started + WARM_UP


def _record(line: bytes, number: int) -> Outgoing:
    now = SystemClock().now()
    return raw_record(line, source="auth.log", received=now, key=b"host-%d" % (number % 16))


async def _until_all_passed(passages: Passages) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if all(len(points) == len(PATH) for points in passages.seen.values()):
            return
        await asyncio.sleep(0.2)


def _addresses() -> Iterator[str]:
    for third in range(1, 255):
        for fourth in range(1, 255):
            yield f"100.99.{third}.{fourth}"


def _stamp() -> str:
    return time.strftime("%b %e %H:%M:%S", time.gmtime())


def _failure(address: str, rng: random.Random) -> bytes:
    port = rng.randint(1024, 65000)
    return (
        f"{_stamp()} web-01 sshd[{rng.randint(300, 32000)}]: "
        f"Failed password for root from {address} port {port} ssh2"
    ).encode()


def _ordinary(rng: random.Random) -> bytes:
    """Three quarters web requests; logins, jobs and refused guesses from anywhere."""
    host, kind = f"192.0.2.{rng.randint(1, 254)}", rng.random()
    head = f"{_stamp()} web-{rng.randint(1, 20):02d} "
    if kind < 0.75:
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        line = (
            f'{host} - - [{stamp}] "GET /products/{rng.randint(1, 9999)}?page={rng.randint(1, 9)} '
            f'HTTP/1.1" 200 {rng.randint(200, 90000)} "-" "Mozilla/5.0 (X11; Linux x86_64)"'
        )
    elif kind < 0.85:
        line = (
            f"{head}CRON[{rng.randint(300, 32000)}]: pam_unix(cron:session): "
            "session opened for user root by (uid=0)"
        )
    elif kind < 0.95:
        line = (
            f"{head}sshd[{rng.randint(300, 32000)}]: Accepted publickey for "
            f"user{rng.randint(1, 500)} from {host} port {rng.randint(1024, 65000)} ssh2: "
            f"ED25519 SHA256:{rng.getrandbits(128):032x}"
        )
    else:
        line = (
            f"{head}sshd[{rng.randint(300, 32000)}]: Failed password for "
            f"user{rng.randint(1, 500)} from 198.18.{rng.randint(0, 255)}.{rng.randint(1, 254)} "
            f"port {rng.randint(1024, 65000)} ssh2"
        )
    return line.encode()


if __name__ == "__main__":
    for row in run():
        print(orjson.dumps(row).decode())
