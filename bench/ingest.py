"""How many events per CPU-second the normalize stage makes, by format and of all in turn.

Lines are distinct (bench.ingest_lines). Counted is everything from the raw record to the record
on `events`: recognition, parsing, identity, related fields, serialization. Garbage is looked for
as seldom as in `tocsin run`.
"""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

from bench import ingest_bento
from bench.ingest_lines import FORMATS, RECEIVED, mixed
from ingest.mapping.library import builtin
from ingest.normalize import NormalizeStage
from tocsin.garbage import keep_what_is_loaded
from tocsin.log.base import Record
from tocsin.state import KeyedState

#: Records per measurement, in batches as the runtime hands them over.
RECORDS = 20_000
BATCH = 1_000
ROUNDS = 5

_MAKERS = {**FORMATS, "mixed": mixed}


def records(name: str, count: int, seed: int) -> list[Record]:
    """`count` distinct raw records of a format."""
    dice = random.Random(seed)  # noqa: S311 (test data, no secret)
    make = _MAKERS[name]
    received = b"%d" % RECEIVED
    return [
        # Headers of their own, as records come from a log.
        Record("raw", 0, number, b"host", make(dice, number), _headers(name, received), RECEIVED)
        for number in range(count)
    ]


def _headers(name: str, received: bytes) -> tuple[tuple[str, bytes], ...]:
    return (("source", name.encode()), ("tenant", b"default"), ("received", received))


def measure(name: str, seed: int, count: int = RECORDS) -> tuple[float, int, int]:
    """CPU seconds, bytes in and bytes out of one round."""
    source = records(name, count, seed)
    stage, state = NormalizeStage(), KeyedState()
    size = 0
    spent = 0.0
    for first in range(0, count, BATCH):
        part = source[first : first + BATCH]
        begin = time.process_time()
        batch = stage.process(part, state, 0)
        spent += time.process_time() - begin
        assert batch.sent == len(part), batch.dead
        size += sum(len(outgoing.value) for outgoing in batch.outputs)
    return spent, sum(len(record.value) for record in source), size


def run() -> list[dict[str, Any]]:
    """One row per format: events and MB of input per CPU-second (median of five), growth."""
    builtin()
    keep_what_is_loaded()
    rows = []
    for name in _MAKERS:
        rounds = [measure(name, seed) for seed in range(ROUNDS)]
        spent = statistics.median(seconds for seconds, _, _ in rounds)
        _, taken, made = rounds[0]
        row = {
            "bench": "ingest",
            "format": name,
            "events_per_cpu_second": round(RECORDS / spent),
            "mb_per_cpu_second": round(taken / spent / 1e6, 1),
            "output_per_input_byte": round(made / taken, 2),
            "records": RECORDS,
            "rounds": ROUNDS,
        }
        rows.append(row | _beside(name, RECORDS / spent))
    return rows


def _beside(name: str, ours: float) -> dict[str, Any]:
    """What Bento does with the same lines, where it can be had."""
    bento = ingest_bento.program()
    if bento is None or name not in ingest_bento.MAPPINGS:
        return {}
    lines = [record.value for record in records(name, RECORDS, 0)]
    theirs = ingest_bento.events_per_cpu_second(bento, name, lines)
    return {"bento_events_per_cpu_second": theirs, "times_bento": round(ours / theirs, 1)}
