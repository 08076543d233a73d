"""A process of a case's world that kills itself at a chosen point, or is stopped from outside.

A point is `after_started` (recorded, not yet
called), `after_effect` (called, not yet recorded), or `output:STAGE`: what the stage wrote is out,
and its offset is not committed. Without a point it works until it is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from playbooks.loading import PlaybookSet, from_canonical
from tests.faults.cases.products import ACTIONS, PRODUCTS, Doom, Product
from tests.faults.cases.world import Backend, Engine
from tocsin.clock import SystemClock
from tocsin.log.sqlite_store import Store

if TYPE_CHECKING:
    from tocsin.log.kafka_producer import TransactionalProducer, Work
    from tocsin.log.sqlite_store import Commit


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_between_output_and_commit(stage: str) -> None:
    """Make this process die when the stage has written something and is about to commit it."""
    commit = Store._commit

    def doomed(self: Store, progress: Commit) -> None:
        if progress.group == stage and progress.offset is not None:
            die()
        commit(self, progress)

    patch.object(Store, "_commit", doomed).start()


def die_before_the_commit_on_kafka(stage: str) -> None:
    """The same on Kafka: records are acknowledged, the transaction (or offset) is not committed."""
    from aiokafka import AIOKafkaConsumer

    from tocsin.log.kafka_producer import TransactionalProducer

    transact = TransactionalProducer.transact

    async def doomed(self: TransactionalProducer, work: Work) -> None:
        if work.group.endswith(stage) and work.outputs and work.offsets:
            self._producer.commit_transaction = die
        await transact(self, work)

    patch.object(TransactionalProducer, "transact", doomed).start()
    commit = AIOKafkaConsumer.commit

    async def commits(self: Any, offsets: Any = None) -> None:
        if self._group_id.endswith(stage):
            die()
        await commit(self, offsets)

    patch.object(AIOKafkaConsumer, "commit", commits).start()


async def main(spec: dict[str, Any]) -> None:
    kind, _, stage = spec["point"].partition(":")
    if kind == "output" and spec["bootstrap"]:
        die_before_the_commit_on_kafka(stage)
    elif kind == "output":
        die_between_output_and_commit(stage)
    clock = SystemClock()
    log = Backend("doomed", spec["bootstrap"]).log(spec["place"], clock)
    await log.start()
    doom = Doom(spec["point"], spec["count"])
    made = [from_canonical(source, ACTIONS) for source in spec["playbooks"]]
    engine = Engine(
        log,
        PlaybookSet({each.id: each for each in made}),
        {name: Product(name, spec["url"], doom) for name in PRODUCTS},
        clock=clock,
    )
    engine.start()
    await asyncio.gather(*engine.tasks)


def run(spec: dict[str, Any]) -> None:
    """Work as the spec says, with all output in its file."""
    with Path(spec["out"]).open("ab") as out:
        for number in (1, 2):
            os.dup2(out.fileno(), number)
    asyncio.run(main(spec))
