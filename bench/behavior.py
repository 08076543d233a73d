"""Behaviour: events a CPU-second through observe and profiles, bytes an entity, a million entities.

The stream is the lab's company on a working day. The lab has few events for each person; a real
network has hundreds in ten minutes, so each event is also taken DENSE times, seconds apart: the
figures of both are given, with the events that one observation stands for. Garbage is looked for as
seldom as in `tocsin run`.
TOCSIN_BENCH_ENTITIES (1,000,000) bounds the last row.
"""

from __future__ import annotations

import gc
import os
import resource
import statistics
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from detect.behavior.behavior import BehaviorStage
from detect.behavior.detectors.table import all_detectors
from detect.behavior.lab.company import DAY, START, found
from detect.behavior.lab.documents import stamp
from detect.behavior.lab.places import KNOWN_EGRESS
from detect.behavior.lab.simulate import background
from detect.behavior.memory import Memory
from detect.behavior.observe import ObserveStage
from detect.behavior.options import Options
from detect.behavior.replaying import Replay
from tocsin.contracts import Topics
from tocsin.garbage import keep_what_is_loaded
from tocsin.log.base import Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from detect.behavior.lab.activity import Timed

ROUNDS, BATCH, DENSE = 3, 1_000, 20
#: Events of the stream, and of the dense one.
EVENTS = 40_000


def run() -> list[dict[str, Any]]:
    """Rows: the sparse and the dense stream, profiles, many entities."""
    company = found(1, 500, 3)
    day = [timed for timed in background(company) if timed[0] >= START + 8 * 3_600_000]
    sparse = [document for _, document in day[:EVENTS]]
    dense = list(islice(_dense(day), EVENTS * 2))
    return [
        _speed("sparse", sparse),
        _speed("dense", dense),
        *_entities([document for _, document in day]),
    ]


def _dense(day: Sequence[Timed]) -> Iterator[dict[str, Any]]:
    for at, document in day:
        for number in range(DENSE):
            event = {**document["event"], "id": f"{document['event']['id']}-{number}"}
            moment = stamp(at - at % 600_000 + (at + number * 7_013) % 600_000)
            yield {**document, "@timestamp": moment, "event": event}


def _speed(name: str, events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Through both stages, JSON decoding and state included; medians of ROUNDS."""
    records = [
        Record(Topics.EVENTS, 0, number, None, orjson.dumps(event), (), START)
        for number, event in enumerate(events)
    ]
    observing, both, observations = [], [], 0
    gc.collect()
    keep_what_is_loaded()
    for _ in range(ROUNDS):
        observe, seen, began = ObserveStage(), KeyedState(), time.process_time()
        outputs = [
            outgoing
            for first in range(0, len(records), BATCH)
            for outgoing in observe.process(
                records[first : first + BATCH], seen, START + 9 * DAY
            ).outputs
        ]
        middle = time.process_time()
        told = [
            Record(Topics.OBSERVATIONS, 0, number, each.key, each.value, (), START)
            for number, each in enumerate(outputs)
        ]
        stage, state = BehaviorStage(all_detectors(), Options(egress=KNOWN_EGRESS)), KeyedState()
        resumed = time.process_time()
        for first in range(0, len(told), BATCH):
            stage.process(told[first : first + BATCH], state, START + 9 * DAY)
        ended = time.process_time()
        observing.append(len(events) / (middle - began))
        both.append(len(events) / (middle - began + ended - resumed))
        observations = len(outputs)
    return {
        "bench": f"behavior_{name}",
        "events": len(events),
        "events_an_observation": round(len(events) / observations, 1),
        "observe_per_cpu_second": round(statistics.median(observing)),
        "observe_and_profile_per_cpu_second": round(statistics.median(both)),
    }


def _entities(events: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Sizes of profiles after three days, and the memory of as many entities as are asked for."""
    replay = Replay(options=Options(egress=KNOWN_EGRESS))
    for _ in replay.take(events):
        pass
    replay.memory.save()
    texts = [v for key, v in replay.state.items() if key.startswith("profile|")]
    sizes = sorted(len(text.encode()) for text in texts)
    yield {
        "bench": "behavior_profiles",
        "entities": len(sizes),
        "bytes_mean": round(statistics.mean(sizes)),
        "bytes_p99": sizes[int(0.99 * len(sizes))],
        "bytes_most": sizes[-1],
    }
    wanted = int(os.environ.get("TOCSIN_BENCH_ENTITIES", "1000000"))
    before = _resident()
    state: dict[str, Any] = {"decided": [START, 0]}
    for number in range(wanted):
        text = texts[number % len(texts)]
        state[f"profile|default|user|person{number}"] = f"{text[:-1]}]"  # a text of its own
    began = time.process_time()
    memory = Memory(state, wanted)
    yield {
        "bench": "behavior_entities",
        "entities": wanted,
        "gigabytes": round((_resident() - before) / 1e9, 2),
        "bytes_an_entity": round((_resident() - before) / wanted),
        "start_cpu_seconds": round(time.process_time() - began, 1),
        "evicted_beyond": memory.evict(),
    }


def _resident() -> int:
    """Resident memory now, bytes."""
    told = Path("/proc/self/statm").read_text("ascii")
    return int(told.split()[1]) * resource.getpagesize()
