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


def test_the_exception_in_the_guide_applies(tmp_path: Path) -> None:
    (exception,) = [block for block in _blocks("rules.md") if block.startswith("title: Backups")]
    (tmp_path / "rule.yml").write_text(_blocks("rules.md")[0], "utf-8")
    (tmp_path / "exception.yml").write_text(exception, "utf-8")
    loaded = load_rules([tmp_path], builtin=False)
    assert [rule.filters[0].title for rule in loaded.rules] == ["Backups run as root"]
    event = {
        "event": {"dataset": "system.auth"},
        "process": {"name": "sudo", "command_line": "/opt/cron-helper/run sh -c id"},
        "user": {"effective": {"name": "root"}},
    }
    assert loaded.match(event)
    assert not loaded.match({**event, "user": {"effective": {"name": "backup"}}})
