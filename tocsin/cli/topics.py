"""The configured log, and reading whole topics of it."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from tocsin.contracts import Topics
from tocsin.errors import ConfigError
from tocsin.log.base import Topic
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tocsin.clock import Clock
    from tocsin.config import Settings
    from tocsin.log.base import Log


def build_log(settings: Settings, clock: Clock) -> Log:
    """The log that the configuration names; needs the `kafka` extra for Kafka."""
    if (path := log_file(settings)) is not None:
        return SqliteLog(path, clock=clock)
    try:
        from tocsin.log.kafka import KafkaLog
    except ImportError as error:
        raise ConfigError(
            f"log.backend is kafka, but {error.name} is not installed: pip install 'tocsin[kafka]'"
        ) from None
    return KafkaLog(settings.log, client_id=f"tocsin-{socket.gethostname()}-{os.getpid()}")


def log_file(settings: Settings) -> Path | None:
    """The file of the embedded log, None where the log is Kafka."""
    return settings.data_dir / "log.sqlite" if settings.log.backend == "sqlite" else None


def all_topics(settings: Settings) -> list[Topic]:
    """All topics with the configured partitions and retention; state topics belong to the log.

    The audit is kept for ever: a chain that has lost its beginning does not verify.
    """
    return [
        Topic(
            name,
            partitions=settings.log.partitions,
            retention=-1 if name == Topics.AUDIT else settings.log.retention,
        )
        for name in Topics.ALL
    ]


async def values(log: Log, topic: str) -> AsyncIterator[bytes]:
    """Every value of a topic, partition by partition."""
    for at, end in sorted((await log.end_offsets(topic)).items()):
        offset = 0
        while offset < end and (records := await log.read(at, offset, 1000)):
            for record in records:
                yield record.value
            offset = records[-1].offset + 1
