"""Every playbook of the library loads, and does what the tests beside it say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from playbooks.loading import LIBRARY, load_playbooks
from playbooks.testing import Case, load_cases, run_test
from responders.base import ActionClass
from responders.catalog import known_actions
from tests.playbooks.doubles import ACTIONS
from tocsin.errors import ContentErrors

if TYPE_CHECKING:
    from pathlib import Path

    from responders.base import Action

PLAYBOOKS = sorted(p for p in LIBRARY.glob("*.yml") if not p.name.endswith(".test.yml"))
#: The connectors' own declarations; the webhook's depends on its URLs.
REAL: dict[str, Action] = {**known_actions(), "notify.webhook": ACTIONS["notify.webhook"]}


def cases_beside(path: Path) -> tuple[Case, ...]:
    beside = path.with_suffix(".test.yml")
    return load_cases(str(beside), beside.read_bytes())


CASES = [
    pytest.param(path, case, id=f"{path.stem}: {case.name}")
    for path in PLAYBOOKS
    for case in cases_beside(path)
]


@pytest.mark.parametrize(("path", "case"), CASES)
def test_case(path: Path, case: Case) -> None:
    loaded = load_playbooks([], [path.stem], actions=REAL, guard_lists=())
    assert run_test(loaded.playbooks[path.stem], case).problems == ()


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_has_positive_negative_guard_failure_and_crash_cases(path: Path) -> None:
    cases = cases_beside(path)
    assert any(case.crash for case in cases)
    answers = [answer.status for c in cases for script in c.answers.values() for answer in script]
    assert {case.expect.triggered for case in cases} == {True, False}
    assert {"refused", "failed"} <= set(answers)


def test_loads_without_a_single_connector() -> None:
    loaded = load_playbooks([], actions={}, known_verbs=REAL, guard_lists=())
    assert set(loaded.playbooks) == {path.stem for path in PLAYBOOKS}


def test_unknown_builtin_is_named_with_the_nearest() -> None:
    with pytest.raises(ContentErrors, match="did you mean 'leaked-cloud-key'"):
        load_playbooks([], ["leaked-cloud-keys"], actions=ACTIONS)


def test_nothing_destructive_happens_without_a_sure_alert_or_an_answer() -> None:
    """What cannot be undone, and machines cut off, wait for people unless the alert is sure."""
    for path in PLAYBOOKS:
        loaded = load_playbooks([], [path.stem], actions=REAL, guard_lists=())
        playbook = loaded.playbooks[path.stem]
        for step in playbook.by_path.values():
            grave = step.action is not None and (
                step.action.action_class is ActionClass.DESTRUCTIVE
                or step.spec.action in ("host.isolate", "identity.disable_user")
            )
            condition = step.condition.text if step.condition else ""
            words = ("approved", "vars.sure", 'steps.disable.status == "ok"')
            assert not grave or any(word in condition for word in words), (path.stem, step.path)


def test_every_containment_of_the_library_is_bounded() -> None:
    for path in PLAYBOOKS:
        loaded = load_playbooks([], [path.stem], actions=REAL, guard_lists=())
        for step in loaded.playbooks[path.stem].by_path.values():
            if step.spec.hold is not None:
                assert step.spec.hold.ttl <= 24 * 3_600_000, (path.stem, step.path)
                assert step.spec.guard.rate or step.spec.guard.drift, (path.stem, step.path)


def test_there_are_fifteen_or_more() -> None:
    assert len(PLAYBOOKS) >= 15
