"""`tocsin indicators`: what is kept, what is refused, lookups, looking back, and fetching."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

from tests.detect.indicators.support import event
from tests.flow.world import records
from tocsin.clock import SystemClock
from tocsin.contracts import Finding, Topics
from tocsin.log.base import Outgoing, Topic
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran

LIST = "203.0.113.7\n198.51.100.0/24\nevil.example.com\n10.0.0.1\n10.0.0.2\nnonsense\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "list.txt").write_text(LIST, "utf-8")
    return configured(tmp_path, {"name": "list", "type": "csv", "path": "list.txt"})


def configured(directory: Path, *feeds: dict[str, Any]) -> Path:
    path = directory / "tocsin.yaml"
    settings = {"data_dir": "data", "indicators": {"feeds": feeds, "allow": ["198.51.100.9"]}}
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return path


class TestCheck:
    def test_what_was_kept_and_refused(self, config: Path, tocsin: Callable[..., Ran]) -> None:
        ran = tocsin("indicators", "check", "-c", config, "--json")
        assert ran.code == 0
        (row,) = ran.rows()
        assert (row["feed"], row["kept"]) == ("list", 3)
        assert row["kinds"] == {"ip": 1, "range": 1, "domain": 1}
        assert row["refused"] == {"private": 2, "not_a_value": 1}
        assert row["examples"]["private"] == ["10.0.0.1", "10.0.0.2"]
        assert "3 indicators" in tocsin("indicators", "check", "-c", config).out

    def test_a_broken_feed_is_an_exit_code(
        self, tmp_path: Path, tocsin: Callable[..., Ran]
    ) -> None:
        config = configured(tmp_path, {"name": "gone", "type": "stix", "path": "gone.json"})
        ran = tocsin("indicators", "check", "-c", config)
        assert ran.code == 1
        assert "cannot be" in "".join(ran.out.split("\n"))

    def test_without_feeds(self, tmp_path: Path, tocsin: Callable[..., Ran]) -> None:
        ran = tocsin("indicators", "check", "-c", configured(tmp_path))
        assert (ran.code, "no feeds are configured" in ran.err) == (2, True)


class TestLookup:
    @pytest.mark.parametrize(
        ("asked", "indicator"),
        [
            ("203[.]0[.]113[.]7", "203.0.113.7"),
            ("198.51.100.3", "198.51.100.0/24"),
            ("x.evil.example.com", "evil.example.com"),
        ],
    )
    def test_found(
        self, config: Path, tocsin: Callable[..., Ran], asked: str, indicator: str
    ) -> None:
        ran = tocsin("indicators", "lookup", asked, "-c", config, "--json")
        (row,) = ran.rows()
        assert (ran.code, row["value"], row["allowed"]) == (0, indicator, False)

    def test_allowed_is_told(self, config: Path, tocsin: Callable[..., Ran]) -> None:
        (row,) = tocsin("indicators", "lookup", "198.51.100.9", "-c", config, "--json").rows()
        assert row["allowed"] is True

    def test_not_found_and_no_value(self, config: Path, tocsin: Callable[..., Ran]) -> None:
        assert tocsin("indicators", "lookup", "example.com", "-c", config).code == 1
        ran = tocsin("indicators", "lookup", "no\x1bvalue", "-c", config)
        assert ran.code == 2
        assert "\x1b" not in ran.err


async def fill(directory: Path) -> None:
    log = SqliteLog(directory / "data" / "log.sqlite", clock=SystemClock())
    await log.start()
    await log.create([Topic(Topics.EVENTS), Topic(Topics.FINDINGS)])
    now = SystemClock().now()
    await log.append(
        [
            Outgoing(
                Topics.EVENTS,
                orjson.dumps(event(event={"id": f"e{n}"}, destination={"ip": ip})),
                timestamp=now - age,
            )
            for n, (ip, age) in enumerate(
                [("203.0.113.7", 0), ("203.0.113.7", 30 * 86_400_000), ("192.0.2.1", 0)]
            )
        ]
    )
    await log.close()


async def findings(directory: Path) -> list[Finding]:
    log = SqliteLog(directory / "data" / "log.sqlite", clock=SystemClock())
    await log.start()
    found = [Finding.decode(r.value) for r in await records(log, Topics.FINDINGS)]
    await log.close()
    return found


class TestBackfill:
    def test_as_far_back_as_asked(
        self, config: Path, tmp_path: Path, tocsin: Callable[..., Ran]
    ) -> None:
        (tmp_path / "data").mkdir()
        asyncio.run(fill(tmp_path))
        ran = tocsin("indicators", "backfill", "-c", config, "--dry-run")
        assert ran.out.strip() == "1 findings would be found in 2 events"
        assert asyncio.run(findings(tmp_path)) == []
        (row,) = tocsin("indicators", "backfill", "-c", config, "--since", "60d", "--json").rows()
        assert (row["findings"], row["read"], row["skipped"]) == (2, 3, 0)
        tocsin("indicators", "backfill", "-c", config)
        found = asyncio.run(findings(tmp_path))
        assert len(found) == 3
        assert len({finding.id for finding in found}) == 2

    @pytest.mark.parametrize(
        ("options", "message"),
        [(("--feed", "x"), "there is no feed x"), (("--since", "soon"), "is no duration")],
    )
    def test_mistakes(
        self, config: Path, tocsin: Callable[..., Ran], options: tuple[str, str], message: str
    ) -> None:
        ran = tocsin("indicators", "backfill", "-c", config, *options)
        assert ran.code == 2
        assert message in ran.err


def test_fetching_what_cannot_be_fetched(tmp_path: Path, tocsin: Callable[..., Ran]) -> None:
    config = configured(
        tmp_path,
        {"name": "away", "type": "csv", "url": "http://127.0.0.1:1/list"},
        {"name": "list", "type": "csv", "path": "list.txt"},
    )
    ran = tocsin("indicators", "fetch", "-c", config)
    assert ran.code == 1
    assert "away: http://127.0.0.1:1/list: ConnectError" in ran.err
