"""The file source and SIGKILL, with the embedded log and a real process."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from ingest.sources.file import FileSource
from tocsin.clock import SystemClock
from tocsin.config import FileSource as FileSourceSettings
from tocsin.log.base import Topic, TopicPartition
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from pathlib import Path

LINES = 3_000

READER = """
import asyncio, sys
from pathlib import Path
from ingest.sources import tail
from ingest.sources.file import FileSource
from tocsin.clock import SystemClock
from tocsin.config import FileSource as FileSourceSettings
from tocsin.log.base import Topic
from tocsin.log.sqlite import SqliteLog

tail.MAX_LINES = 50


class Telling(SqliteLog):
    async def append(self, records):
        positions = await super().append(records)
        print(records[0].topic, flush=True)
        return positions


async def main():
    log = Telling(Path(sys.argv[1]), clock=SystemClock())
    await log.start()
    await log.create([Topic("raw", 1)])
    await FileSource(FileSourceSettings(path=sys.argv[2]), log, SystemClock()).run()


asyncio.run(main())
"""


def _die_after(appends: int, store: Path, logs: Path) -> None:
    """Run the reader and kill it when it has appended lines so often."""
    command = [sys.executable, "-c", READER, str(store), str(logs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        seen = 0
        for topic in reader.stdout:
            seen += topic.strip() == "raw"
            if seen == appends:
                break
        reader.kill()
        assert reader.wait(30) == -9


async def test_killed_twice_every_line_is_there_and_has_one_id(tmp_path: Path) -> None:
    store, logs = tmp_path / "log.sqlite", tmp_path / "app.log"
    expected = [b"line %d" % number for number in range(LINES)]
    logs.write_bytes(b"\n".join(expected) + b"\n")
    for appends in (7, 11):
        _die_after(appends, store, logs)
    log = SqliteLog(store, clock=SystemClock())
    await log.start()
    try:
        settings = FileSourceSettings(path=str(logs), follow=False)
        await log.create([Topic("raw", 1)])
        await FileSource(settings, log, SystemClock()).run()
        records = await log.read(TopicPartition("raw", 0), 0, 10 * LINES)
    finally:
        await log.close()
    by_origin = {record.header("origin-id"): record.value for record in records}
    assert list(by_origin.values()) == expected
    assert len(records) > LINES, "nothing was read twice: the kills came too late to prove anything"
