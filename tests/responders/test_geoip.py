"""GeoIP look-ups: no data, broken data, new data. What databases say is tested in the corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from responders.base import Call
from responders.geoip import Geoip, GeoipConfig
from tests.responders.mmdb import database
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from pathlib import Path

CITY = {
    "country": {"iso_code": "XX", "names": {"en": "Nowhere"}},
    "city": {"names": {"en": "Nulltown"}},
    "location": {"latitude": 1.5, "longitude": -2.5},
}
ASN = {"autonomous_system_number": 64500, "autonomous_system_organization": "Example Transit"}


def call(ip: str) -> Call:
    return Call("geoip.lookup", ip, {"ip": ip}, "key", 1000)


async def test_databases_complete_each_other(tmp_path: Path) -> None:
    (tmp_path / "city.mmdb").write_bytes(database(CITY))
    (tmp_path / "asn.mmdb").write_bytes(database(ASN))
    geoip = Geoip(GeoipConfig(databases=(tmp_path / "city.mmdb", tmp_path / "asn.mmdb")))
    assert await geoip.act(call("203.0.113.66")) == {
        "found": True,
        "country": "XX",
        "country_name": "Nowhere",
        "city": "Nulltown",
        "location": {"lat": 1.5, "lon": -2.5},
        "asn": 64500,
        "organization": "Example Transit",
    }
    assert "city.mmdb (Test)" in await geoip.check()
    await geoip.close()


@pytest.mark.parametrize("ip", ["10.0.0.1", "2001:db8::1", "nonsense"])
async def test_an_address_in_no_database_is_not_found_with_a_reason(
    tmp_path: Path, ip: str
) -> None:
    (tmp_path / "asn.mmdb").write_bytes(database(ASN))
    geoip = Geoip(GeoipConfig(databases=(tmp_path / "asn.mmdb",)))
    output = await geoip.act(call(ip))
    assert output["found"] is False
    assert ip in output["reason"]


async def test_a_missing_file_is_told_at_the_check_and_picked_up_when_it_comes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "asn.mmdb"
    geoip = Geoip(GeoipConfig(databases=(path,)))
    with pytest.raises(ConnectorError, match="No such file"):
        await geoip.check()
    assert (await geoip.act(call("203.0.113.66")))["found"] is False
    path.write_bytes(database(ASN))
    assert (await geoip.act(call("203.0.113.66")))["asn"] == 64500


async def test_a_broken_replacement_leaves_the_old_data_in_use(tmp_path: Path) -> None:
    path = tmp_path / "asn.mmdb"
    path.write_bytes(database(ASN))
    geoip = Geoip(GeoipConfig(databases=(path,)))
    assert (await geoip.act(call("203.0.113.66")))["asn"] == 64500
    path.write_bytes(b"not a database at all")
    assert (await geoip.act(call("203.0.113.66")))["asn"] == 64500
    with pytest.raises(ConnectorError, match="no MaxMind database"):
        await geoip.check()
