"""Whether memory stays flat: resident size as distinct lines go by, and every cache.

The lines are those of bench.ingest_lines, and among them ones that are new in what is remembered:
keys, programs, beginnings and vendors that were never seen before. `TOCSIN_BENCH_LINES` and
`TOCSIN_BENCH_SECONDS` say how many lines, and for how long at most.
"""

from __future__ import annotations

import functools
import gc
import os
import random
import time
from pathlib import Path
from typing import Any

import orjson

from bench.ingest_lines import ALL
from ingest.normalize import NormalizeStage
from tocsin.log.base import Record
from tocsin.state import KeyedState

LINES = 10_000_000
SECONDS = 300.0

#: Lines of a batch, and looks at the size in a whole run.
BATCH = 1_000
LOOKS = 10

_RECEIVED = b"1714651200000"
_HEADERS = (("source", b"mixed"), ("tenant", b"default"), ("received", _RECEIVED))
_PAGE = os.sysconf("SC_PAGE_SIZE")


def novel(dice: random.Random, number: int) -> bytes:
    """A line that is like no other: its program, keys, vendor or first characters are new."""
    kind = number % 4
    if kind == 0:
        return orjson.dumps({f"key{number}": dice.random(), "user": f"user{number}"})
    if kind == 1:
        return f"May  1 10:00:00 host{number} program{number}[7]: said {number}".encode()
    if kind == 2:
        return f"CEF:0|Vendor{number}|Product{number}|1|{number}|name|5|src=192.0.2.7".encode()
    return f"{chr(0x4E00 + number % 20_000)}{number} text {dice.random()}".encode()


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE


def caches() -> dict[str, int]:
    """How many caches our packages have, how many have no bound, and how full the bounded are."""
    gc.collect()
    ours = [
        one
        for one in gc.get_objects()
        if isinstance(one, functools._lru_cache_wrapper)
        and str(one.__module__).startswith(("ingest.", "tocsin."))
    ]
    infos = [one.cache_info() for one in ours]
    bounded = [info for info in infos if info.maxsize is not None]
    assert all(info.currsize <= (info.maxsize or 0) for info in bounded)
    return {
        "caches": len(infos),
        "caches_without_bound": len(infos) - len(bounded),
        "entries": sum(info.currsize for info in infos),
        "entries_at_most": sum(info.maxsize or 0 for info in bounded),
    }


def run() -> list[dict[str, Any]]:
    """Rows of resident MB, one for each tenth of the lines; the last says what it grew by."""
    lines = int(os.environ.get("TOCSIN_BENCH_LINES", LINES))
    step = max(BATCH, lines // LOOKS // BATCH * BATCH)
    until = time.monotonic() + float(os.environ.get("TOCSIN_BENCH_SECONDS", SECONDS))
    dice = random.Random(0)  # noqa: S311 (test data, no secret)
    makers = (*ALL, novel)
    stage, state = NormalizeStage(), KeyedState()
    rows: list[dict[str, Any]] = []
    sizes: list[int] = []
    done = 0
    while done < lines and time.monotonic() < until:
        records = [
            Record("raw", 0, n, b"host", makers[n % len(makers)](dice, n), _HEADERS, 0)
            for n in range(done, done + BATCH)
        ]
        batch = stage.process(records, state, 0)
        assert batch.accounted == BATCH, batch.dead
        done += BATCH
        if done % step == 0:
            sizes.append(resident())
            rows.append(_row(done, sizes[-1]))
    if not sizes or done % step:
        sizes.append(resident())
        rows.append(_row(done, sizes[-1]))
    growth = sizes[-1] - sizes[0]
    rows.append(
        {
            "bench": "ingest_memory",
            "lines": done,
            "grown_since_first_mb": round(growth / 1e6, 1),
            "grown_per_million_mb": round(growth / 1e6 / max(1.0, (done - step) / 1e6), 2),
            **caches(),
        }
    )
    return rows


def _row(done: int, size: int) -> dict[str, Any]:
    return {"bench": "ingest_memory", "lines": done, "resident_mb": round(size / 1e6, 1)}
