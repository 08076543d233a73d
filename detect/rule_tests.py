"""Running the tests that stand in rule files.

    tests:
        - name: a refused password
          match: true
          raw: "Jan  5 10:00:00 web-1 sshd[7]: Failed password for root from 192.0.2.7 port 22"
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
as its source writes it, and goes through normalization first; `event` is what that would give. A
test passes if the rule matches (one event), or is satisfied by some event (several), exactly when
`match` says so. The time of the test stands for whatever time an event has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from detect.sigma.replay import replay
from tocsin.clock import iso, parse_iso
from tocsin.config import parse_duration
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.sigma.ruleset import RuleSet

#: When the events of a test begin.
START = parse_iso("2026-01-05T10:00:00Z")
#: Most events that one test may ask for.
MAX_EVENTS = 10_000

#: The events of a raw record, as the normalize stage makes them; raises BadInput.
Normalize = Callable[[bytes], list[dict[str, Any]]]

_EVENT_KEYS = {"event", "raw"}
_STEP_KEYS = _EVENT_KEYS | {"repeat", "every", "after"}
_TEST_KEYS = _EVENT_KEYS | {"name", "match", "events"}


class Failure(NamedTuple):
    """A test that failed, or a rule that is not tested as it must be."""

    rule: str
    title: str
    test: str
    problem: str

    def __str__(self) -> str:
        return f"{self.title} ({self.rule}), {self.test}: {self.problem}"


def run(
    ruleset: RuleSet, *, required: bool = False, normalize: Normalize | None = None
) -> list[Failure]:
    """Run the tests of all rules and correlations of the set.

    `required`: a rule without a test that matches and one that does not is a failure too, and so
    is a rule that cannot be evaluated. `normalize` is for tests with raw records; without it
    these fail.
    """
    failures: list[Failure] = []
    tested = [(rule.rule, rule.tests) for rule in ruleset.rules]
    tested += [(c.rule, ruleset.correlation_tests.get(c.rule.id, ())) for c in ruleset.correlations]
    for rule, tests in tested:
        for position, test in enumerate(tests, start=1):
            name = str(test.get("name", position)) if isinstance(test, dict) else str(position)
            if problem := _problem(ruleset, rule.id, test, normalize):
                failures.append(Failure(rule.id, rule.name, f"test '{name}'", problem))
        if required:
            verdicts = {test.get("match") for test in tests if isinstance(test, dict)}
            failures += [
                Failure(rule.id, rule.name, "tests", f"no test says match: {str(verdict).lower()}")
                for verdict in (True, False)
                if verdict not in verdicts
            ]
    if required:
        failures += [
            Failure(rule.id, rule.title, "rule", f"cannot be evaluated: {rule.reason}")
            for rule in ruleset.unsupported
        ]
    return failures


def _problem(ruleset: RuleSet, rule_id: str, test: Any, normalize: Normalize | None) -> str:
    """What is wrong with the test or its outcome; "" if it passes."""
    try:
        expected, events = _parsed(test, normalize)
    except (ValueError, TypeError, BadInput) as error:
        return f"the test is not valid: {error}"
    fired = rule_id in replay(ruleset, events)
    if fired is expected:
        return ""
    return "matches, but should not" if fired else "does not match, but should"


def _parsed(
    test: Any, normalize: Normalize | None
) -> tuple[bool, list[tuple[int, dict[str, Any]]]]:
    if not isinstance(test, dict) or not set(test) <= _TEST_KEYS:
        raise ValueError(f"a test has {', '.join(sorted(_TEST_KEYS))}")
    if not isinstance(test.get("match"), bool):
        raise ValueError("match is true or false")
    if len(test.keys() & {"event", "raw", "events"}) != 1:
        raise ValueError("a test has one of event, raw and events")
    single = {key: test[key] for key in test.keys() & _EVENT_KEYS}
    steps = test.get("events", [single])
    return test["match"], list(_timeline(steps, normalize))


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
