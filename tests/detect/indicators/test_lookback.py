"""Late indicators: looked for in the log's past, once, with the ids that the stream would give."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from detect.indicators.feeds import Feeds
from detect.indicators.lookback import Known, Lookback, Search, news, number_of
from detect.indicators.stage import match
from tests.detect.indicators.support import AT, NOBODY, event, findings, rows, table
from tests.flow.world import records
from tocsin.clock import ManualClock
from tocsin.contracts import Topics
from tocsin.enrichment_config import IndicatorSettings
from tocsin.log.base import Outgoing, Topic
from tocsin.log.sqlite import SqliteLog
from tocsin.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tocsin.log.base import Record

HOUR = 3_600_000


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    made = SqliteLog(tmp_path / "log.sqlite", clock=ManualClock(AT))
    await made.start()
    await made.create([Topic(Topics.EVENTS, partitions=3), Topic(Topics.FINDINGS)])
    yield made
    await made.close()


async def fill(log: SqliteLog, count: int = 30) -> None:
    """Events of the last hours, each with an address of its own."""
    await log.append(
        [
            Outgoing(
                Topics.EVENTS,
                orjson.dumps(event(event={"id": f"e{n}"}, destination={"ip": f"203.0.113.{n}"})),
                str(n).encode(),
                timestamp=AT - n * HOUR,
            )
            for n in range(count)
        ]
    )


async def until(reached: Callable[[], bool]) -> None:
    while True:
        if reached():
            return
        await asyncio.sleep(0.01)


async def found(log: SqliteLog) -> list[Record]:
    return await records(log, Topics.FINDINGS)


class TestSearch:
    async def test_findings_are_those_of_the_stream(self, log: SqliteLog) -> None:
        await fill(log)
        asked = table("203.0.113.5", "203.0.113.6")
        scan = await Search(log, asked, NOBODY, since=0).run()
        assert (scan.read, scan.findings, scan.finished) == (30, 2, True)
        streamed = match(await records(log, Topics.EVENTS), asked, NOBODY).outputs
        late = {(record.key, record.value) for record in await found(log)}
        assert late == {(output.key, output.value) for output in streamed}

    async def test_no_further_back_than_asked(self, log: SqliteLog) -> None:
        await fill(log)
        asked = table("203.0.113.5", "203.0.113.20")
        scan = await Search(log, asked, NOBODY, since=AT - 10 * HOUR).run()
        assert (scan.findings, scan.skipped) == (1, 19)

    async def test_dry(self, log: SqliteLog) -> None:
        await fill(log)
        scan = await Search(log, table("203.0.113.5"), NOBODY, since=0, dry=True).run()
        assert scan.findings == 1
        assert await found(log) == []

    async def test_what_is_no_event_does_not_stop_it(self, log: SqliteLog) -> None:
        await log.append([Outgoing(Topics.EVENTS, b"203.0.113.5", b"k", timestamp=AT)])
        await fill(log)
        scan = await Search(log, table("203.0.113.5"), NOBODY, since=0).run()
        assert (scan.findings, scan.unreadable) == (1, 1)

    async def test_stopped_it_is_unfinished(self, log: SqliteLog) -> None:
        await fill(log)
        stopping = asyncio.Event()
        stopping.set()
        scan = await Search(log, table("203.0.113.5"), NOBODY, since=0, stopping=stopping).run()
        assert (scan.finished, scan.findings) == (False, 0)

    @pytest.mark.parametrize("more", [0, 40])
    async def test_searching_for_bytes_finds_what_decoding_finds(
        self, log: SqliteLog, more: int
    ) -> None:
        """With few values records are searched before they are decoded, with many they are not."""
        documents: list[dict[str, Any]] = [
            {"destination": {"ip": "2001:db8::7"}},
            {"url": {"domain": "A.EVIL.Example.com"}},
            {"url": {"full": "https://Evil.example.org/a%20b?q"}},
            {"url": {"domain": "evil.example.net", "path": "/x"}},
            {"file": {"hash": {"md5": "D41D8CD98F00B204E9800998ECF8427E"}}},
            {"destination": {"ip": "198.51.100.1"}},
        ]
        await log.append(
            [
                Outgoing(
                    Topics.EVENTS,
                    orjson.dumps(event(event={"id": f"e{n}"}, **document)),
                    timestamp=AT,
                )
                for n, document in enumerate(documents)
            ]
        )
        asked = table(
            "2001:db8::7", "evil.example.com", "http://evil.example.org/a%20b",
            "http://evil.example.net/x", "d41d8cd98f00b204e9800998ecf8427e",
            *(f"other-{n}.example" for n in range(more)),
        )  # fmt: skip
        scan = await Search(log, asked, NOBODY, since=0).run()
        assert scan.findings == 5


class TestKnown:
    def test_what_was_looked_for_stays_known(self, tmp_path: Path) -> None:
        known = Known(tmp_path / "a" / "known")
        known.add([3, 2**64 - 1, 0, 3])
        known.add([7])
        again = Known(tmp_path / "a" / "known")
        assert len(again) == 4
        assert all(number in again for number in (0, 3, 7, 2**64 - 1))
        assert 4 not in again

    @pytest.mark.parametrize("data", [b"", b"1234567", b"\xff" * 8 + b"\x00" * 8])
    def test_a_damaged_file_counts_as_none(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "known").write_bytes(data)
        assert len(Known(tmp_path / "known")) == 0

    def test_only_news_is_looked_for(self, tmp_path: Path) -> None:
        known = Known(tmp_path / "known")
        feed = rows("203.0.113.5", "203.0.113.6")
        known.add([number_of(feed[0])])
        made, fresh = news([feed], known)
        assert [each.value for each in made] == ["203.0.113.6"]
        assert fresh == {number_of(feed[1])}


class TestLookback:
    def feeds(self, tmp_path: Path, *values: str) -> Feeds:
        (tmp_path / "list.txt").write_text("\n".join(values), "utf-8")
        settings = IndicatorSettings.model_validate(
            {
                "feeds": [{"name": "list", "type": "csv", "path": tmp_path / "list.txt"}],
                "lookback": "12h",
            }
        )
        feeds = Feeds(settings, tmp_path / "spool", ManualClock(AT))
        feeds.refresh()
        return feeds

    def worker(self, feeds: Feeds, log: SqliteLog, tmp_path: Path) -> Lookback:
        return Lookback(feeds, log, ManualClock(AT), Metrics(), tmp_path / "known")

    async def test_new_indicators_are_looked_for_once(self, log: SqliteLog, tmp_path: Path) -> None:
        await fill(log)
        feeds = self.feeds(tmp_path, "203.0.113.5", "203.0.113.20")
        worker = self.worker(feeds, log, tmp_path)
        assert not worker.idle
        assert (await worker.catch_up()).findings == 1
        assert worker.idle
        assert (await self.worker(feeds, log, tmp_path).catch_up()).findings == 0
        (tmp_path / "list.txt").write_text("203.0.113.5\n203.0.113.6\n", "utf-8")
        feeds.refresh()
        assert not worker.idle
        assert (await worker.catch_up()).findings == 1
        events = {finding.evidence[0].event_id for finding in findings_in(await found(log))}
        assert events == {"e5", "e6"}

    async def test_a_crash_before_the_end_looks_again_and_says_the_same(
        self, log: SqliteLog, tmp_path: Path
    ) -> None:
        await fill(log)
        feeds = self.feeds(tmp_path, "203.0.113.5")
        await self.worker(feeds, log, tmp_path).catch_up()
        (tmp_path / "known").unlink()
        await self.worker(feeds, log, tmp_path).catch_up()
        first, second = await found(log)
        assert first.value == second.value

    async def test_it_runs_until_it_is_stopped(self, log: SqliteLog, tmp_path: Path) -> None:
        await fill(log)
        worker = self.worker(self.feeds(tmp_path, "203.0.113.5"), log, tmp_path)
        async with asyncio.TaskGroup() as group, asyncio.timeout(20):
            group.create_task(worker.run())
            await until(lambda: worker.idle)
            worker.stop()
        assert len(await found(log)) == 1

    async def test_a_log_that_is_away_is_tried_again(
        self, log: SqliteLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("detect.indicators.lookback.RETRY", 0.01)
        metrics = Metrics()
        empty = SqliteLog(tmp_path / "other.sqlite", clock=ManualClock(AT))
        await empty.start()
        worker = Lookback(
            self.feeds(tmp_path, "203.0.113.5"), empty, ManualClock(AT), metrics, tmp_path / "known"
        )
        async with asyncio.TaskGroup() as group, asyncio.timeout(20):
            group.create_task(worker.run())
            await until(lambda: metrics.account("lookback").errors.total() >= 2)
            await empty.create([Topic(Topics.EVENTS)])
            await until(lambda: worker.idle)
            worker.stop()
        await empty.close()


def findings_in(found: list[Record]) -> list[Any]:
    return findings([Outgoing(record.topic, record.value) for record in found])
