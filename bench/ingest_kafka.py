"""Events per second on a real Kafka with one worker and with two: `raw` → `events`, and from files.

For `normalize` the raw topic is filled first, its four partitions alike, with the distinct lines of
bench.ingest_lines; for `collect,normalize` they stand in files, shared out among the workers, whose
paths are their keys. Then the workers start, as processes of `tocsin run --stages …`. The clock
runs from the first event seen to the last one, and for `settled` from when a quarter is done: by
then all workers have joined and compiled what they need. On a machine with few cores the broker and
the workers share them: `per_cpu_second` says what a worker's own core would do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from bench.ingest_lines import FORMATS
from dev.servers import kafka
from tocsin.cli.topics import all_topics, build_log
from tocsin.clock import SystemClock
from tocsin.config import load
from tocsin.contracts import Topics, raw_record

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from tocsin.log.base import Log

#: Lines of each measurement; `TOCSIN_BENCH_LINES` says otherwise.
LINES = 160_000
BATCH = 2_000
PARTITIONS = 4
WORKERS = (1, 2)
STAGES = ("normalize", "collect,normalize")

#: Files of one measurement, all workers together; each goes to one partition.
FILES = 16

#: Share of the events after which the workers are taken to run steadily.
SETTLED = 0.25

#: Longest measurement, seconds.
PATIENCE = 300.0

_RECEIVED = 1_714_651_200_000
_TICK = os.sysconf("SC_CLK_TCK")


class Seen(NamedTuple):
    """How many events there were, when (time.perf_counter), at what CPU seconds of the workers."""

    events: int
    at: float
    cpu: float


def run() -> list[dict[str, Any]]:
    """Events per second with one and with two workers, and their ratio; needs Kafka."""
    lines = int(os.environ.get("TOCSIN_BENCH_LINES", LINES)) // BATCH * BATCH
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        base = Path(name)
        with kafka(base / "kafka") as broker:
            for stages in STAGES:
                one, two = (
                    asyncio.run(_measure(base, broker.bootstrap, stages, count, lines))
                    for count in WORKERS
                )
                for key in ("events_per_second", "settled"):
                    two[f"{key}_ratio"] = round(two[key] / one[key], 2)
                rows += (one, two)
    return rows


def _configure(base: Path, bootstrap: str, name: str) -> Path:
    """The configuration of one worker, which reads the files of a directory of its own."""
    directory = base / name
    directory.mkdir()
    settings = {
        "log": {
            "backend": "kafka",
            "bootstrap_servers": bootstrap,
            "prefix": f"{name.rpartition('.')[0]}.",
            "partitions": PARTITIONS,
            "table_replicas": 0,
        },
        "sources": [{"path": "*.log", "source": "mixed"}],
        "console": {"enabled": False},
    }
    path = directory / "tocsin.yaml"
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return path


async def _measure(
    base: Path, bootstrap: str, stages: str, workers: int, lines: int
) -> dict[str, Any]:
    run = f"{stages.partition(',')[0]}{workers}"
    configs = [_configure(base, bootstrap, f"{run}.{number}") for number in range(workers)]
    log = build_log(load(configs[0]), SystemClock())
    await log.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(log.close)
        await log.create(all_topics(load(configs[0])))
        if stages == "normalize":
            await _fill(log, lines)
        else:
            _write([config.parent for config in configs], lines)
        processes = []
        for config in configs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tocsin.cli", "run", "-c", str(config)),
                *("--stages", stages),
            )
            stack.push_async_callback(_end, process)
            processes.append(process)
        seen = await _watch(log, processes, lines)
    return {"bench": "ingest_kafka", "stages": stages, **_row(workers, seen, lines)}


def _write(directories: list[Path], lines: int) -> None:
    """Lines in turn of each format, in files in turn, in directories in turn."""
    dice = random.Random(7)  # noqa: S311  (test data, no secret)
    makers = tuple(FORMATS.values())
    for number in range(FILES):
        made = (
            makers[n % len(makers)](dice, n * FILES + number) + b"\n" for n in range(lines // FILES)
        )
        path = directories[number % len(directories)] / f"{number}.log"
        path.write_bytes(b"".join(made))


async def _fill(log: Log, lines: int) -> None:
    """Lines in turn of each format, into the partitions in turn."""
    dice = random.Random(7)  # noqa: S311  (test data, no secret)
    makers = tuple(FORMATS.values())
    for first in range(0, lines, BATCH):
        lot = [
            raw_record(
                makers[n // PARTITIONS % len(makers)](dice, n),
                source="mixed",
                received=_RECEIVED,
                key=b"host",
            )
            for n in range(first, first + BATCH)
        ]
        await log.append([one._replace(partition=n % PARTITIONS) for n, one in enumerate(lot)])


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        await process.wait()


async def _watch(log: Log, processes: list[Process], lines: int) -> list[Seen]:
    """How the number of events grew, from the first to the last."""
    seen: list[Seen] = []
    async with asyncio.timeout(PATIENCE):
        while not seen or seen[-1].events < lines:
            await asyncio.sleep(0.1)
            assert all(process.returncode is None for process in processes), "a worker has ended"
            events = sum((await log.end_offsets(Topics.EVENTS)).values())
            if events:
                cpu = sum(_cpu(process.pid) for process in processes)
                seen.append(Seen(events, time.perf_counter(), cpu))
    letters = sum((await log.end_offsets(Topics.DEAD_LETTERS)).values())
    assert (seen[-1].events, letters) == (lines, 0)
    return seen


def _cpu(process: int) -> float:
    """CPU seconds of a process (proc(5): utime and stime are fields 14 and 15)."""
    fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _row(workers: int, seen: list[Seen], lines: int) -> dict[str, Any]:
    settled = next(one for one in seen if one.events >= lines * SETTLED)
    last = seen[-1]
    return {
        "workers": workers,
        "partitions": PARTITIONS,
        "lines": lines,
        "events_per_second": _rate(seen[0], last),
        "settled": _rate(settled, last),
        "per_cpu_second": round((last.events - settled.events) / (last.cpu - settled.cpu)),
        "cores_used": round((last.cpu - settled.cpu) / (last.at - settled.at), 2),
    }


def _rate(begin: Seen, end: Seen) -> int:
    return round((end.events - begin.events) / (end.at - begin.at))
