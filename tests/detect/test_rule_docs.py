"""The examples in the documentation work."""

from __future__ import annotations

import re
from pathlib import Path

from detect.rule_tests import run
from detect.sigma import load_rules, load_taxonomy

DOCS = Path(__file__).parents[2] / "docs"


def _blocks(name: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (DOCS / name).read_text("utf-8"), re.DOTALL)


def test_the_rule_in_the_guide_passes_its_own_tests(tmp_path: Path) -> None:
    (tmp_path / "rule.yml").write_text(_blocks("rules.md")[0], "utf-8")
    assert run(load_rules([tmp_path], builtin=False), required=True) == []


def test_the_taxonomy_in_the_guide_loads(tmp_path: Path) -> None:
    (example,) = _blocks("sigma.md")
    (tmp_path / "taxonomy.yml").write_text(example, "utf-8")
    assert len(load_taxonomy([tmp_path]).entries) == 1
