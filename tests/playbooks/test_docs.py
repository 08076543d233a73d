"""What docs/playbooks.md shows is true: its playbook loads and its tests hold."""

from __future__ import annotations

import re
from pathlib import Path

from playbooks.loading import load_playbook
from playbooks.testing import load_cases, run_test
from responders.catalog import known_actions
from tests.playbooks.doubles import ACTIONS

PAGE = Path(__file__).parents[2] / "docs" / "playbooks.md"


def test_the_first_playbook_and_its_tests() -> None:
    first, tests = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    made = load_playbook("ssh.yml", first.encode(), ACTIONS)
    cases = load_cases("ssh.test.yml", tests.encode())
    assert len(cases) == 3
    for case in cases:
        assert run_test(made, case).problems == (), case.name


def test_the_example_of_the_specification_loads(shared: Path) -> None:
    text = (shared / "playbooks.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    served = known_actions()
    made = load_playbook("spec.yml", example.replace("+ …'", "+ 0'").encode(), served, served, {})
    assert made.document.trigger.concurrency is not None
    assert made.exclude
