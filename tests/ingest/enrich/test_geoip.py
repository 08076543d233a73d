"""GeoIP: ECS fields, hot reload, and databases that are missing, broken or replaced."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from ingest.enrich.geoip import TAG, Geoip
from tests.responders.mmdb import database

if TYPE_CHECKING:
    from pathlib import Path

CITY: dict[str, Any] = {
    "city": {"names": {"en": "Somewhere", "de": "Irgendwo"}},
    "continent": {"code": "EU", "names": {"en": "Europe"}},
    "country": {"iso_code": "XS", "names": {"en": "Example Land"}},
    "location": {"latitude": 51.5, "longitude": -0.25, "time_zone": "Europe/Somewhere"},
    "postal": {"code": "12345"},
    "subdivisions": [{"iso_code": "ABC", "names": {"en": "Shire"}}],
}
ASN = {"autonomous_system_number": 64_500, "autonomous_system_organization": "Example Net"}


def written(path: Path, record: dict[str, Any]) -> Path:
    path.write_bytes(database(record))
    return path


def looked_up(*paths: Path, ip: str = "203.0.113.9") -> dict[str, Any]:
    geoip = Geoip(paths, Counter())
    geoip.refresh()
    document: dict[str, Any] = {"source": {"ip": ip}}
    geoip.apply(document)
    return document


def test_place_and_network_are_ecs(tmp_path: Path) -> None:
    document = looked_up(written(tmp_path / "city.mmdb", CITY), written(tmp_path / "asn.mmdb", ASN))
    assert document == {
        "source": {
            "ip": "203.0.113.9",
            "geo": {
                "city_name": "Somewhere",
                "continent_code": "EU",
                "continent_name": "Europe",
                "country_iso_code": "XS",
                "country_name": "Example Land",
                "postal_code": "12345",
                "region_iso_code": "XS-ABC",
                "region_name": "Shire",
                "timezone": "Europe/Somewhere",
                "location": {"lat": 51.5, "lon": -0.25},
            },
            "as": {"number": 64_500, "organization": {"name": "Example Net"}},
        }
    }


def test_every_endpoint_and_nothing_else_is_looked_up(tmp_path: Path) -> None:
    geoip = Geoip([written(tmp_path / "asn.mmdb", ASN)], Counter())
    geoip.refresh()
    ends = ("source", "destination", "client", "server")
    document: dict[str, Any] = {name: {"ip": "198.51.100.7"} for name in ends}
    document["host"] = {"ip": ["198.51.100.7"]}
    geoip.apply(document)
    assert all("as" in document[name] for name in ends)
    assert document["host"] == {"ip": ["198.51.100.7"]}


@pytest.mark.parametrize(
    "ip", ["10.0.0.1", "2001:db8::1", "not an address", "", None, 7, ["203.0.113.9"]]
)
def test_what_no_database_knows_is_left_alone(tmp_path: Path, ip: Any) -> None:
    assert looked_up(written(tmp_path / "a.mmdb", ASN), ip=ip) == {"source": {"ip": ip}}


@pytest.mark.parametrize("body", [None, "text", [], {}, {"ip": None}])
def test_a_document_of_any_shape_is_left_alone(tmp_path: Path, body: Any) -> None:
    geoip = Geoip([written(tmp_path / "a.mmdb", ASN)], Counter())
    geoip.refresh()
    document = {"source": body}
    geoip.apply(document)
    assert document == {"source": body}


def test_what_the_event_says_itself_stays(tmp_path: Path) -> None:
    geoip = Geoip(
        [written(tmp_path / "city.mmdb", CITY), written(tmp_path / "asn.mmdb", ASN)], Counter()
    )
    geoip.refresh()
    own = {"ip": "203.0.113.9", "geo": {"country_iso_code": "YY"}, "as": {"number": 1}}
    document: dict[str, Any] = {"source": dict(own)}
    geoip.apply(document)
    assert document["source"] == own


@pytest.mark.parametrize(
    "record",
    [
        {"location": {"latitude": 91.0, "longitude": 0.0}},
        {"location": {"latitude": float("nan"), "longitude": 0.0}},
        {"location": {"latitude": float("inf"), "longitude": 0.0}},
        {"location": {"latitude": 1}},
        {"country": "XS", "city": ["x"], "subdivisions": {"a": 1}},
        {"country": {"iso_code": 7, "names": "x"}, "subdivisions": ["x"]},
        {"autonomous_system_number": "64500"},
        {"autonomous_system_organization": 7},
    ],
)
def test_values_that_the_store_would_refuse_are_left_out(
    tmp_path: Path, record: dict[str, Any]
) -> None:
    assert looked_up(written(tmp_path / "x.mmdb", record)) == {"source": {"ip": "203.0.113.9"}}


def test_anonymity_is_told_under_our_own_root(tmp_path: Path) -> None:
    record = {"is_tor_exit_node": True, "is_anonymous": True, "is_hosting_provider": False}
    document = looked_up(written(tmp_path / "x.mmdb", record))
    assert document["tocsin"] == {"anonymity": {"source": ["tor"]}}
    assert "tocsin" not in looked_up(written(tmp_path / "y.mmdb", {"is_tor_exit_node": 1}))


def test_events_do_not_share_what_is_remembered(tmp_path: Path) -> None:
    geoip = Geoip(
        [written(tmp_path / "city.mmdb", CITY), written(tmp_path / "asn.mmdb", ASN)], Counter()
    )
    geoip.refresh()
    documents: list[dict[str, Any]] = [{"source": {"ip": "203.0.113.9"}} for _ in range(2)]
    for document in documents:
        geoip.apply(document)
        document["source"]["geo"].clear()
        document["source"]["as"]["organization"].clear()
    third: dict[str, Any] = {"source": {"ip": "203.0.113.9"}}
    geoip.apply(third)
    assert third["source"]["geo"]["location"] == {"lat": 51.5, "lon": -0.25}
    assert third["source"]["as"]["organization"] == {"name": "Example Net"}


class TestFiles:
    def test_a_replaced_file_is_read_anew(self, tmp_path: Path) -> None:
        path = written(tmp_path / "asn.mmdb", ASN)
        geoip = Geoip([path], Counter())
        geoip.refresh()
        written(tmp_path / "new", {"autonomous_system_number": 64_501}).replace(path)
        for _ in range(2):
            geoip.refresh()
            document: dict[str, Any] = {"source": {"ip": "203.0.113.9"}}
            geoip.apply(document)
            assert document["source"]["as"] == {"number": 64_501}

    def test_a_file_cut_short_while_it_is_in_use_hurts_nobody(self, tmp_path: Path) -> None:
        """A database that was mapped from the file would end the process with SIGBUS."""
        path = written(tmp_path / "asn.mmdb", ASN)
        geoip = Geoip([path], Counter())
        geoip.refresh()
        path.write_bytes(b"")
        geoip.refresh()
        document: dict[str, Any] = {"source": {"ip": "203.0.113.9"}}
        geoip.apply(document)
        assert document["source"]["as"]["number"] == 64_500
        assert "tags" not in document

    def test_a_missing_one_is_tagged_counted_and_said_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        counters = Counter[str]()
        asn = written(tmp_path / "asn.mmdb", ASN)
        geoip = Geoip([tmp_path / "missing.mmdb", asn], counters)
        with caplog.at_level(logging.WARNING):
            for tags in ([], [TAG], ["x"]):
                geoip.refresh()
                document: dict[str, Any] = {"source": {"ip": "203.0.113.9"}, "tags": list(tags)}
                geoip.apply(document)
                assert document["source"]["as"]["number"] == 64_500
                assert document["tags"].count(TAG) == 1
        assert counters == {"geoip": 3}
        assert len(caplog.records) == 1
        assert "missing.mmdb cannot be read" in caplog.text

    def test_one_that_appears_later_is_used(self, tmp_path: Path) -> None:
        geoip = Geoip([tmp_path / "asn.mmdb"], Counter())
        geoip.refresh()
        document: dict[str, Any] = {"source": {"ip": "203.0.113.9"}}
        geoip.apply(document)
        assert document["tags"] == [TAG]
        written(tmp_path / "asn.mmdb", ASN)
        geoip.refresh()
        document = {"source": {"ip": "203.0.113.9"}}
        geoip.apply(document)
        assert document["source"]["as"]["number"] == 64_500
        assert "tags" not in document
