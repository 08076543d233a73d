"""GeoIP against published test databases, their sources as oracle, and broken ones."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from responders.base import Call
from responders.geoip import Geoip, GeoipConfig
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from pathlib import Path


def oracle(path: Path) -> list[tuple[str, dict[str, Any]]]:
    entries: list[dict[str, Any]] = orjson.loads(path.read_bytes())
    return [(network, record) for entry in entries for network, record in entry.items()]


def call(ip: str) -> Call:
    return Call("geoip.lookup", ip, {"ip": ip}, "key", 1000)


async def test_every_network_has_the_city_and_asn_of_its_source(shared: Path) -> None:
    folder = shared / "data" / "mmdb"
    city = Geoip(GeoipConfig(databases=(folder / "GeoLite2-City-Test.mmdb",)))
    asn = Geoip(GeoipConfig(databases=(folder / "GeoLite2-ASN-Test.mmdb",)))
    checked = 0
    for network, record in oracle(folder / "GeoLite2-City-Test.json"):
        output = await city.act(call(str(ip_network(network)[0])))
        country = record.get("country") or record.get("registered_country") or {}
        assert output["country"] == country.get("iso_code", "")
        assert output["city"] == record.get("city", {}).get("names", {}).get("en", "")
        checked += output["found"]
    for network, record in oracle(folder / "GeoLite2-ASN-Test.json"):
        output = await asn.act(call(str(ip_network(network)[0])))
        assert output["asn"] == record["autonomous_system_number"]
        assert output["organization"] == record.get("autonomous_system_organization", "")
        checked += 1
    assert checked > 300


async def test_broken_databases_never_break_a_look_up(shared: Path) -> None:
    broken = sorted((shared / "data" / "mmdb" / "bad").glob("*.mmdb"))
    assert len(broken) >= 20
    told: list[tuple[str, str]] = []
    for path in broken:
        geoip = Geoip(GeoipConfig(databases=(path,)))
        for ip in ("1.1.1.1", "255.255.255.255", "::1", "2001:db8::1"):
            output = await geoip.act(call(ip))
            assert output["found"] or output["reason"]
        try:
            await geoip.check()
        except ConnectorError as error:
            told.append((path.name, str(error)))
        await geoip.close()
    assert told
    assert all(name in message for name, message in told)


def test_a_broken_database_does_not_stop_the_start(shared: Path) -> None:
    path = shared / "data" / "mmdb" / "bad" / "unexpected-bytes.mmdb"
    if not path.exists():
        pytest.fail(f"{path} is missing")
    Geoip(GeoipConfig(databases=(path,)))
