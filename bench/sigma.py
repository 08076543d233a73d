"""Sigma on the stream: events matched per CPU-second, with every published rule and our own.

Events are what the normalize stage emits for real telemetry (../shared/data), in real order; for
the first row every text that a log chose is made unique per round, so that no cache can help. One
process, one core, no result kept; garbage is looked for as seldom as in `tocsin run`. A figure
without its hits is void, so they stand beside it.
"""

from __future__ import annotations

import gc
import gzip
import random
import resource
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from detect.match import text_of_record
from detect.sigma import load_rules
from detect.sigma.batch import BatchMatcher
from ingest.normalize import NormalizeStage
from tocsin.contracts import Topics, raw_record
from tocsin.garbage import keep_what_is_loaded
from tocsin.log.base import Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from detect.sigma.ruleset import RuleSet

DATA = Path(__file__).parents[2] / "shared" / "data"
END = 1_795_000_000_000
ROUNDS = 5
BATCH = 1_000
#: Passes in which a matcher learns of a stream, once, its buckets and which literals are rare.
LEARNING = 6
#: Passes of which those are measured in which no bucket chose its literals anew; what the others
#: take is reported as learning.
MAX_ROUNDS = 40


def run() -> list[dict[str, Any]]:
    """Rows by stream; none where ../shared is missing."""
    archive = DATA / "sigma" / "sigmahq-rules.tar.gz"
    if not archive.exists():
        return [{"bench": "sigma", "skipped": f"{archive} is missing"}]
    began = time.process_time()
    rules = load_rules([archive], builtin=True, allow_errors=True)
    loaded = time.process_time() - began
    _match(BatchMatcher(rules), [])
    bare = _peak_mb()
    lab = list(_events(_lines("sigma/otrf-windows-20k.jsonl.gz")))
    attack = list(_events(_lines("sigma/evtx-attack-samples.jsonl.gz", "event")))
    creation = [event for event in lab + attack if _is_process_creation(event)]
    mix = list(_events(_mix()))
    gc.collect()
    keep_what_is_loaded()
    rows = [
        _row("lab telemetry, every value unique", rules, lab, unique=True),
        _row("lab telemetry, real order", rules, lab),
        _row("process creation only", rules, creation, unique=True),
        _row("attack samples", rules, attack),
        _row("sshd, nginx, CloudTrail", rules, mix),
    ]
    memory = {
        "peak_memory_mb_rules_loaded": bare,
        "peak_memory_mb_with_all_events_kept": _peak_mb(),
    }
    loading = {"rules": len(rules.rules), "cold_start_cpu_s": round(loaded, 1)}
    return [*rows, {"bench": "sigma", **loading, **memory}]


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _row(
    stream: str, rules: RuleSet, events: list[Record], *, unique: bool = False
) -> dict[str, Any]:
    matcher = BatchMatcher(rules)
    began = time.process_time()
    for _ in range(LEARNING):
        _match(matcher, events)
    learned = time.process_time() - began
    rates, walls, hits = [], [], 0
    for number in range(MAX_ROUNDS):
        given = [_unique(event, number) for event in events] if unique else events
        choices = matcher.choices
        wall, cpu = time.perf_counter(), time.process_time()
        hits = _match(matcher, given)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if matcher.choices > choices:
            learned += cpu
            continue
        rates.append(len(given) / cpu)
        walls.append(len(given) / wall)
        if len(rates) == ROUNDS:
            break
    return {
        "bench": "sigma",
        "stream": stream,
        "events_per_cpu_second": round(statistics.median(rates)),
        "events_per_second": round(statistics.median(walls)),
        "hits": hits,
        "events": len(events),
        "bytes": round(statistics.mean(len(event.value) for event in events)),
        "learning_cpu_s": round(learned, 1),
    }


def _match(matcher: BatchMatcher, events: list[Record]) -> int:
    return sum(
        len(matched.matches)
        for start in range(0, len(events), BATCH)
        for matched in matcher.match(
            [text_of_record(record) for record in events[start : start + BATCH]]
        ).values()
    )


def _unique(event: Record, number: int) -> Record:
    """The event with a few letters more in every longer text below winlog.event_data."""
    document = orjson.loads(event.value)
    data = document.get("winlog", {}).get("event_data", {})
    for name, value in data.items():
        if isinstance(value, str) and len(value) > 12:
            data[name] = f"{value[:-4]}{number}{event.offset:x}{value[-4:]}"
    return event._replace(value=orjson.dumps(document))


def _is_process_creation(event: Record) -> bool:
    return b'"channel":"Microsoft-Windows-Sysmon' in event.value and b'"code":"1"' in event.value


def _lines(name: str, field: str = "") -> Iterator[bytes]:
    with gzip.open(DATA / name, "rb") as lines:
        for line in lines:
            yield orjson.dumps(orjson.loads(line)[field]) if field else line.rstrip(b"\n")


def _mix() -> Iterator[bytes]:
    trail = list(_lines("logs/invictus-cloudtrail-attack.jsonl.gz"))
    auth = list(_lines("logs/elastic-examples-auth.log.gz"))
    draw = random.Random(1)  # noqa: S311
    for at, line in enumerate(auth):
        yield line
        yield _access(draw, at)
        if at < len(trail):
            yield trail[at]


def _access(draw: random.Random, number: int) -> bytes:
    """A line of nginx's access log, as a shop writes it."""
    page = draw.choice(["/", "/cart", "/api/orders", "/static/app.js", "/login", "/search"])
    query = f"?q={draw.randrange(10**6)}" if draw.randrange(3) == 0 else ""
    status = draw.choice([200] * 12 + [304, 301, 404])
    return (
        f"198.51.100.{draw.randrange(256)} - - "
        f"[{10 + number // 86_400:02}/Mar/2026:{number // 3_600 % 24:02}:{number // 60 % 60:02}:"
        f'{number % 60:02} +0000] "GET {page}{query} HTTP/1.1" {status} {draw.randrange(50_000)} '
        f'"https://shop.example.com{draw.choice(["/", "/cart"])}" '
        f'"Mozilla/5.0 (X11; Linux x86_64; rv:{draw.randrange(90, 140)}.0) Gecko/20100101 '
        f'Firefox/{draw.randrange(90, 140)}.0"'
    ).encode()


def _events(lines: Iterable[bytes]) -> Iterator[Record]:
    raw = [raw_record(line, source="bench", received=END) for line in lines]
    records = [
        Record(Topics.RAW, 0, number, None, line.value, line.headers, line.timestamp)
        for number, line in enumerate(raw)
    ]
    outputs = NormalizeStage().process(records, KeyedState(), END).outputs
    for number, event in enumerate(out for out in outputs if out.topic == Topics.EVENTS):
        yield Record(
            Topics.EVENTS, 0, number, event.key, event.value, event.headers, event.timestamp
        )
