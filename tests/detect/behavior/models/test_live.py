"""A model and its shadow in the running pipeline, and what the commands make of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
import yaml
from click.testing import CliRunner
from prometheus_client import generate_latest

from detect.behavior.models import dga, insider, kinds
from detect.behavior.models.artifact import encode
from detect.behavior.models.signing import TrustedKeys, own_key
from detect.behavior.models.store import ModelStore
from tests.detect.behavior.events import DAY, HOUR, MONDAY, event, records
from tocsin.cli.main import cli
from tocsin.cli.pipeline import Pipeline
from tocsin.clock import ManualClock
from tocsin.config import load
from tocsin.contracts import Topics
from tocsin.errors import ConfigError
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from detect.behavior.models.artifact import Artifact
    from detect.behavior.models.signing import SigningKey
    from tocsin.contracts import Document

DAYS = 4
WORDS = [f"{a}{b}.example" for a in "mnvkl" for b in ("ara", "elo", "iso", "ota", "una", "ive")]
ODD = [f"x{n * 7919:x}q{n * 104729:x}.test" for n in range(1, 31)]


def queries() -> Iterator[Document]:
    """Four machines that ask for usual names, one of them also for odd ones; people who read."""
    for day in range(DAYS):
        for person in range(40):
            yield event(
                MONDAY + day * DAY + person * 60_000,
                "file",
                event={"id": f"f{day}-{person}"},
                user={"name": f"person{person}"},
                file={"path": f"/srv/team{person % 5}/plan.txt"},
            )
    for number in range(DAYS * 24 * 3):
        machine = f"192.0.2.{number % 4 + 1}"
        name = WORDS[number * 7 % len(WORDS)]
        if machine == "192.0.2.4" and number % 24 == 3:
            name = ODD[number // 24 % len(ODD)]
        yield event(
            MONDAY + number * HOUR // 3,
            "network",
            event={"id": f"q{number}"},
            source={"ip": machine},
            dns={"question": {"name": name}, "response_code": "NOERROR"},
        )


def configured(directory: Path) -> Path:
    path = directory / "tocsin.yaml"
    content = {
        "data_dir": str(directory / "data"),
        "log": {"partitions": 1},
        "behavior": {"enabled": True, "budgets": {"dga": 5}},
        "rules": {"builtin": False},
        "playbooks": {"builtin": []},
        "console": {"enabled": False},
    }
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


def modelled(directory: Path) -> ModelStore:
    """A model in force and a shadow, which is as sure of nothing as the other."""
    models = directory / "data" / "models"
    models.mkdir(parents=True)
    key = own_key(models)
    store = ModelStore(models, TrustedKeys([key.public]), kinds.SCHEMAS)
    rows = dga.Rows([*WORDS, *ODD], ["benign"] * len(WORDS) + ["made"] * len(ODD))
    first = store.add(kinds.trained(kinds.KINDS["dga"], rows, key))
    store.promote("dga")
    store.add(varied(first, 0.5, key))
    return store


def varied(first: Artifact, factor: float, key: SigningKey) -> bytes:
    """The model with other weights: another version, without training it."""
    arrays = {**first.arrays, "weights": first.arrays["weights"] * np.float32(factor)}
    return encode(first.kind, str(first.manifest["schema"]), arrays, first.manifest, key)


async def ran(path: Path, patience: float = 30) -> str:
    """Feed the queries; what is scraped then, if they are processed in `patience` seconds."""
    end = MONDAY + DAYS * DAY
    stages = ("observe", "behavior")
    async with Pipeline(load(path), stages=stages, clock=ManualClock(end)) as pipeline:
        task = asyncio.create_task(pipeline.run())
        await pipeline.log.append(
            [Outgoing(Topics.EVENTS, r.value, b"one", timestamp=end) for r in records(queries())]
        )
        assert await pipeline.settle(patience), pipeline.down()
        scraped = generate_latest(pipeline.metrics.registry).decode()
        pipeline.stop()
        await task
        assert all(account.balanced for account in pipeline.metrics.accounts.values())
    return scraped


def rows_of(*command: str) -> tuple[int, list[dict[str, Any]]]:
    result = CliRunner().invoke(cli, command)
    assert not isinstance(result.exception, Exception), result.output
    return result.exit_code, [orjson.loads(line) for line in result.stdout.splitlines()]


def test_a_shadow_beside_a_model_through_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store = configured(tmp_path), modelled(tmp_path)
    monkeypatch.setattr(insider, "_TREES", 10)
    before, config = store.pointer("dga"), ("-c", str(path))
    scraped = asyncio.run(ran(path))
    assert 'tocsin_model_drift{figure="surprise",model="dga"}' in scraped
    assert 'tocsin_model_alerts_a_day{model="dga",of="shadow"}' in scraped
    code, (row,) = rows_of("models", "drift", *config, "--json")
    assert code == 1, "machines that ask for nothing but words of one kind are not training"
    assert row["alarms"][0].partition(" ")[0] in row["figures"]
    assert row["version"] == before.active
    assert row["rows"] > 200
    seen = row["shadow"]
    assert (seen["shadow"], seen["active"]) == (before.shadow, before.active)
    assert seen["slices"] == DAYS * 24 * 3 - 1, "the last slice is open"
    assert seen["days"] == DAYS
    # Forty people's days, but the last, which is not over.
    code, (made,) = rows_of("models", "retrain", *config)
    assert (code, made["days"]) == (0, 40 * (DAYS - 1))
    assert store.pointer("insider").shadow == made["shadow"]
    status = CliRunner().invoke(cli, ["behavior", "status", *config, "--json"])
    assert [r for r in map(orjson.loads, status.stdout.splitlines()) if r.get("model") == "dga"]
    # A version that live events have not met stays out; the one that scored beside goes in.
    in_force = store.artifact("dga", before.active)
    fresh = store.add(varied(in_force, 0.25, own_key(tmp_path / "data" / "models"))).version
    refused = CliRunner().invoke(cli, ["models", "promote", *config, "dga"])
    assert isinstance(refused.exception, ConfigError)
    assert f"{fresh} stays a shadow: it has not scored live events" in str(refused.exception)
    assert store.pointer("dga").active == before.active
    forced = CliRunner().invoke(cli, ["models", "promote", *config, "dga", "--force"])
    assert forced.exit_code == 0, forced.output
    assert store.pointer("dga").active == fresh
    back = CliRunner().invoke(cli, ["models", "rollback", *config, "dga"])
    assert back.stdout == f"dga {before.active} is in force again\n"


@pytest.mark.parametrize("given", [("--data", "."), ("--model", "tests/__init__.py")])
def test_rows_and_a_model_go_together(tmp_path: Path, given: tuple[str, str]) -> None:
    result = CliRunner().invoke(cli, ["models", "drift", "-c", str(configured(tmp_path)), *given])
    assert "go together" in str(result.exception)
