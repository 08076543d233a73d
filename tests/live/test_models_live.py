"""Models on Kafka: drift, a shadow and training anew are what they are on the embedded log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from detect.behavior.models import insider
from dev.servers import kafka
from tests.detect.behavior.events import DAY, MONDAY
from tests.detect.behavior.models.test_live import DAYS, configured, modelled, ran, rows_of
from tocsin.behavior_config import RetrainSettings
from tocsin.cli.models_schedule import Retraining
from tocsin.cli.topics import build_log
from tocsin.clock import ManualClock
from tocsin.config import load

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

WEEK = 7 * DAY


def seen(directory: Path, log: Mapping[str, Any]) -> dict[str, Any]:
    """What the commands, and a schedule, make of the same events on this log."""
    directory.mkdir()
    path, store = configured(directory), modelled(directory)
    content = yaml.safe_load(path.read_text("utf-8"))
    content["log"] |= log
    path.write_text(yaml.safe_dump(content), "utf-8")
    asyncio.run(ran(path, patience=120))
    code, (row,) = rows_of("models", "drift", "-c", str(path), "--json")
    found = {name: row[name] for name in ("model", "rows", "verdict", "figures", "alarms")}
    found |= {"code": code, "slices": row["shadow"]["slices"], "days": row["shadow"]["days"]}
    code, (made,) = rows_of("models", "retrain", "-c", str(path))
    assert store.pointer("insider").shadow == made["shadow"] != ""
    found |= {"trained": code, "of_days": made["days"], "metrics": made["metrics"]}
    again = asyncio.run(scheduled(path))
    assert again is not None, "it was due"
    assert again["days"] == made["days"]
    return found


async def scheduled(path: Path) -> dict[str, Any] | None:
    """What came of the training of a schedule's first week, on the log that the workers have."""
    settings, clock = load(path), ManualClock(MONDAY + DAYS * DAY)
    log = build_log(settings, clock)
    await log.start()
    try:
        every = {"insider": RetrainSettings(every=WEEK)}
        worker = Retraining(every, settings.data_dir / "models", log, clock)
        assert await worker.once("insider", every["insider"]) is None
        clock.advance(WEEK)
        return await worker.once("insider", every["insider"])
    finally:
        await log.close()


def test_models_on_kafka_as_on_the_embedded_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insider, "_TREES", 10)
    embedded = seen(tmp_path / "embedded", {})
    with kafka(tmp_path / "kafka") as server:
        log = {"backend": "kafka", "bootstrap_servers": server.bootstrap, "table_replicas": 0}
        assert seen(tmp_path / "workers", log) == embedded
    assert embedded["rows"] > 200
    assert embedded["alarms"]
