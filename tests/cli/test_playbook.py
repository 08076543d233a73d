"""`tocsin playbook new | test | show | schema` from the outside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.conftest import command

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_playbook_passes_its_own_tests_and_can_be_drawn(tmp_path: Path) -> None:
    made = command(tmp_path, "playbook", "new", "first-try")
    assert made.code == 0, made.err
    folder = tmp_path / "playbooks"
    first = (folder / "first-try.yml").read_text("utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=playbook.schema.json"
    assert json.loads((folder / "playbook.schema.json").read_text("utf-8"))["title"]
    tested = command(tmp_path, "playbook", "test", "playbooks")
    assert (tested.code, "6 of 6" in tested.err) == (0, True), tested.err
    file = folder / "first-try.yml"
    file.write_text(file.read_text("utf-8").replace("geoip.lookup", "geoip.lokup"), "utf-8")
    wrong = command(tmp_path, "playbook", "test", "playbooks")
    assert wrong.code == 2
    assert "first-try.yml:18:5: steps[0].action: no verb 'geoip.lokup'" in wrong.err
    again = command(tmp_path, "playbook", "new", "first-try")
    assert again.code == 2
    assert "not overwritten" in again.err
    drawn = command(tmp_path, "playbook", "show", "playbooks/first-try.yml", "--format", "svg")
    assert drawn.out.startswith("<svg")


def test_one_of_the_library_is_shown_by_id(tmp_path: Path) -> None:
    assert command(tmp_path, "playbook", "show", "log-silence").out.startswith("flowchart TD")


def test_a_name_that_is_no_id_is_refused(tmp_path: Path) -> None:
    assert command(tmp_path, "playbook", "new", "../evil").code == 2
    assert not (tmp_path / "playbooks").exists()
