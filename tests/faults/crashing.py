"""Running Tocsin as processes that are killed in the middle, and what came of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import orjson

from tests.faults.running import until
from tests.flow.world import Outcome, outcome
from tocsin.cli.topics import all_topics, build_log
from tocsin.clock import SystemClock
from tocsin.config import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tocsin.log.base import Outgoing

#: Disturbed runs of the matrix; the full matrix has 30.
RUNS = int(os.environ.get("TOCSIN_CRASH_RUNS", "3"))


async def worker(config: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Start `tocsin run` in a process of its own; what it says goes to a file beside the config."""
    log = (config.parent / f"worker-{len(list(config.parent.glob('worker-*')))}.log").open("wb")
    with log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tocsin.cli", "run", "-c", str(config), *arguments,
            stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip


async def at_work(config: Path, process: asyncio.subprocess.Process) -> None:
    """Wait until the newest worker has said that it begins; fails with its words if it ends."""
    logs = sorted(config.parent.glob("worker-*.log"), key=lambda path: int(path.stem[7:]))

    async def told() -> bool:
        said = logs[-1].read_text("utf-8")
        assert process.returncode is None, said
        return "tocsin: ENFORCING" in said

    await until("a worker to begin", told, 60)


async def kill(process: asyncio.subprocess.Process) -> None:
    """kill -9, if it has not ended by itself, and wait for its end."""
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    await process.wait()


async def feed(config: Path, records: Sequence[Outgoing]) -> None:
    """Create the topics and append, as a source would have done before the pipeline starts."""
    settings = load(config)
    log = build_log(settings, SystemClock())
    await log.start()
    try:
        await log.create(all_topics(settings))
        await log.append(records)
    finally:
        await log.close()


async def read_outcome(config: Path) -> Outcome:
    """What the log holds in the end."""
    log = build_log(load(config), SystemClock())
    await log.start()
    try:
        return await outcome(log)
    finally:
        await log.close()


def told(found: Outcome) -> list[str]:
    """What the alerts say, a line each: of two lists that differ a person can see how."""
    documents = [orjson.loads(each) for each in found.alerts.values()]
    return sorted(f"{each['rule']['id']}: {each['message']}" for each in documents)


#: The detector whose alerts tell of findings; which of them it names as samples depends on the
#: order in which findings of correlations arrive.
RISK = "behavior.entity_risk"


def exact(found: Outcome) -> dict[str, bytes]:
    """All alerts but those of RISK: a function of the set of their evidence, to the byte."""
    return {id: text for id, text in found.alerts.items() if _rule(text) != RISK}


def of_risk(found: Outcome) -> list[str]:
    """Of whose risk alerts tell, and when: their identities."""
    return sorted(id for id, text in found.alerts.items() if _rule(text) == RISK)


def _rule(alert: bytes) -> str:
    return str(orjson.loads(alert)["rule"]["id"])


def rules_of(found: Outcome) -> set[str]:
    """The ids of the rules, and of the detectors of behaviour, that alerts were made by."""
    return {_rule(text) for text in found.alerts.values()}
