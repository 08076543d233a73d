"""`tocsin playbook new | test | show | schema` from the outside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.conftest import command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran

    Tocsin = Callable[..., Ran]


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


def test_verbs_say_what_an_action_takes_answers_and_needs(tocsin: Tocsin) -> None:
    rows = {row["verb"]: row for row in tocsin("playbook", "verbs", "--json").rows()}
    assert rows["firewall.block_ip"]["class"] == "contain"
    assert set(rows["firewall.block_ip"]["inputs"]) == {"ip", "comment"}
    assert rows["abuseipdb.check_ip"]["outputs"]["score"] == "number"
    assert "keycloak" in rows["identity.disable_user"]["types"]
    assert "run" not in rows["case.report"]["inputs"]
    shown = tocsin("playbook", "verbs", "identity.").out
    assert "identity.revoke_sessions: Log an account out" in shown
    assert "cannot be undone: no hold" in shown
    assert "with.user: text (the target)" in shown
    assert "firewall" not in shown
    wrong = tocsin("playbook", "verbs", "identity.lookup")
    assert wrong.code == 2
    assert "no verb begins with 'identity.lookup'; did you mean" in wrong.err


def test_a_test_that_fails_says_why_the_step_did(tmp_path: Path, tocsin: Tocsin) -> None:
    assert tocsin("playbook", "new", "why", "-d", tmp_path).code == 0
    file = tmp_path / "why.test.yml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("outcome: failed, reason: not permitted, steps: {",
                                 "outcome: completed, steps: {block: ok, "), "utf-8")  # fmt: skip
    ran = tocsin("playbook", "test", tmp_path)
    assert ran.code == 1
    assert "step block: expected ok, was failed (not permitted)" in ran.out + ran.err
    assert "the run's reason: step block failed: not permitted" in ran.out + ran.err
