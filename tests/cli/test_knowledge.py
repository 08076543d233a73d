"""What keeps the pipeline's knowledge up to date, and what `tocsin doctor` says of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ingest.enrich import Enricher
from tests.responders.mmdb import database
from tocsin.cli.knowledge import Knowledge, Refresher
from tocsin.clock import SystemClock
from tocsin.config import load
from tocsin.enrichment_config import EnrichmentSettings
from tocsin.errors import ConfigError
from tocsin.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran

RULE = {"fields": ["user.name"], "action": "hash"}


def configured(directory: Path, **sections: Any) -> Path:
    path = directory / "tocsin.yaml"
    path.write_text(yaml.safe_dump({"data_dir": "data", **sections}), "utf-8")
    return path


def made(config: Path, *stages: str) -> Knowledge:
    return Knowledge(load(config), SystemClock(), stages=set(stages))


class TestKnowledge:
    def test_nothing_configured_costs_nothing(self, tmp_path: Path) -> None:
        config = configured(tmp_path)
        knowledge = made(config, "normalize", "indicators")
        assert (knowledge.door, knowledge.feeds, knowledge.keys) == (None, None, None)
        assert list(tmp_path.iterdir()) == [config]

    def test_only_what_the_stages_need_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "salt").write_text("x" * 32, "utf-8")
        config = configured(
            tmp_path,
            privacy={"key": "file:salt", "policies": [{"rules": [RULE]}]},
            enrichment={"registered_domains": True},
            indicators={"feeds": [{"name": "f", "type": "csv", "path": "list"}]},
        )
        alert = made(config, "alert")
        assert (alert.door, alert.feeds) == (None, None)
        assert not (tmp_path / "data").exists()
        normalize = made(config, "normalize")
        assert normalize.door is not None
        assert normalize.feeds is None
        assert (tmp_path / "data" / "subjects.sqlite").exists()
        normalize.close()
        assert made(config, "indicators").feeds is not None

    def test_residency_alone_needs_neither_secret_nor_keys(self, tmp_path: Path) -> None:
        config = configured(tmp_path, privacy={"policies": [{"residency": "eu"}]})
        knowledge = made(config, "normalize")
        assert knowledge.door is not None
        assert knowledge.keys is None

    def test_rules_without_a_secret_do_not_start(self, tmp_path: Path) -> None:
        config = configured(tmp_path, privacy={"policies": [{"rules": [RULE]}]})
        with pytest.raises(ConfigError, match=r"privacy\.key must name a secret"):
            made(config, "normalize")


async def test_the_refresher_reads_what_changes_and_books_what_fails(tmp_path: Path) -> None:
    path = tmp_path / "asn.mmdb"
    enricher = Enricher.configured(EnrichmentSettings(geoip=(path,)))
    assert enricher is not None
    document: dict[str, Any] = {"source": {"ip": "203.0.113.9"}}
    enricher.apply(document)
    metrics = Metrics()
    refresher = Refresher(enricher, None, metrics, interval=0.01)
    async with asyncio.TaskGroup() as group, asyncio.timeout(20):
        group.create_task(refresher.run())
        path.write_bytes(database({"autonomous_system_number": 64_500}))
        while True:
            document = {"source": {"ip": "203.0.113.9"}}
            enricher.apply(document)
            if "as" in document["source"]:
                break
            await asyncio.sleep(0.01)
        before = enricher.counters["geoip"]
        while True:
            if metrics.account("enrich").errors["geoip"] == before:
                break
            await asyncio.sleep(0.01)
        refresher.stop()
    assert before >= 1


class TestDoctor:
    def test_all_well(self, tmp_path: Path, tocsin: Callable[..., Ran]) -> None:
        (tmp_path / "asn.mmdb").write_bytes(database({}))
        (tmp_path / "list").write_text("203.0.113.7\n", "utf-8")
        (tmp_path / "salt").write_text("x" * 32, "utf-8")
        config = configured(
            tmp_path,
            enrichment={"geoip": ["asn.mmdb"]},
            indicators={"feeds": [{"name": "f", "type": "csv", "path": "list"}]},
            privacy={"key": "file:salt", "policies": [{"rules": [RULE]}]},
        )
        ran = tocsin("doctor", "-c", config)
        assert ran.code == 0, ran.out
        for told in ("enrichment: all files", "feed f: 1 indicators", "privacy: 1 policies"):
            assert told in ran.out
        assert not (tmp_path / "data").exists()

    @pytest.mark.parametrize(
        ("section", "told"),
        [
            ({"enrichment": {"geoip": ["gone.mmdb"]}}, "gone.mmdb cannot be read"),
            ({"indicators": {"feeds": [{"name": "f", "type": "stix", "path": "gone"}]}},
             "gone cannot be read"),
            ({"privacy": {"policies": [{"rules": [RULE]}]}}, "privacy.key must name a secret"),
            ({"indicators": {"allow": ["nonsense"],
                             "feeds": [{"name": "f", "type": "stix", "path": "gone"}]}},
             "indicators.allow: 'nonsense'"),
        ],
    )  # fmt: skip
    def test_what_is_ill(
        self, tmp_path: Path, tocsin: Callable[..., Ran], section: dict[str, Any], told: str
    ) -> None:
        ran = tocsin("doctor", "-c", configured(tmp_path, **section))
        assert ran.code == 1
        assert told in ran.out
