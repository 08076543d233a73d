"""Training anew: from what is kept, against the model in force, on a schedule, one at a time."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import sys
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from click.testing import CliRunner

from detect.behavior.models import insider, retraining
from detect.behavior.models.days import DAYS, FEATURES, JUDGED, Gathered
from detect.behavior.models.kinds import SCHEMAS
from detect.behavior.models.signing import TrustedKeys, own_key
from detect.behavior.models.store import ModelStore
from tests.detect.behavior.models.test_insider import days
from tests.detect.behavior.models.test_live import configured
from tocsin.behavior_config import RetrainSettings
from tocsin.cli import models_schedule
from tocsin.cli.main import cli
from tocsin.cli.models_schedule import LOCK, Retraining
from tocsin.clock import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400_000
SIZE = len(FEATURES)


def given(count: int = 400, verdicts: int = 0, move: float = 0.0) -> list[Any]:
    """Days as the pipeline keeps them; `move` shifts all of them."""
    rows = days(count, verdicts=verdicts)
    said = [None if each < 0 else bool(each) for each in rows.said.tolist()]
    return [
        (day, [value + move for value in row], word)
        for day, row, word in zip(rows.days, rows.table.tolist(), said, strict=True)
    ]


def store_of(directory: Path) -> ModelStore:
    return ModelStore(directory, TrustedKeys([own_key(directory).public]), SCHEMAS)


def test_a_candidate_that_is_not_worse_becomes_the_shadow(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    first = retraining.retrained(tmp_path, given())
    assert store.pointer("insider").shadow == first["shadow"] != ""
    store.promote("insider")
    second = retraining.retrained(tmp_path, given(verdicts=60))
    assert second["in_force"]["version"] == first["shadow"]
    assert second["against"] == []
    assert second["verdicts"]["used"]
    assert second["metrics"]["auc"] >= second["in_force"]["metrics"]["auc"]
    shadow = store.artifact("insider", second["shadow"])
    assert shadow.manifest["parent"] == first["shadow"]
    # Other days are held out than for the model in force; that was measured on these as well.
    assert store.promote("insider").version == second["shadow"]


def test_a_candidate_that_is_worse_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path)
    retraining.retrained(tmp_path, given(verdicts=60))
    store.promote("insider")
    measured = insider.train

    def spoiled(*arguments: Any) -> Any:
        arrays, about = measured(*arguments)
        return arrays, {**about, "metrics": {**about["metrics"], "auc": 0.5}}

    monkeypatch.setattr(insider, "train", spoiled)
    told = retraining.retrained(tmp_path, given(verdicts=60))
    assert told["shadow"] == ""
    assert told["against"][0].startswith("auc is 0.500, of the model in force")
    assert store.pointer("insider").shadow == ""
    many = retraining.against({"told_at_0.01": 0.2}, {"told_at_0.01": 0.02})
    assert "tells 0.200 of usual days" in many[0]


def test_days_of_incidents_and_of_long_ago_are_not_learned_from() -> None:
    gathered = Gathered()
    row = [0.5] * SIZE
    for day, open_ in ((1, 0), (50, 0), (51, 1), (52, 0)):
        gathered.add(DAYS, [day, "t|user|ada", day, open_, row])
    gathered.add(JUDGED, [0, 5, "t|user|ada", 1, 0, row])
    gathered.add(JUDGED, [1, 9, "t|user|ada", 1, 1, row])
    gathered.add(JUDGED, [0, 7, "t|user|ada", 1, 0, row])
    told = gathered.rows(30)
    assert [(day, said) for day, _, said in told] == [(1, True), (50, None), (52, None)]


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insider, "_TREES", 20)


async def scheduled(directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What came of a training at the start, before it is due, when it is, and right after."""
    kept = given()

    async def learnable(log: Any, days: int) -> Any:
        assert days == 30
        return kept

    monkeypatch.setattr(models_schedule, "learnable", learnable)
    clock, settings = ManualClock(DAY), RetrainSettings(every=7 * DAY)
    log: Any = None
    worker = Retraining({"insider": settings}, directory, log, clock)
    told = []
    for passed in (0, 6, 1, 1):
        clock.advance(passed * DAY)
        told.append(await worker.once("insider", settings))
    clock.advance(7 * DAY)
    with (directory / LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        told.append(await worker.once("insider", settings))
    worker.stop()
    await worker.run()
    return told


def test_a_schedule_trains_when_it_is_due_and_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, early, due, again, locked = asyncio.run(scheduled(tmp_path, monkeypatch))
    assert (start, early, again, locked) == (None, None, None, None)
    assert due["shadow"] == store_of(tmp_path).pointer("insider").shadow != ""


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    path = configured(tmp_path)
    result = CliRunner().invoke(cli, ["models", "retrain", "-c", str(path)])
    assert "at least 100 users' days are needed, there are 0" in str(result.exception)


def test_the_program_reads_days_and_writes_what_came_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    class Input:
        class buffer:
            @staticmethod
            def read() -> bytes:
                return b"[]"

    monkeypatch.setattr(sys, "stdin", Input)
    monkeypatch.setattr(os, "nice", lambda by: by)
    monkeypatch.setattr(resource, "setrlimit", lambda what, to: None)
    retraining.main(str(tmp_path), 10)
    out, _ = capfdbinary.readouterr()
    assert "100 users' days" in orjson.loads(out)["error"]
