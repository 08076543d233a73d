"""A process that collects over HTTP and TCP into an embedded log, to be killed.

Arguments: the log's file. Writes one JSON line with its ports, then how many raw records are
durable, after each append.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.sources.http.source import HttpSource
from ingest.sources.syslog_stream import SyslogStream
from tests.ingest.sources.collected import TOPICS
from tocsin.clock import SystemClock
from tocsin.log.sqlite import SqliteLog
from tocsin.source_config import HttpSource as HttpSettings
from tocsin.source_config import SyslogSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.log.base import Outgoing, Position


def tell(what: object) -> None:
    """A line for the test."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Telling(SqliteLog):
    """Tells how many raw records are durable."""

    durable = 0

    async def append(self, records: Sequence[Outgoing]) -> list[Position]:
        positions = await super().append(records)
        self.durable += len(positions)
        tell(self.durable)
        return positions


async def main() -> None:
    """Collect until killed."""
    clock = SystemClock()
    log = Telling(Path(sys.argv[1]), clock=clock)
    await log.start()
    await log.create(TOPICS)
    nonce = secrets.token_hex(8)
    http = HttpSource(HttpSettings(type="http", port=0), log, clock, nonce=nonce)
    tcp = SyslogStream(SyslogSource(type="syslog", port=0), log, clock, nonce=secrets.token_hex(8))
    async with asyncio.TaskGroup() as group:
        for source in (http, tcp):
            group.create_task(source.run())
        await http.listening.wait()
        await tcp.listening.wait()
        tell({"http": http.address, "tcp": tcp.address})


if __name__ == "__main__":
    asyncio.run(main())
