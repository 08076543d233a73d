"""Running the tests of a set of rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from detect.rule_tests.beside import beside
from detect.rule_tests.cases import case_of
from detect.rule_tests.outcome import Flow, difference
from detect.sigma.replay import replay
from tocsin.errors import BadInput, ContentErrors, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detect.rule_tests.cases import Case, Normalize
    from detect.sigma.ruleset import RuleSet
    from tocsin.contracts import Rule
    from tocsin.errors import RuleError


_NOWHERE = Place("")


class Failure(NamedTuple):
    """A test that failed, or a rule that is not tested as it must be."""

    rule: str
    title: str
    test: str
    problem: str
    place: Place = _NOWHERE

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place.path else ""
        return f"{where}{self.title} ({self.rule}), {self.test}: {self.problem}"


class Ran(NamedTuple):
    """How many tests of how many rules ran, and what failed."""

    rules: int
    tests: int
    failures: list[Failure]


def run(
    ruleset: RuleSet, *, required: bool = False, normalize: Normalize | None = None
) -> list[Failure]:
    """Run the tests of all rules and correlations of the set; what failed.

    `required`: a rule without a test that matches and one that does not is a failure too, and so
    is a rule that cannot be evaluated. `normalize` is for tests with raw records; without it
    these fail. Raises ContentErrors for files of tests that are wrong.
    """
    return ran(ruleset, required=required, normalize=normalize).failures


def ran(ruleset: RuleSet, *, required: bool = False, normalize: Normalize | None = None) -> Ran:
    """Like `run`, with the numbers of what ran."""
    flow = Flow(ruleset)
    failures: list[Failure] = []
    total = 0
    of_rules = tests_of(ruleset)
    for rule in _rules(ruleset):
        place = ruleset.places.get(rule.id, _NOWHERE)
        tests = of_rules.get(rule.id, ())
        total += len(tests)
        for position, test in enumerate(tests, start=1):
            name = str(test.get("name", position)) if isinstance(test, dict) else str(position)
            if problem := _problem(ruleset, flow, rule.id, test, normalize):
                failures.append(Failure(rule.id, rule.name, f"test '{name}'", problem, place))
        if required:
            failures += [
                Failure(rule.id, rule.name, "tests", f"no test says match: {word}", place)
                for word in _unsaid(tests)
            ]
    if required:
        failures += [
            Failure(rule.id, rule.title, "rule", f"cannot be evaluated: {rule.reason}")
            for rule in ruleset.unsupported
        ]
    return Ran(len(of_rules), total, failures)


def _unsaid(tests: Sequence[Any]) -> list[str]:
    """The verdicts that no test gives."""
    said = {test.get("match") for test in tests if isinstance(test, dict)}
    return [word for word, verdict in (("true", True), ("false", False)) if verdict not in said]


def tests_of(ruleset: RuleSet) -> dict[str, tuple[Any, ...]]:
    """The tests of each rule and correlation that has some: in its file, then beside it.

    Raises ContentErrors for files of tests that are wrong.
    """
    errors: list[RuleError] = []
    outside = beside(ruleset.places, ruleset.names, errors)
    if errors:
        raise ContentErrors(errors)
    inside = {rule.rule.id: rule.tests for rule in ruleset.rules} | ruleset.correlation_tests
    return {
        rule_id: tests
        for rule_id in inside.keys() | outside.keys()
        if (tests := (*inside.get(rule_id, ()), *outside.get(rule_id, ())))
    }


def _rules(ruleset: RuleSet) -> list[Rule]:
    return [r.rule for r in ruleset.rules] + [c.rule for c in ruleset.correlations]


def _problem(
    ruleset: RuleSet, flow: Flow, rule_id: str, test: Any, normalize: Normalize | None
) -> str:
    """What is wrong with the test or its outcome; "" if it passes."""
    try:
        case = case_of(test, normalize)
    except (ValueError, TypeError, BadInput) as error:
        return f"the test is not valid: {error}"
    fired = rule_id in replay(ruleset, case.events)
    if fired is not case.match:
        return "matches, but should not" if fired else "does not match, but should"
    return _alert_problem(flow, rule_id, case)


def _alert_problem(flow: Flow, rule_id: str, case: Case) -> str:
    if case.alert is None:
        return ""
    return difference(case.alert, [a for a in flow.alerts(case.events) if a.rule.id == rule_id])
