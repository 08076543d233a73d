"""Running the tests that stand in rule files.

    tests:
        - name: a refused password
          match: true
          event: {event: {dataset: system.auth, outcome: failure}, process: {name: sshd}}
        - name: ten failures within a minute       # correlations: events over time
          match: true
          events:
              - repeat: 10
                every: 5s
                event: {source: {ip: 203.0.113.9}, user: {name: "user{n}"}}
              - after: 30s
                event: {}

In `events` each step follows the one before: `after` waits, `repeat` and `every` multiply, and
`{n}` in a text becomes the number of the repetition, from 0. A test passes if the rule matches
(one event), or is satisfied by some event (several), exactly when `match` says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from detect.sigma.replay import replay
from tocsin.clock import iso, parse_iso
from tocsin.config import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.sigma.ruleset import RuleSet

#: When the events of a test begin.
START = parse_iso("2026-01-05T10:00:00Z")
#: Most events that one test may ask for.
MAX_EVENTS = 10_000

_STEP_KEYS = {"event", "repeat", "every", "after"}
_TEST_KEYS = {"name", "match", "event", "events"}


class Failure(NamedTuple):
    """A test that failed, or a rule that is not tested as it must be."""

    rule: str
    title: str
    test: str
    problem: str

    def __str__(self) -> str:
        return f"{self.title} ({self.rule}), {self.test}: {self.problem}"


def run(ruleset: RuleSet, *, required: bool = False) -> list[Failure]:
    """Run the tests of all rules and correlations of the set.

    `required`: a rule without a test that matches and one that does not is a failure too, and so
    is a rule that cannot be evaluated.
    """
    failures: list[Failure] = []
    tested = [(rule.rule, rule.tests) for rule in ruleset.rules]
    tested += [(c.rule, ruleset.correlation_tests.get(c.rule.id, ())) for c in ruleset.correlations]
    for rule, tests in tested:
        for position, test in enumerate(tests, start=1):
            name = str(test.get("name", position)) if isinstance(test, dict) else str(position)
            if problem := _problem(ruleset, rule.id, test):
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


def _problem(ruleset: RuleSet, rule_id: str, test: Any) -> str:
    """What is wrong with the test or its outcome; "" if it passes."""
    try:
        expected, events = _parsed(test)
    except (ValueError, TypeError) as error:
        return f"the test is not valid: {error}"
    fired = rule_id in replay(ruleset, events)
    if fired is expected:
        return ""
    return "matches, but should not" if fired else "does not match, but should"


def _parsed(test: Any) -> tuple[bool, list[tuple[int, dict[str, Any]]]]:
    if not isinstance(test, dict) or not set(test) <= _TEST_KEYS:
        raise ValueError(f"a test has {', '.join(sorted(_TEST_KEYS))}")
    if not isinstance(test.get("match"), bool):
        raise ValueError("match is true or false")
    if ("event" in test) == ("events" in test):
        raise ValueError("a test has either event or events")
    steps = test["events"] if "events" in test else [{"event": test["event"]}]
    return test["match"], list(_timeline(steps))


def _timeline(steps: list[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    at, number = START, 0
    for step in steps:
        if not isinstance(step, dict) or not set(step) <= _STEP_KEYS or "event" not in step:
            raise ValueError("a step has event, and may have repeat, every and after")
        if not isinstance(step["event"], dict):
            raise ValueError("event is a mapping")
        at += _duration(step.get("after", 0))
        every = _duration(step.get("every", 0))
        for repetition in range(int(step.get("repeat", 1))):
            if number >= MAX_EVENTS:
                raise ValueError(f"more than {MAX_EVENTS} events")
            at += every if repetition else 0
            yield at, _filled(step["event"], repetition) | {"@timestamp": iso(at)}
            number += 1


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
