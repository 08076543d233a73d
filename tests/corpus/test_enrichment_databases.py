"""Enrichment against published test databases, their sources as oracle, and broken ones."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import orjson

from ingest.enrich.geoip import TAG, Geoip

if TYPE_CHECKING:
    from pathlib import Path

ADDRESSES = ("1.1.1.1", "255.255.255.255", "0.0.0.1", "::1", "2001:db8::1")


def oracle(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """First address of each network that no other one inside it overrides, and its record."""
    entries: list[dict[str, Any]] = orjson.loads(path.read_bytes())
    return [
        (str(ip_network(network)[0]), record)
        for entry in entries
        for network, record in entry.items()
    ]


def source(geoip: Geoip, ip: str) -> dict[str, Any]:
    document: dict[str, Any] = {"source": {"ip": ip}}
    geoip.apply(document)
    assert "tags" not in document
    body: dict[str, Any] = document["source"]
    return body


def opened(*paths: Path) -> Geoip:
    geoip = Geoip(paths, Counter())
    geoip.refresh()
    return geoip


def english(record: dict[str, Any], part: str) -> Any:
    return record.get(part, {}).get("names", {}).get("en")


def test_every_network_has_the_place_of_its_source(shared: Path) -> None:
    folder = shared / "data" / "mmdb"
    geoip = opened(folder / "GeoLite2-City-Test.mmdb")
    told = Counter[str]()
    for ip, record in oracle(folder / "GeoLite2-City-Test.json"):
        geo = source(geoip, ip).get("geo", {})
        part = "country" if record.get("country") else "registered_country"
        country = record.get(part, {})
        where = record.get("location", {})
        expected = {
            "city_name": english(record, "city"),
            "continent_code": record.get("continent", {}).get("code"),
            "continent_name": english(record, "continent"),
            "country_iso_code": country.get("iso_code"),
            "country_name": english(record, part),
            "postal_code": record.get("postal", {}).get("code"),
            "timezone": where.get("time_zone"),
        }
        if (divisions := record.get("subdivisions")) and "iso_code" in divisions[0]:
            expected["region_iso_code"] = f"{country['iso_code']}-{divisions[0]['iso_code']}"
        for name, value in expected.items():
            assert geo.get(name) == value, (ip, name)
            told[name] += value is not None
        if "latitude" in where:
            assert geo["location"] == {"lat": where["latitude"], "lon": where["longitude"]}
            told["location"] += 1
    assert min(told.values()) >= 5, told
    assert told["country_iso_code"] > 200


def test_every_network_has_the_number_of_its_source(shared: Path) -> None:
    folder = shared / "data" / "mmdb"
    geoip = opened(folder / "GeoLite2-ASN-Test.mmdb")
    checked = 0
    for ip, record in oracle(folder / "GeoLite2-ASN-Test.json"):
        network = source(geoip, ip)["as"]
        assert network["number"] == record["autonomous_system_number"]
        organization = record.get("autonomous_system_organization")
        assert network.get("organization", {}).get("name") == organization
        checked += 1
    assert checked > 60


def test_anonymity(shared: Path) -> None:
    geoip = opened(shared / "data" / "mmdb" / "GeoIP2-Anonymous-IP-Test.mmdb")
    document: dict[str, Any] = {"source": {"ip": "81.2.69.5"}}
    geoip.apply(document)
    kinds = document["tocsin"]["anonymity"]["source"]
    assert set(kinds) <= {"vpn", "hosting", "proxy", "residential_proxy", "tor"}
    assert kinds


def test_broken_databases_cost_no_event_anything(shared: Path) -> None:
    """Alone, and beside a good one whose answers they may not take away."""
    broken = sorted((shared / "data" / "mmdb" / "bad").glob("*.mmdb"))
    assert len(broken) >= 20
    good = shared / "data" / "mmdb" / "GeoLite2-ASN-Test.mmdb"
    failing = 0
    for path in broken:
        counters = Counter[str]()
        geoip = Geoip([path, good], counters)
        for _ in range(2):
            geoip.refresh()
            for ip in (*ADDRESSES, "1.128.0.1"):
                document: dict[str, Any] = {"source": {"ip": ip}}
                geoip.apply(document)
                assert document["source"]["ip"] == ip
                orjson.dumps(document)
                assert (TAG in document.get("tags", [])) <= (counters["geoip"] > 0)
            assert document["source"]["as"]["number"] == 1221
        failing += counters["geoip"] > 0
    assert failing >= 14
