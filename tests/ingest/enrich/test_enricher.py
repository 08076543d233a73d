"""The enricher: what is configured and no more, and that no step ever costs an event."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ingest.enrich import Enricher
from tests.responders.mmdb import database
from tocsin.enrichment_config import EnrichmentSettings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tocsin.contracts import Document


def test_nothing_configured_is_nothing_to_call() -> None:
    assert Enricher.configured(EnrichmentSettings()) is None


def test_all_of_it_together(tmp_path: Path) -> None:
    (tmp_path / "asn.mmdb").write_bytes(database({"autonomous_system_number": 64_500}))
    (tmp_path / "assets.csv").write_text("name,criticality\nweb-01,high\n", "utf-8")
    (tmp_path / "people.csv").write_text("name,full_name\nada,Ada Example\n", "utf-8")
    enricher = Enricher.configured(
        EnrichmentSettings(
            geoip=(tmp_path / "asn.mmdb",),
            inventory=tmp_path / "assets.csv",
            identities=tmp_path / "people.csv",
            registered_domains=True,
            user_agents=True,
        )
    )
    assert enricher is not None
    document: dict[str, Any] = {
        "source": {"ip": "203.0.113.9"},
        "host": {"name": "web-01"},
        "user": {"name": "ada"},
        "url": {"domain": "www.example.com"},
        "user_agent": {"original": "curl/8.5.0"},
    }
    enricher.apply(document)
    assert document["source"]["as"]["number"] == 64_500
    assert document["tocsin"]["asset"]["host"]["criticality"] == "high"
    assert document["user"]["full_name"] == "Ada Example"
    assert document["url"]["registered_domain"] == "example.com"
    assert document["user_agent"]["name"] == "curl"


def test_the_same_document_gives_the_same_fields(tmp_path: Path) -> None:
    (tmp_path / "asn.mmdb").write_bytes(database({"autonomous_system_number": 64_500}))
    enricher = Enricher.configured(EnrichmentSettings(geoip=(tmp_path / "asn.mmdb",)))
    assert enricher is not None
    documents: list[dict[str, Any]] = [{"source": {"ip": "203.0.113.9"}} for _ in range(3)]
    for document in documents:
        enricher.refresh()
        enricher.apply(document)
    assert documents[0] == documents[1] == documents[2]


class Defective:
    def refresh(self) -> None:
        """Nothing to read."""

    def problems(self) -> list[str]:
        return []

    def apply(self, document: Document) -> None:
        raise RuntimeError("a defect")


class Marking:
    def refresh(self) -> None:
        """Nothing to read."""

    def problems(self) -> list[str]:
        return []

    def apply(self, document: Document) -> None:
        document["marked"] = True


def test_a_defect_costs_one_steps_fields_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    enricher = Enricher([Defective(), Marking()])
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            document: Document = {}
            enricher.apply(document)
            assert document == {"marked": True}
    assert enricher.counters == {"defective": 3}
    assert len(caplog.records) == 1
