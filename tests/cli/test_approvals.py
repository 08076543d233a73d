"""Approvals from the command line: who may answer, to what, and what is told."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.cli.asking import ADDRESS, SECRETS, alert, load_yaml, prepared, site
from tests.cli.test_operations import eventually, in_log
from tocsin.cli import approvals
from tocsin.cli.control import FILE
from tocsin.contracts import Decision, Topics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran
    from tests.playbooks.counting_target import CountingTarget
    from tocsin.console.questions import Question

    Tocsin = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(approvals, "account", lambda: "ana")


@pytest.fixture(scope="module")
def original(
    tmp_path_factory: pytest.TempPathFactory, product: CountingTarget
) -> tuple[Path, Question]:
    """A site that has asked and stopped, made once."""
    config = site(tmp_path_factory.mktemp("asking"), product.url)
    return config, asyncio.run(prepared(config, alert()))


@pytest.fixture
def question(original: tuple[Path, Question]) -> Question:
    return original[1]


@pytest.fixture
def config(original: tuple[Path, Question], product: CountingTarget, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    product.held.clear()
    directory = tmp_path / "site"
    shutil.copytree(original[0].parent, directory)
    return directory / "tocsin.yaml"


def decisions(config: Path) -> list[Decision]:
    found = [orjson.loads(r.value) for r in in_log(config.parent, Topics.COMMANDS)]
    return [Decision.model_validate(each) for each in found if each["kind"] == "decision"]


def test_the_list_and_the_question_say_what_would_be_done_to_whom_and_why(
    config: Path, question: Question, tocsin: Tocsin
) -> None:
    [row] = tocsin("approvals", "list", "-c", config, "--json").rows()
    assert (row["id"], row["group"], row["quorum"]) == (question.id, "soc", 1)
    assert question.id[:12] in tocsin("approvals", "list", "-c", config).out
    shown = tocsin("approvals", "show", question.id[:8], "-c", config)
    assert shown.code == 0
    for said in (
        f"Shut {ADDRESS} out?",
        f"containment.webhook {ADDRESS} for 1 d",
        "SSH Brute Force: 30 events",
        "soc, 1 of it needed",
        "CORP\\mallory",
        f"approve {question.id[:12]} --plan {question.plan[:12]}",
    ):
        assert said in shown.out


def test_with_nobody_running_a_yes_waits_in_the_log_and_the_next_run_acts(
    config: Path, question: Question, tocsin: Tocsin, product: CountingTarget
) -> None:
    ran = tocsin("approvals", "approve", question.id[:10], "--plan", question.plan[:10],
                 "--reason", "known bad", "-c", config)  # fmt: skip
    assert ran.code == 0, ran.err
    assert "ana approves: it is in the log; nothing is running" in ran.out
    [decision] = decisions(config)
    assert (decision.by, decision.groups, decision.plan, decision.comment) == (
        "ana", ("soc",), question.plan, "known bad",
    )  # fmt: skip
    assert product.held[ADDRESS] == 0
    assert tocsin("run", "-c", config, "--until-idle", 60).code == 0
    assert product.held[ADDRESS] == 1
    assert tocsin("approvals", "list", "-c", config, "--json").rows() == []
    shown = tocsin("approvals", "show", question.id, "-c", config).out
    assert "state     approved" in shown
    assert "ana approved (known bad)" in shown


def test_a_running_process_takes_a_no_that_outlives_kill_9_and_tells_that_a_second_is_too_late(
    config: Path, question: Question, tocsin: Tocsin, product: CountingTarget
) -> None:
    content = load_yaml(config) | {"console": {"port": 0}}
    config.write_text(orjson.dumps(content).decode(), "utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "tocsin.cli", "run", "-c", str(config)], env={**os.environ}
    )
    try:
        eventually(lambda: (config.parent / "data" / FILE).exists() or process.poll() is not None)
        ran = tocsin("approvals", "deny", question.id, "-c", config)
        assert ran.code == 0, ran.err
        assert "ana denies: counted; denied" in ran.out
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait(30)
    late = ("approvals", "approve", question.id, "--plan", question.plan, "-c", config)
    assert tocsin(*late).code == 0
    assert tocsin("run", "-c", config, "--until-idle", 60).code == 0
    shown = tocsin("approvals", "show", question.id, "-c", config).out
    assert "state     denied: denied by ana" in shown
    assert "ana approved, not counted: " in shown
    assert product.held[ADDRESS] == 0


#: Account, arguments, what is told.
REFUSED: tuple[tuple[str, list[str], str], ...] = (
    ("ana", ["--plan", "00000000"], "is not the plan that is asked about now"),
    ("ana", ["--plan", "abc"], "at least 8 characters"),
    ("ana", [], "say what you have seen with --plan"),
    ("nobody", ["--plan", "PLAN"], "nobody in response.approvers has user: nobody"),
    ("", ["--plan", "PLAN"], "may answer nothing"),
    ("sam", ["--plan", "PLAN"], "sam is not in the group soc"),
)


def test_what_cannot_be_answered_is_told_and_nothing_is_appended(
    config: Path, question: Question, tocsin: Tocsin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for account, arguments, told in REFUSED:
        monkeypatch.setattr(approvals, "account", lambda account=account: account)
        given = [question.plan if each == "PLAN" else each for each in arguments]
        ran = tocsin("approvals", "approve", question.id, *given, "-c", config)
        assert ran.code == 2, told
        assert told in ran.err
    assert decisions(config) == []


def test_a_token_says_who_answers_whatever_the_account(
    config: Path, question: Question, tocsin: Tocsin, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(SECRETS["ASKING_BOR"] + "\n", "utf-8")
    base = ("approvals", "approve", question.id, "--plan", question.plan, "-c", config)
    assert tocsin(*base, "--token-file", token).code == 0
    assert [each.by for each in decisions(config)] == ["bor"]
    token.write_text("a token that nobody here has", "utf-8")
    ran = tocsin(*base, "--token-file", token)
    assert ran.code == 2
    assert "belongs to nobody" in ran.err


def test_an_approval_that_is_not_there_is_named(
    config: Path, question: Question, tocsin: Tocsin
) -> None:
    for id, told in (("ffffffffff", "there is no approval"), ("ab", "at least 6")):
        ran = tocsin("approvals", "show", id, "-c", config)
        assert ran.code == 2
        assert told in ran.err


def test_links_are_made_for_the_group_only_and_need_a_key(
    config: Path, question: Question, tocsin: Tocsin
) -> None:
    rows = tocsin("approvals", "link", question.id, "-c", config).out.splitlines()
    assert [row.split("  ")[0] for row in rows] == ["ana", "bor", "mallory"]
    assert all("http://127.0.0.1:8790/answer/" in row for row in rows)
    assert tocsin("approvals", "link", question.id, "--for", "sam", "-c", config).code == 2
    content = load_yaml(config)
    content["response"]["links"] = {}
    config.write_text(orjson.dumps(content).decode(), "utf-8")
    assert tocsin("approvals", "link", question.id, "-c", config).code == 2
