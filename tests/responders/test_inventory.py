"""The inventory: CSV and YAML, narrowest range, mistakes by row, guard lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from responders.base import Call
from responders.inventory import Inventory, InventoryConfig
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from pathlib import Path

CSV = """\
name,addresses,criticality,owner,tags
web1,192.0.2.10 2001:db8::10,high,web team,dmz;linux
office,192.0.2.0/24,low,office,
dc1,192.0.2.53,critical,identity,directory
"""
YAML = """\
- {name: web1, addresses: [192.0.2.10, "2001:db8::10"], criticality: high, owner: web team,
   tags: [dmz, linux]}
- {name: office, addresses: [192.0.2.0/24], owner: office}
- {name: dc1, addresses: [192.0.2.53], criticality: critical, owner: identity, tags: [directory]}
"""


def call(entity: str) -> Call:
    return Call("inventory.lookup", entity, {"entity": entity}, "key", 1000)


@pytest.fixture(params=["csv", "yml"])
def inventory(request: pytest.FixtureRequest, tmp_path: Path) -> Inventory:
    path = tmp_path / f"assets.{request.param}"
    path.write_text(CSV if request.param == "csv" else YAML)
    return Inventory(InventoryConfig(path=path))


@pytest.mark.parametrize("entity", ["web1", "WEB1", "192.0.2.10", "2001:db8::10"])
async def test_found_by_name_and_address(inventory: Inventory, entity: str) -> None:
    assert await inventory.act(call(entity)) == {
        "found": True,
        "name": "web1",
        "criticality": "high",
        "owner": "web team",
        "tags": ["dmz", "linux"],
    }


async def test_the_narrowest_range_wins_and_the_wide_one_catches_the_rest(
    inventory: Inventory,
) -> None:
    assert (await inventory.act(call("192.0.2.53")))["name"] == "dc1"
    assert (await inventory.act(call("192.0.2.54")))["name"] == "office"


async def test_a_stranger_is_not_found_with_a_reason(inventory: Inventory) -> None:
    output = await inventory.act(call("203.0.113.1"))
    assert output["found"] is False
    assert output["reason"] == "203.0.113.1 is not in the inventory"


def test_guard_lists_hold_names_and_addresses(inventory: Inventory) -> None:
    lists = inventory.guard_lists()
    assert lists["critical_assets"] == ("dc1", "192.0.2.53/32")
    assert lists["tag:dmz"] == ("web1", "192.0.2.10/32", "2001:db8::10/128")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("name,ip\nweb1,1\n", "unknown ip"),
        ("name,addresses\nweb1,192.0.2.300\n", "line 2"),
        ("name,addresses\n,192.0.2.3\n", "no name"),
        ("name,addresses\nweb1,192.0.2.3/24\n", "host bits"),
        ("name,criticality\nweb1,urgent\n", "'urgent' is none of"),
        ("name\nweb1,x\n", "more fields"),
    ],
)
async def test_mistakes_are_told_at_the_check(tmp_path: Path, text: str, mistake: str) -> None:
    path = tmp_path / "assets.csv"
    path.write_text(text)
    inventory = Inventory(InventoryConfig(path=path))
    with pytest.raises(ConnectorError, match=mistake):
        await inventory.check()
    with pytest.raises(ConnectorError, match="no guard lists"):
        inventory.guard_lists()


async def test_changes_are_picked_up_and_broken_ones_are_not(tmp_path: Path) -> None:
    path = tmp_path / "assets.csv"
    path.write_text(CSV)
    inventory = Inventory(InventoryConfig(path=path))
    assert (await inventory.act(call("dc1")))["owner"] == "identity"
    path.write_text(CSV.replace("identity", "directory team"))
    assert (await inventory.act(call("dc1")))["owner"] == "directory team"
    path.write_text("rubbish\nrubbish,\n")
    assert (await inventory.act(call("dc1")))["owner"] == "directory team"
