"""`tocsin playbook import-cacao` and `export-cacao` from the outside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.conftest import command
from tests.playbooks.cacao.example import ID, playbook

if TYPE_CHECKING:
    from pathlib import Path


def test_in_and_out_again_with_a_report(tmp_path: Path) -> None:
    source, made, back = (tmp_path / name for name in ("a.json", "a.yml", "b.json"))
    source.write_text(json.dumps(playbook()), "utf-8")
    ran = command(tmp_path, "playbook", "import-cacao", str(source), "-o", str(made), "--json")
    assert ran.code == 0
    losses = [json.loads(line) for line in ran.out.splitlines()]
    assert {loss["level"] for loss in losses} == {"loss"}
    assert f"/workflow/{ID['while']}/on_true" in {loss["pointer"] for loss in losses}
    assert command(tmp_path, "playbook", "export-cacao", str(made), "-o", str(back)).code == 0
    assert json.loads(back.read_text("utf-8"))["workflow"] == playbook()["workflow"]


def test_an_invalid_one_is_refused_with_all_reasons_and_nothing_is_written(tmp_path: Path) -> None:
    source, made = tmp_path / "a.json", tmp_path / "a.yml"
    source.write_text(json.dumps(playbook() | {"priority": 900, "created": "then"}), "utf-8")
    ran = command(tmp_path, "playbook", "import-cacao", str(source), "-o", str(made))
    assert ran.code == 2
    assert "/priority: 900 is not between 0 and 100" in ran.err
    assert "/created: 'then'" in ran.err
    assert not made.exists()


def test_one_of_the_library_goes_out_by_its_id(tmp_path: Path) -> None:
    ran = command(tmp_path, "playbook", "export-cacao", "leaked-cloud-key")
    assert ran.code == 0
    assert json.loads(ran.out)["spec_version"] == "cacao-2.0"
    assert "loss: /trigger" in ran.err
    assert command(tmp_path, "playbook", "export-cacao", "no-such-thing").code == 2
