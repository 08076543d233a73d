"""Every playbook of the library loads, and does what the tests beside it say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from playbooks.loading import LIBRARY, load_playbooks
from playbooks.testing import Case, load_cases, run_test
from responders import geoip, inventory, nftables, report
from tests.playbooks.doubles import ACTIONS
from tocsin.errors import ContentErrors

if TYPE_CHECKING:
    from pathlib import Path

    from responders.base import Action

PLAYBOOKS = sorted(p for p in LIBRARY.glob("*.yml") if not p.name.endswith(".test.yml"))
#: The connectors' own declarations where they stand still; the webhook's depends on its URLs.
REAL: dict[str, Action] = {
    "notify.webhook": ACTIONS["notify.webhook"],
    **{
        action.verb: action
        for module in (geoip, inventory, nftables, report)
        for action in module.MANIFEST.actions
    },
}


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
def test_has_positive_negative_refused_and_failure_cases(path: Path) -> None:
    cases = cases_beside(path)
    answers = [answer.status for c in cases for script in c.answers.values() for answer in script]
    assert {case.expect.triggered for case in cases} == {True, False}
    assert {"refused", "failed"} <= set(answers)


def test_loads_without_a_single_connector() -> None:
    loaded = load_playbooks([], actions={}, known_verbs=REAL, guard_lists=())
    assert set(loaded.playbooks) == {path.stem for path in PLAYBOOKS}


def test_unknown_builtin_is_named_with_the_nearest() -> None:
    with pytest.raises(ContentErrors, match="did you mean 'leaked-cloud-key'"):
        load_playbooks([], ["leaked-cloud-keys"], actions=ACTIONS)
