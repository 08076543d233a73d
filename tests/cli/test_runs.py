"""Runs from the command line: their timeline, and stopping one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.cli.asking import ADDRESS, alert, prepared

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran
    from tests.playbooks.counting_target import CountingTarget


@pytest.fixture
def config(asking_site: Path) -> Path:
    return asking_site


def test_the_timeline_is_in_order_and_a_cancelled_run_does_nothing_more(
    config: Path, tocsin: Callable[..., Ran], product: CountingTarget
) -> None:
    question = asyncio.run(prepared(config, alert()))
    shown = tocsin("runs", "show", question.run_id[:8], "-c", config, "--json").rows()
    assert [row["kind"] for row in shown] == ["started", "approval_requested"]
    assert f"Shut {ADDRESS} out?" in tocsin("runs", "show", question.run_id, "-c", config).out
    for id, said in (("ffffffff", "there is no run"), ("f", "at least 6")):
        for command in (("show", id), ("cancel", id, "--by", "x")):
            ran = tocsin("runs", *command, "-c", config)
            assert ran.code == 2
            assert said in ran.err
    ran = tocsin("runs", "cancel", question.run_id[:8], "--by", "ana", "--reason", "a test",
                 "-c", config)  # fmt: skip
    assert ran.code == 0, ran.err
    assert "it stops when `tocsin run` starts" in ran.out
    assert tocsin("run", "-c", config, "--until-idle", 60).code == 0
    told = tocsin("runs", "show", question.run_id, "-c", config).out
    assert "cancelled by ana: a test" in told
    assert tocsin("approvals", "list", "-c", config, "--json").rows() == []
    again = tocsin("runs", "cancel", question.run_id, "--by", "ana", "-c", config)
    assert again.code == 2
    assert "is over" in again.err
    assert product.held[ADDRESS] == 0
