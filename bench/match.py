"""Events matched per CPU-second by the plain matcher with the built-in rules."""

from __future__ import annotations

import statistics
import time
from typing import Any

from detect.match import MatchStage
from detect.sigma import load_rules
from ingest.normalize import NormalizeStage
from tocsin.cli.story import story
from tocsin.contracts import Topics, raw_record
from tocsin.log.base import Record
from tocsin.state import KeyedState

ROUNDS = 5
END = 1_795_000_000_000


def run() -> list[dict[str, Any]]:
    """One row: the demo's story, JSON decoding and findings included, median of five."""
    rules = load_rules([], builtin=True)
    events = _events()
    rates, outputs = [], 0
    for _ in range(ROUNDS):
        stage = MatchStage(rules)
        began = time.process_time()
        batch = stage.process(events, KeyedState(), END)
        rates.append(len(events) / (time.process_time() - began))
        outputs = len(batch.outputs)
    return [
        {
            "bench": "match",
            "rules": len(rules.rules),
            "events_per_cpu_second": round(statistics.median(rates)),
            "outputs": outputs,
            "events": len(events),
        }
    ]


def _events() -> list[Record]:
    lines = [
        raw_record(line.data, source=line.source, received=line.at)
        for chapter in story(END)
        for line in chapter.lines
    ]
    raw = [
        Record(Topics.RAW, 0, number, None, line.value, line.headers, line.timestamp)
        for number, line in enumerate(lines)
    ]
    outputs = NormalizeStage().process(raw, KeyedState(), END).outputs
    events = [outgoing for outgoing in outputs if outgoing.topic == Topics.EVENTS]
    return [
        Record(Topics.EVENTS, 0, number, event.key, event.value, (), event.timestamp)
        for number, event in enumerate(events)
    ]
