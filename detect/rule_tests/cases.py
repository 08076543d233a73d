"""Test cases of rules: events over time, and what is expected of them.

    tests:
        - name: a refused password
          match: true
          raw: "Jan  5 10:00:00 web-1 sshd[7]: Failed password for root from 192.0.2.7 port 22"
          alert: {severity: 73, key: {source.ip: 192.0.2.7}}
        - name: an accepted password               # or the event as ECS
          match: false
          event: {event: {dataset: system.auth, outcome: success}, process: {name: sshd}}
        - name: ten failures within a minute       # correlations: events over time
          match: true
          events:
              - repeat: 10
                every: 5s
                event: {source: {ip: 203.0.113.9}, user: {name: "user{n}"}}
              - after: 30s
                event: {}

In `events` each step follows the one before: `after` waits, `repeat` and `every` multiply, and
`{n}` in a text becomes the number of the repetition, from 0. `raw` is a log line or JSON record
as its source writes it, and goes through normalization first; `event` is what that would give. The
time of the test stands for whatever time an event has. `alert` says what the alert is to be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from detect.rule_tests.outcome import expected
from tocsin.clock import iso, parse_iso
from tocsin.config import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.rule_tests.outcome import Expected

#: When the events of a test begin.
START = parse_iso("2026-01-05T10:00:00Z")
#: Most events that one test may ask for.
MAX_EVENTS = 10_000

#: The events of a raw record, as the normalize stage makes them; raises BadInput.
Normalize = Callable[[bytes], list[dict[str, Any]]]

_EVENT_KEYS = {"event", "raw"}
_STEP_KEYS = _EVENT_KEYS | {"repeat", "every", "after"}
_TEST_KEYS = _EVENT_KEYS | {"name", "match", "events", "alert", "rule"}


class Case(NamedTuple):
    """A test as it is run: ((ms, event), …), and what must come of them."""

    match: bool
    events: list[tuple[int, dict[str, Any]]]
    alert: Expected | None


def case_of(test: Any, normalize: Normalize | None) -> Case:
    """The case that a rule's file writes down.

    Raises ValueError, TypeError or BadInput for what is none.
    """
    if not isinstance(test, dict) or not set(test) <= _TEST_KEYS:
        raise ValueError(f"a test has {', '.join(sorted(_TEST_KEYS))}")
    if not isinstance(test.get("match"), bool):
        raise ValueError("match is true or false")
    if len(test.keys() & {"event", "raw", "events"}) != 1:
        raise ValueError("a test has one of event, raw and events")
    single = {key: test[key] for key in test.keys() & _EVENT_KEYS}
    steps = test.get("events", [single])
    alert = None if "alert" not in test else expected(test["alert"])
    if alert is not None and not test["match"]:
        raise ValueError("there is no alert where match is false")
    return Case(test["match"], list(_timeline(steps, normalize)), alert)


def _timeline(
    steps: list[Any], normalize: Normalize | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    at, number = START, 0
    for step in steps:
        if not isinstance(step, dict) or not set(step) <= _STEP_KEYS:
            raise ValueError("a step has event or raw, and may have repeat, every and after")
        if len(step.keys() & _EVENT_KEYS) != 1:
            raise ValueError("a step has either event or raw")
        at += _duration(step.get("after", 0))
        every = _duration(step.get("every", 0))
        for repetition in range(int(step.get("repeat", 1))):
            if number >= MAX_EVENTS:
                raise ValueError(f"more than {MAX_EVENTS} events")
            at += every if repetition else 0
            for event in _events(step, repetition, normalize):
                yield at, event | {"@timestamp": iso(at)}
            number += 1


def _events(
    step: dict[str, Any], repetition: int, normalize: Normalize | None
) -> list[dict[str, Any]]:
    if "event" in step:
        if not isinstance(step["event"], dict):
            raise ValueError("event is a mapping")
        return [_filled(step["event"], repetition)]
    if normalize is None:
        raise ValueError("raw needs the normalizer, which is not there")
    raw = _filled(step["raw"], repetition)
    made = normalize(raw.encode() if isinstance(raw, str) else orjson.dumps(raw))
    if not made:
        raise ValueError("raw gives no event")
    return made


def _duration(value: Any) -> int:
    parsed = parse_duration(value)
    if not isinstance(parsed, int):
        raise ValueError(f"'{value}' is no duration")
    return parsed


def _filled(value: Any, number: int) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, number) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, number) for inner in value]
    return value.replace("{n}", str(number)) if isinstance(value, str) else value
