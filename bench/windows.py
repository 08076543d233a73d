"""The window library in memory: findings a second through one partition's windows, one core.

Groups come in the order of a stream: a few events each in most, all in a few during an attack. A
batch has 100 findings, after which what changed is written to the state, as in the pipeline.
Garbage is looked for as seldom as in `tocsin run`. The last row is the stage as a whole, with
decoding.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from typing import Any

from detect.conditions import Bound, Condition, Term
from detect.correlate import CorrelateStage
from detect.keys import group_key
from detect.model import Correlation
from detect.windows import Occurrence, Owner, Windows
from tocsin.contracts import Evidence, Finding, GroupedFinding, Rule, Topics
from tocsin.garbage import keep_what_is_loaded
from tocsin.log.base import Record
from tocsin.state import KeyedState

FINDINGS = 20_000
ROUNDS = 9
BATCH = 100
START = 1_767_225_600_000
LATENESS = 600_000
SPAN = 300_000
RULE = Rule(id="c", name="C", hash="c" * 64, level="high", type="correlation")
FEEDING = Rule(id="r", name="R", hash="d" * 64)

COUNT = Condition("events", SPAN, (Bound("gte", 10),))
#: Name, condition, groups, different values, how far out of order (ms).
MIXES: tuple[tuple[str, Condition, int, int, int], ...] = (
    ("event_count, 3,000 groups", COUNT, 3_000, 1, 0),
    ("event_count, 3,000 groups, out of order by 20 s", COUNT, 3_000, 1, 20_000),
    ("event_count, 20 groups, nearly all fire", COUNT, 20, 1, 0),
    ("value_count", Condition("values", SPAN, (Bound("gte", 10),)), 3_000, 50, 0),
    ("temporal", Condition("rules", SPAN, (Bound("gte", 3),)), 3_000, 3, 0),
    ("temporal_ordered", Condition("chain", SPAN, (Bound("gte", 2),), ("2", "1")), 3_000, 3, 0),
    ("value_sum", Condition("sum", SPAN, (Bound("gte", 10**6),)), 3_000, 1_000, 0),
    ("value_avg", Condition("average", SPAN, (Bound("gte", 990),)), 3_000, 1_000, 0),
    ("event_count lt", Condition("events", SPAN, (Bound("lt", 2),)), 3_000, 1, 0),
    (
        "temporal with not",
        Condition("terms", SPAN, terms=(Term(("1",), frozenset({"2"})),)),
        *(3_000, 3, 0),
    ),
)


def run() -> list[dict[str, Any]]:
    """A row for each mix, and one for the stage."""
    rows = [_row(*mix) for mix in MIXES]
    return [*rows, _stage()]


def _stream(groups: int, values: int, jitter: int) -> list[tuple[str, Occurrence]]:
    draw = random.Random(1)  # noqa: S311
    return [
        (
            group_key(RULE.id, {"source.ip": f"198.51.100.{draw.randrange(groups)}"}),
            Occurrence(
                START + number * 20 - (draw.randrange(jitter) if jitter else 0),
                f"{number:032x}",
                str(draw.randrange(values)),
                number,
            ),
        )
        for number in range(FINDINGS)
    ]


def _member(number: int) -> dict[str, Any]:
    address = f"198.51.100.{number}"
    return {
        "origin": f"raw/0/{number}",
        "original": "x" * 100,
        "entities": {"source.ip": [address]},
        "fields": {"source.ip": address},
    }


def _row(name: str, condition: Condition, groups: int, values: int, jitter: int) -> dict[str, Any]:
    stream = _stream(groups, values, jitter)
    taken: list[float] = []
    fired = 0
    for _ in range(ROUNDS):
        members = [_member(number) for number in range(FINDINGS)]
        gc.collect()
        keep_what_is_loaded()
        began = time.process_time()
        fired = _through(condition, stream, members)
        taken.append(time.process_time() - began)
        gc.unfreeze()
    return {
        "bench": f"windows: {name}",
        "findings_per_second": round(FINDINGS / statistics.median(taken)),
        "best": round(FINDINGS / min(taken)),
        "fired": fired,
    }


def _through(
    condition: Condition, stream: list[tuple[str, Occurrence]], members: list[dict[str, Any]]
) -> int:
    state = KeyedState()
    windows = Windows(state, {(RULE.id, RULE.hash): condition}, lateness=LATENESS, patience={})
    watermark, fired = START, 0
    for first in range(0, FINDINGS, BATCH):
        state.savepoint()
        for key, occurrence in stream[first : first + BATCH]:
            group = windows.known(key) or windows.group(
                Owner(RULE.id, RULE.hash, "default", key), condition
            )
            added = windows.add(group, occurrence, members[occurrence.offset], watermark)
            fired += len(added.firings)
            watermark = max(watermark, occurrence.at)
            windows.expire(watermark, occurrence.offset)
        fired += sum(1 for _ in windows.close(watermark, first + BATCH))
        windows.flush()
    return fired


def _stage() -> dict[str, Any]:
    correlation = Correlation(
        rule=RULE, type="event_count", references=(FEEDING.id,), group_by=("source.ip",),
        aliases={}, condition=COUNT,
    )  # fmt: skip
    records = [
        Record(Topics.CORRELATE, 0, occurrence.offset, key.encode(), _grouped(key, occurrence))
        for key, occurrence in _stream(3_000, 1, 0)
    ]
    taken: list[float] = []
    for _ in range(ROUNDS):
        stage, state = CorrelateStage([correlation], lateness=LATENESS), KeyedState()
        gc.collect()
        keep_what_is_loaded()
        began = time.process_time()
        for first in range(0, FINDINGS, BATCH):
            state.savepoint()
            stage.process(records[first : first + BATCH], state, START + 10**9)
        taken.append(time.process_time() - began)
        gc.unfreeze()
    return {
        "bench": "correlate stage, event_count, 3,000 groups",
        "findings_per_second": round(FINDINGS / statistics.median(taken)),
        "best": round(FINDINGS / min(taken)),
        "bytes": len(records[0].value),
    }


def _grouped(key: str, occurrence: Occurrence) -> bytes:
    member = _member(occurrence.offset)
    evidence = Evidence(
        event_id=occurrence.event_id, at=occurrence.at, origin=member["origin"],
        original=member["original"],
    )  # fmt: skip
    finding = Finding(
        id=occurrence.event_id, rule=FEEDING, severity=21, at=occurrence.at, key=key,
        window=3_600_000, fields=member["fields"], entities=member["entities"],
        evidence=(evidence,),
    )  # fmt: skip
    grouped = GroupedFinding(
        correlation=RULE.id, group=key, group_fields=member["fields"],
        value=occurrence.event_id, finding=finding,
    )  # fmt: skip
    return grouped.encode()
