"""A stage that counts distinct ids, the process that runs it, and how its work is judged.

`python -m tests.live.counting faust|kafka BOOTSTRAP PREFIX DIRECTORY` runs until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from tocsin.clock import SystemClock
from tocsin.config import LogSettings
from tocsin.log.base import Outgoing
from tocsin.log.faust_tables import FaustStage
from tocsin.log.kafka import KafkaLog
from tocsin.metrics import Metrics
from tocsin.runtime import StageRunner
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.log.base import Record
    from tocsin.state import State

#: Distinct ids of a key at which the stage speaks.
THRESHOLD = 25


class CountingStage:
    """Sends a key's sorted ids once there are THRESHOLD of them; every tick sends nothing."""

    name = "count"
    topic = "in"
    stateful = True

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        batch = Batch()
        for record in records:
            key = (record.key or b"").decode()
            ids = state.get(key, [])
            name = record.value.decode()
            if name in ids:
                batch.filtered["seen"] += 1
                continue
            state[key] = ids = sorted([*ids, name])
            batch.sent += 1
            if len(ids) == THRESHOLD:
                batch.outputs.append(Outgoing("out", orjson.dumps(ids), key=record.key))
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        return ()


def settings(bootstrap: str, prefix: str) -> LogSettings:
    """One replica, because there is one broker."""
    return LogSettings(
        backend="kafka", bootstrap_servers=bootstrap, prefix=prefix, table_replicas=0
    )


async def work(kind: str, log_settings: LogSettings, directory: Path) -> None:
    """Run the stage for ever."""
    clock, metrics = SystemClock(), Metrics()
    if kind == "faust":
        stage = FaustStage(
            CountingStage(), log_settings, clock=clock, metrics=metrics, data_dir=directory
        )
        await stage.run()
        return
    log = KafkaLog(log_settings, client_id="counting")
    await log.start()
    await StageRunner(CountingStage(), log, clock=clock, metrics=metrics).run()


if __name__ == "__main__":
    kind, bootstrap, prefix, directory = sys.argv[1:]
    asyncio.run(work(kind, settings(bootstrap, prefix), Path(directory)))
