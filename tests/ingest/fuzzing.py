"""A seeded mutation fuzzer of the normalize stage: real lines, broken in every way lines break.

    python -m tests.ingest.fuzzing [--family NAME] [--lines N] [--seconds S] [--first N]

runs it at length, prints a row per family, and writes every line that failed or was slow to
`--out`. Line N of a family is always the same, so a failure is found again by its number.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from ingest.mapping.library import builtin
from ingest.mapping.targets import BOOLEAN, DATE, ECS, FLOAT, IP, LONG, OBJECT, ROOTS
from ingest.normalize import CODES, NormalizeStage
from tests.ingest.mutations import mutated
from tests.ingest.raw import check, flat, record
from tests.ingest.seeds import FAMILIES, own_seeds, real_seeds
from tocsin.clock import parse_iso
from tocsin.contracts import DeadLetter, Topics
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: No line may take longer, CPU seconds.
SLOW = 0.050

#: A line that was slow is given this many more chances: functions are compiled on first use.
CHANCES = 4

_NUMBERS: dict[str, type | tuple[type, ...]] = {LONG: int, FLOAT: (int, float), BOOLEAN: bool}


def mutant(seeds: list[bytes], number: int) -> bytes:
    """Line `number` of the mutants of these seeds."""
    dice = random.Random(number)  # noqa: S311  (test data, no secret)
    return mutated(seeds, dice)


def assert_valid(document: dict[str, Any]) -> None:
    """Fail on a field of a wrong type, or one that is not ECS although its root is.

    What is already ECS may have fields of its own; only those of ECS are looked at there.
    """
    check(document)
    passed = document["tocsin"]["parser"]["name"] == "ecs"
    for path, value in flat({name: document[name] for name in document.keys() & ROOTS}).items():
        known = ECS.get(path)
        if known is None:
            assert passed or path == "ecs.version" or _open(path), f"{path} is no field of ECS"
            continue
        assert isinstance(value, list) == known.many, f"{path}: {value!r}"
        for item in value if isinstance(value, list) else (value,):
            assert _fits(known.type, item), f"{path}: {item!r} is no {known.type}"
            assert known.allowed is None or item in known.allowed, f"{path}: {item!r}"


def _open(path: str) -> bool:
    """Whether a field is below one whose fields are free (`labels`, structured data)."""
    parent = path
    while "." in parent:
        parent = parent.rpartition(".")[0]
        above = ECS.get(parent)
        if above is not None and above.type == OBJECT:
            return True
    return False


def _fits(type: str, item: Any) -> bool:
    if type == IP:
        ipaddress.ip_address(item)
        return isinstance(item, str)
    if type == DATE:
        parse_iso(item)
        return True
    if type in _NUMBERS:
        right = isinstance(item, _NUMBERS[type])
        return right and isinstance(item, bool) == (type == BOOLEAN)
    return type == OBJECT or (isinstance(item, str) and item != "")


def judged(
    stage: NormalizeStage, line: bytes, clock: Callable[[], float] = time.process_time
) -> float:
    """Seconds that a line took; fails if it escapes, is lost, or is no valid document."""
    raw = record(line)
    state = KeyedState()
    begin = clock()
    batch = stage.process([raw], state, 0)
    spent = clock() - begin
    assert batch.accounted == 1, "a line is accounted for once"
    events = [out for out in batch.outputs if out.topic == Topics.EVENTS]
    letters = [out for out in batch.outputs if out.topic == Topics.DEAD_LETTERS]
    assert len(events) + len(letters) == len(batch.outputs)
    assert bool(events) == (batch.sent == 1)
    if letters:
        assert not events, "a line is an event or a dead letter, never both"
        parts = [DeadLetter.decode(out.value) for out in letters]
        assert b"".join(part.original for part in parts) == line
        assert {part.code for part in parts} <= CODES.keys(), parts[0].code
    for out in events:
        assert_valid(orjson.loads(out.value))
    return spent


def _again(stage: NormalizeStage, line: bytes) -> float:
    """The same once more, when what was remembered of the line has been forgotten."""
    judged(stage, b"<unread")
    return judged(stage, line)


@dataclass
class Report:
    """What a run found."""

    family: str
    lines: int = 0
    dead: int = 0
    slowest: float = 0.0
    slowest_number: int = -1
    #: Number → what was wrong.
    failures: dict[int, str] = field(default_factory=dict)
    slow: dict[int, float] = field(default_factory=dict)


def run(family: str, seeds: list[bytes], numbers: Iterator[int], until: float = 1e18) -> Report:
    """Judge these mutants of a family until a time of time.monotonic()."""
    stage = NormalizeStage()
    report = Report(family)
    for number in numbers:
        if time.monotonic() > until:
            break
        line = mutant(seeds, number)
        report.lines += 1
        try:
            # To ask for CPU seconds may cost more than the line does.
            spent = judged(stage, line, time.perf_counter)
            if spent > SLOW:
                spent = min(_again(stage, line) for _ in range(CHANCES))
        except Exception as error:  # the fuzzer's whole purpose is to see them all
            report.failures[number] = f"{type(error).__name__}: {error}"[:300]
            continue
        if spent > SLOW:
            report.slow[number] = spent
        if spent > report.slowest:
            report.slowest, report.slowest_number = spent, number
    return report


def all_seeds(shared: Path | None) -> dict[str, list[bytes]]:
    """The lines of each family: our mappings' own, and real ones where they are."""
    seeds = own_seeds(builtin())
    if shared is not None:
        for family, lines in real_seeds(shared).items():
            seeds[family] = seeds[family] + lines
    return seeds


def main() -> int:
    """Run at length; the exit code is 1 if anything failed or was slow."""
    parser = argparse.ArgumentParser(prog="tests.ingest.fuzzing")
    parser.add_argument("--family", action="append", choices=FAMILIES)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9, help="at most, for each family")
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--out", type=Path, help="where lines that failed or were slow are kept")
    options = parser.parse_args()
    seeds = all_seeds(options.shared)
    bad = 0
    for family in options.family or FAMILIES:
        numbers = iter(range(options.first, options.first + options.lines))
        until = time.monotonic() + options.seconds
        report = run(family, seeds[family], numbers, until)
        bad += len(report.failures) + len(report.slow)
        _tell(report, seeds[family], options.out)
    return 1 if bad else 0


def _tell(report: Report, seeds: list[bytes], out: Path | None) -> None:
    row = {
        "family": report.family,
        "seeds": len(seeds),
        "lines": report.lines,
        "failures": len(report.failures),
        "slow": len(report.slow),
        "slowest_ms": round(report.slowest * 1e3, 1),
        "slowest_line": report.slowest_number,
    }
    sys.stdout.write(json.dumps(row) + "\n")
    for reason, number in list({what: n for n, what in report.failures.items()}.items())[:20]:
        sys.stdout.write(f"  {reason}: {number}\n")
    for number, spent in sorted(report.slow.items(), key=lambda one: -one[1])[:10]:
        sys.stdout.write(f"  {number}: {spent * 1e3:.0f} ms\n")
    sys.stdout.flush()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for number in (*report.failures, *report.slow):
            (out / f"{report.family}-{number}").write_bytes(mutant(seeds, number))


if __name__ == "__main__":
    raise SystemExit(main())
